"""TLS checks about the protocol: versions, suites, groups, features. Certificates have their own file."""

from bollard.assess.checks.rows import check
from bollard.assess.model import Facts, Verdict, fails, passes, untested
from bollard.assess.probes.evidence import Listeners, Tickets, TlsOffer


@check(
    "TLS-01",
    "No TLS",
    severity="H",
    group="TC",
    cwe=319,
    owner="The server offers no encrypted connection at all, so your devices cannot do any better.",
    technical="None of the listeners that were looked at speaks TLS.",
    remedy="tls",
    evidence="e4",
    needs=(Listeners,),
    subject="host",
    internet=True,
)
def no_tls(facts: Facts) -> Verdict:
    listeners = facts.get(Listeners)
    shown = {"listeners": list(listeners.found), "all_usual_ports": listeners.all_usual_ports}
    if listeners.tls:
        return passes("There is a listener with TLS.", shown=shown)
    if not listeners.found:
        return untested("no listener was found")
    return fails("No listener that was looked at has TLS.", shown=shown)


@check(
    "TLS-02",
    "Old TLS versions",
    severity="H",
    group="CY",
    cwe=327,
    owner="The server accepts an old kind of encryption that has been broken for years.",
    technical="SSL 3.0, TLS 1.0 or TLS 1.1 was agreed to.",
    remedy="tls-strength",
    evidence="e4",
    needs=(TlsOffer,),
    references=("RFC 8996",),
)
def old_versions(facts: Facts) -> Verdict:
    offer = facts.get(TlsOffer)
    agreed = [each.version for each in offer.versions if each.accepted]
    old = [name for name in ("SSL 3.0", "TLS 1.0", "TLS 1.1") if offer.speaks(name)]
    if old:
        return fails(f"The server agreed to {', '.join(old)}.", agreed=agreed)
    return passes(f"The server agrees to {' and '.join(agreed)} only.", agreed=agreed)


@check(
    "TLS-03",
    "No TLS 1.3",
    severity="L",
    group="CY",
    cwe=327,
    owner="The server does not offer the newest kind of encryption.",
    technical="TLS 1.3 was not agreed to.",
    remedy="tls-strength",
    evidence="e4",
    needs=(TlsOffer,),
    references=("RFC 9325", "RFC 9852"),
)
def no_tls13(facts: Facts) -> Verdict:
    if facts.get(TlsOffer).speaks("TLS 1.3"):
        return passes("TLS 1.3 was agreed to.")
    return fails("The server does not agree to TLS 1.3.")


@check(
    "TLS-04",
    "Broken cipher suites",
    severity="H",
    group="CY",
    cwe=327,
    owner="The server can be talked into encryption so weak that it protects nothing.",
    technical="A suite without encryption or authentication, of export strength, or with RC4, DES or 3DES was "
    "agreed to.",
    remedy="tls-strength",
    evidence="e4",
    needs=(TlsOffer,),
    references=("RFC 9325, 4.1",),
)
def broken_suites(facts: Facts) -> Verdict:
    weak = facts.get(TlsOffer).weak
    if weak:
        return fails(f"The server agreed to: {', '.join(weak)}.", suites=weak)
    return passes("No such suite was agreed to.")


@check(
    "TLS-05",
    "No forward secrecy: static RSA, or finite-field DHE",
    severity="M",
    group="CY",
    cwe=327,
    owner="Whoever steals the server's secret key one day can then read everything that was recorded before.",
    technical="Key exchange with the certificate's RSA key, or finite-field DHE, was agreed to in TLS 1.2.",
    remedy="tls-strength",
    evidence="e4",
    needs=(TlsOffer,),
    references=("RFC 10015",),
)
def forward_secrecy(facts: Facts) -> Verdict:
    offer = facts.get(TlsOffer)
    agreed = [suite for suite in (offer.static_rsa, offer.ffdhe) if suite]
    if agreed:
        return fails(f"The server agreed to {', '.join(agreed)}.", suites=agreed)
    return passes("Only elliptic-curve key exchange was agreed to.")


@check(
    "TLS-06",
    "No authenticated encryption, or a short tag",
    severity="L",
    group="CY",
    cwe=327,
    owner="The server's encryption is of an older, weaker kind.",
    technical="No AEAD suite with a full tag was agreed to, or a CCM_8 suite was.",
    remedy="tls-strength",
    evidence="e4",
    needs=(TlsOffer,),
)
def authenticated_encryption(facts: Facts) -> Verdict:
    offer = facts.get(TlsOffer)
    if not offer.aead:
        return fails("The server agreed to no suite with authenticated encryption.")
    if offer.ccm_8:
        return fails(f"The server agreed to {offer.ccm_8}, whose tag is short.", suite=offer.ccm_8)
    return passes("Authenticated encryption with a full tag is there, and no CCM_8.")


@check(
    "TLS-15",
    "Unsafe TLS features",
    severity="M",
    group="CY",
    cwe=757,
    owner="The server's encryption has weak features switched on that attackers can use.",
    technical="In TLS 1.2: compression, no Extended Master Secret, or no secure renegotiation. In TLS 1.3: session "
    "tickets that allow 0-RTT, so that what is sent early can be sent again by others.",
    remedy="tls-strength",
    evidence="e4",
    needs=(TlsOffer,),
    helped_by=(Tickets,),
    references=("RFC 7627", "RFC 5746", "RFC 9846, 8"),
)
def features(facts: Facts) -> Verdict:
    offer, tickets = facts.get(TlsOffer), facts.find(Tickets)
    faults = [
        name
        for name, there in (
            ("compression", offer.compression),
            ("no Extended Master Secret", offer.extended_master_secret is False),
            ("no secure renegotiation", offer.secure_renegotiation is False),
            ("0-RTT", tickets is not None and tickets.early_data_bytes > 0),
        )
        if there
    ]
    if faults:
        return fails(f"Found: {', '.join(faults)}.", faults=faults)
    early = {"tickets": tickets.count if tickets else "not seen"}
    if tickets is None and offer.speaks("TLS 1.3"):
        return passes("None of them was found; whether tickets allow 0-RTT could not be seen.", shown=early)
    return passes("None of them was found.", shown=early)


@check(
    "TLS-16",
    "No post-quantum key exchange",
    severity="I",
    group="CY",
    cwe=327,
    owner="What somebody records today could be read in some years, when there are much stronger computers.",
    technical="No hybrid group with ML-KEM was agreed to in TLS 1.3.",
    remedy="post-quantum",
    evidence="e4",
    needs=(TlsOffer,),
    references=("RFC 10024",),
)
def post_quantum(facts: Facts) -> Verdict:
    offer = facts.get(TlsOffer)
    shown = {"groups": list(offer.groups), "hybrid": list(offer.hybrid_groups)}
    if offer.hybrid_groups:
        return passes(f"The server agrees to {', '.join(offer.hybrid_groups)}.", shown=shown)
    return fails("No hybrid group was agreed to.", shown=shown)


CHECKS = (
    no_tls,
    old_versions,
    no_tls13,
    broken_suites,
    forward_secrecy,
    authenticated_encryption,
    features,
    post_quantum,
)
