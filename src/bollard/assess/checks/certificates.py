"""TLS checks about certificates: what the server's is worth, and what it asks of its clients."""

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
from bollard.assess.probes.evidence import ClientCertificates, Leaf

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
    "TLS-07",
    "Certificate of no trusted authority",
    severity="H",
    group="SV",
    cwe=295,
    owner="Your devices cannot tell the server from an impostor, because nobody they know vouches for its identity "
    "card.",
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
    owner="The server's identity card is made out to another name, so your devices must either refuse it or stop "
    "checking.",
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
    owner="The server's identity card is running out or has run out, and without a valid one your devices stop "
    "connecting.",
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
    owner="The server's identity card can be forged by somebody with enough computers.",
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
    owner="The server's identity card is valid for so long that a thief could use a stolen copy for years.",
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
    owner="The server uses a secret key that anybody can download, so its encryption protects nothing.",
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
    owner="The server should let in only devices with an identity card, and lets in others too.",
    technical="The operator says that clients need certificates (--expect-mtls), and a client without one got an "
    "answer of MQTT.",
    remedy="mtls",
    evidence="e4",
    needs=(ClientCertificates,),
)
def client_certificate(facts: Facts) -> Verdict:
    trial = facts.get(ClientCertificates)
    if not trial.expected:
        return untested("nobody said that clients need a certificate here: bollard scan TARGET --expect-mtls")
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
    owner="The server asks devices for an identity card and accepts even one that somebody made up.",
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
        return untested("it is an active check: bollard scan TARGET --active")
    if trial.foreign in ("accepted", "refused"):
        return fails("A certificate of an invented authority was taken.", proven=True, shown=shown)
    if trial.foreign == "closed":
        return passes("A certificate of an invented authority was turned away.", proven=True, shown=shown)
    return unsure("A certificate of an invented authority got no clear answer.", shown=shown)


def _readable(facts: Facts) -> Leaf:
    leaf = facts.get(Leaf)
    if leaf.unreadable:
        raise Missing(f"the certificate cannot be read ({leaf.unreadable})")
    return leaf


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


CHECKS = (
    chain,
    name,
    dates,
    key_strength,
    lifetime,
    published_key,
    client_certificate,
    foreign_certificate,
)
