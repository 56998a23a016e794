"""TLS checks: what the server agrees to, and what its certificate is worth."""

from datetime import UTC, datetime

from bollard.assess.checks.rows import check
from bollard.assess.model import (
    Caution,
    Duty,
    Facts,
    Missing,
    Severity,
    Verdict,
    fails,
    passes,
    unsure,
    untested,
)
from bollard.assess.probes.evidence import ClientCertificates, Leaf, Listeners, TlsOffer

DAY_S = 86_400
MIN_RSA_BITS = 2_048
#: Since 2026-03-15, public authorities issue for at most so many days.
PUBLIC_DAYS = 200
PUBLIC_SINCE = datetime(2026, 3, 15, tzinfo=UTC).timestamp()
PRIVATE_DAYS = 398

#: SHA-256 of public keys whose private halves everybody can download.
PUBLISHED_KEYS = {
    "912c548620a21d9ecc7bc87a3addb9550d30214dd9ed947b3a8e2449e203eecf": "the certificate that EMQX ships",
}


@check(
    "TLS-01",
    "No TLS",
    severity="H",
    group="TC",
    cwe=319,
    owner="This server has no protected way in: everything can be read and changed on its way.",
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
    owner="This server accepts a protection that has been broken for years.",
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
    owner="This server does not offer the current generation of protection.",
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
    owner="This server can be talked into a protection that protects nothing.",
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
    owner="Whoever steals this server's key later can read what was recorded before.",
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
    owner="This server's protection is of an older, weaker kind.",
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
    "TLS-07",
    "Certificate of no trusted authority",
    severity="H",
    group="SV",
    cwe=295,
    owner="Devices cannot tell this server from an impostor.",
    technical="The server's chain does not lead to the authority that was given, or, if none was, to one of the "
    "system's. A private authority is no fault: give its file, so that it can be judged.",
    remedy="certificate",
    evidence="e4",
    needs=(Leaf,),
)
def chain(facts: Facts) -> Verdict:
    leaf = facts.get(Leaf)
    shown = {"trusted_by": leaf.trusted_by, "fault": leaf.trust_fault, "issuer": leaf.issuer}
    if leaf.trusted:
        return passes(f"The chain leads to the {leaf.trusted_by}.", shown=shown)
    if leaf.trust_fault.startswith("not verified"):
        return unsure("The chain could not be verified.", shown=shown)
    if "expired" in leaf.trust_fault:
        return unsure("An expired certificate hides whether its chain is good.", shown=shown)
    if leaf.trusted_by == "given CA file":
        return fails("The chain does not lead to the given authority.", shown=shown)
    return unsure(
        "The system does not know its authority; --ca-file names the one that devices trust.", shown=shown
    )


@check(
    "TLS-08",
    "Certificate for another name",
    severity="H",
    group="SV",
    cwe=297,
    owner="This server's certificate is made out to another name, so devices must skip the check or fail.",
    technical="No subjectAltName covers the name under which the server was asked for; a Common Name does not count.",
    remedy="certificate",
    evidence="e4",
    needs=(Leaf,),
    references=("RFC 9525",),
)
def name(facts: Facts) -> Verdict:
    leaf = _readable(facts)
    shown = {"expected": leaf.expected_name, "names": list(leaf.names), "common_name": leaf.common_name}
    if leaf.name_matches:
        return passes("A subjectAltName covers it.", shown=shown)
    if not leaf.names:
        return fails("The certificate has no subjectAltName at all.", shown=shown)
    return fails("No subjectAltName covers the name that was asked for.", shown=shown)


@check(
    "TLS-09",
    "Certificate expired or about to",
    severity="H",
    group="SV",
    cwe=298,
    owner="When this server's certificate ends, your devices stop connecting.",
    technical="The certificate is expired or not yet valid (high), or less than a third of its life is left (low).",
    remedy="certificate",
    evidence="e4",
    needs=(Leaf,),
)
def dates(facts: Facts) -> Verdict:
    leaf = _readable(facts)
    life, left = leaf.not_after - leaf.not_before, leaf.not_after - leaf.read_at
    shown = {
        "not_before": _day(leaf.not_before),
        "not_after": _day(leaf.not_after),
        "days_left": left // DAY_S,
    }
    if left < 0:
        return fails(f"It expired on {_day(leaf.not_after)}.", shown=shown)
    if leaf.not_before > leaf.read_at:
        return fails(f"It is not valid before {_day(leaf.not_before)}.", shown=shown)
    if left * 3 < life:
        return fails(f"It ends in {left // DAY_S} days.", severity=Severity.LOW, shown=shown)
    return passes(f"It is valid until {_day(leaf.not_after)}.", shown=shown)


@check(
    "TLS-10",
    "Weak key or signature",
    severity="H",
    group="CY",
    cwe=326,
    owner="This server's certificate can be forged with enough computing power.",
    technical="The key is RSA of less than 2,048 bits or an elliptic curve of less than 224, or the signature is "
    "by SHA-1 or MD5.",
    remedy="certificate",
    evidence="e4",
    needs=(Leaf,),
)
def key_strength(facts: Facts) -> Verdict:
    leaf = _readable(facts)
    shown = {"key": leaf.key, "bits": leaf.key_bits, "signature": leaf.signature_hash}
    if leaf.key in ("RSA", "DSA") and leaf.key_bits < MIN_RSA_BITS:
        return fails(f"The key is {leaf.key} of {leaf.key_bits} bits.", shown=shown)
    if leaf.key_bits < 224:
        return fails(f"The key is {leaf.key} of {leaf.key_bits} bits.", shown=shown)
    if leaf.signature_hash in ("sha1", "md5"):
        return fails(f"The signature is by {leaf.signature_hash.upper()}.", shown=shown)
    return passes(
        f"{leaf.key} of {leaf.key_bits} bits, signed by {leaf.signature_hash or 'its own hash'}.", shown=shown
    )


@check(
    "TLS-11",
    "Certificate issued for too long",
    severity="L",
    group="SV",
    cwe=298,
    owner="This server's certificate lives so long that a stolen key would serve for years.",
    technical="A public authority's certificate of more than 200 days, issued since 2026-03-15; or (as a note) a "
    "private one of more than 398 days.",
    remedy="certificate",
    evidence="e4",
    needs=(Leaf,),
    duty=Duty.INTEGRATOR,
)
def lifetime(facts: Facts) -> Verdict:
    leaf = _readable(facts)
    days = (leaf.not_after - leaf.not_before) // DAY_S
    public = leaf.trusted and leaf.trusted_by == "system authorities"
    if public and days > PUBLIC_DAYS and leaf.not_before >= PUBLIC_SINCE:
        return fails(f"A public certificate of {days} days.", days=days)
    if not public and days > PRIVATE_DAYS:
        return fails(f"A private certificate of {days} days.", severity=Severity.INFO, days=days)
    return passes(f"It was issued for {days} days.", days=days)


@check(
    "TLS-12",
    "Key that everybody has",
    severity="C",
    group="SS",
    cwe=321,
    owner="This server uses a key that anyone can download: its protection protects nothing.",
    technical="The public key is one whose private half is published with a product.",
    remedy="certificate",
    evidence="e4",
    needs=(Leaf,),
)
def published_key(facts: Facts) -> Verdict:
    leaf = _readable(facts)
    known = PUBLISHED_KEYS.get(leaf.key_sha256)
    if known:
        return fails(f"It is {known}.", key_sha256=leaf.key_sha256)
    return passes(
        f"It is none of the {len(PUBLISHED_KEYS)} published keys listed here.", key_sha256=leaf.key_sha256
    )


@check(
    "TLS-13",
    "Client certificate not required",
    severity="M",
    group="AU",
    cwe=287,
    owner="This server should only let in devices that hold a certificate, and lets in others.",
    technical="The operator says that clients need certificates (--expect-mtls), and a client without one got an "
    "answer of MQTT.",
    remedy="mtls",
    evidence="e4",
    needs=(ClientCertificates,),
)
def client_certificate(facts: Facts) -> Verdict:
    trial = facts.get(ClientCertificates)
    if not trial.expected:
        return untested("nobody said that clients need a certificate here (--expect-mtls)")
    if trial.without in ("accepted", "refused"):
        return fails("A client without certificate got an answer of MQTT.", outcome=trial.without)
    if trial.without == "closed":
        return passes("A client without certificate was turned away.", outcome=trial.without)
    return unsure("A client without certificate got no clear answer.", outcome=trial.without)


@check(
    "TLS-14",
    "Any client certificate accepted",
    severity="H",
    group="AU",
    cwe=295,
    owner="This server asks devices for a certificate and takes any, also one that somebody made up.",
    technical="Without a certificate the connection is ended, and with one of an authority that nobody knows it "
    "is not.",
    remedy="mtls",
    evidence="e4",
    needs=(ClientCertificates,),
    caution=Caution.ACTIVE,
)
def foreign_certificate(facts: Facts) -> Verdict:
    trial = facts.get(ClientCertificates)
    shown = {"without": trial.without, "foreign": trial.foreign}
    if trial.without in ("accepted", "refused"):
        return untested("clients need no certificate here")
    if not trial.foreign:
        return untested("it is an active check: --active")
    if trial.foreign in ("accepted", "refused"):
        return fails("A certificate of an invented authority was taken.", proven=True, shown=shown)
    if trial.foreign == "closed":
        return passes("A certificate of an invented authority was turned away.", proven=True, shown=shown)
    return unsure("A certificate of an invented authority got no clear answer.", shown=shown)


@check(
    "TLS-15",
    "Unsafe TLS features",
    severity="M",
    group="CY",
    cwe=757,
    owner="This server's protection has switches on that attackers can use.",
    technical="In TLS 1.2: compression, no Extended Master Secret, or no secure renegotiation. 0-RTT is not looked "
    "at: it needs a resumed session.",
    remedy="tls-strength",
    evidence="e4",
    needs=(TlsOffer,),
    references=("RFC 7627", "RFC 5746"),
)
def features(facts: Facts) -> Verdict:
    offer = facts.get(TlsOffer)
    faults = [
        name
        for name, there in (
            ("compression", offer.compression),
            ("no Extended Master Secret", offer.extended_master_secret is False),
            ("no secure renegotiation", offer.secure_renegotiation is False),
        )
        if there
    ]
    if faults:
        return fails(f"Found: {', '.join(faults)}.", faults=faults)
    if offer.extended_master_secret is None:
        return passes("TLS 1.3 alone is spoken, which has none of them.")
    return passes("None of them was found.")


@check(
    "TLS-16",
    "No post-quantum key exchange",
    severity="I",
    group="CY",
    cwe=327,
    owner="What is recorded today could be read when there are quantum computers.",
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


def _readable(facts: Facts) -> Leaf:
    leaf = facts.get(Leaf)
    if leaf.unreadable:
        raise Missing(f"the certificate cannot be read ({leaf.unreadable})")
    return leaf


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


CHECKS = (
    no_tls,
    old_versions,
    no_tls13,
    broken_suites,
    forward_secrecy,
    authenticated_encryption,
    chain,
    name,
    dates,
    key_strength,
    lifetime,
    published_key,
    client_certificate,
    foreign_certificate,
    features,
    post_quantum,
)
