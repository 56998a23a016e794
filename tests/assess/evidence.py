"""Evidence to judge: a safe default of each kind, to be changed in the one point that a test is about."""

from typing import Any

from bollard.assess.probes.evidence import (
    Abuse,
    Bypass,
    Canary,
    ClientCertificates,
    Doors,
    Ears,
    Entry,
    Fence,
    Guesses,
    Heard,
    Leaf,
    Listeners,
    Offer,
    OpenPort,
    Origins,
    Patience,
    Ports,
    Product,
    Reach,
    Strictness,
    Suites,
    Takeover,
    TlsOffer,
    Trick,
)

REFUSED = Entry(version=4, outcome="refused", code=0x87)
ACCEPTED = Entry(version=4, outcome="accepted")
CLOSED = Entry(version=4, outcome="closed")
SILENT = Entry(version=4, outcome="silent")
NOW = 1_800_000_000
DAY = 86_400


def reach(**changes: Any) -> Reach:
    return Reach(**{"transport": "tls", "reach": "public", "plaintext_answers": False, **changes})


def doors(**changes: Any) -> Doors:
    safe: dict[str, Any] = {
        "anonymous": (REFUSED, REFUSED),
        "invented": REFUSED,
        "empty_password": REFUSED,
        "no_password": REFUSED,
        "old_version": Entry(version=3, outcome="refused", code=0x84),
    }
    return Doors(**{**safe, **changes})


def guesses(**changes: Any) -> Guesses:
    safe: dict[str, Any] = {
        "tried": 10,
        "default_login": "",
        "wrong_tries": 10,
        "first_ms": 5,
        "last_ms": 900,
        "throttled": False,
        "codes": (0x87,) * 10,
        "known_user_codes": (0x87, 0x87),
    }
    return Guesses(**{**safe, **changes})


def heard(filter: str = "#", code: int = 0x87, **changes: Any) -> Heard:
    return Heard(filter=filter, code=code, **changes)


def ears(**changes: Any) -> Ears:
    safe: dict[str, Any] = {
        "identity": "plug",
        "version": 5,
        "everything": heard(),
        "system": heard("$SYS/#"),
        "control": heard("$CONTROL/#"),
    }
    return Ears(**{**safe, **changes})


def product(**changes: Any) -> Product:
    return Product(**{"name": "mosquitto", "version": "2.0.22", "source": "$SYS/broker/version", **changes})


def canary(**changes: Any) -> Canary:
    safe: dict[str, Any] = {
        "namespace": "assess/0",
        "sender": "a",
        "receiver": "b",
        "distinct": True,
        "version": 5,
        "sent_code": 0x87,
        "heard_code": 0x87,
        "arrived": False,
    }
    return Canary(**{**safe, **changes})


def bypass(**changes: Any) -> Bypass:
    safe: dict[str, Any] = {
        "denied": (Trick(filter="#", code=0x87),),
        "equivalents": (Trick(filter="+/#", code=0x87),),
        "shared": (Trick(filter="$share/g/#", code=0x87),),
        "publish_denied": True,
        "can_hear": True,
        "will_outcome": "refused",
        "wildcard_id": "refused",
    }
    return Bypass(**{**safe, **changes})


def fence(**changes: Any) -> Fence:
    safe: dict[str, Any] = {
        "owner": "a",
        "other": "b",
        "control": True,
        "tricks": (Trick(filter="#", code=0),),
    }
    return Fence(**{**safe, **changes})


def takeover(**changes: Any) -> Takeover:
    safe: dict[str, Any] = {
        "second_outcome": "accepted",
        "first_ended": False,
        "first_code": 0,
        "session_handed_over": False,
    }
    return Takeover(**{**safe, **changes})


def offer(**changes: Any) -> Offer:
    safe: dict[str, Any] = {
        "identity": "plug",
        "keepalive_s": 3_600,
        "session_expiry_s": 604_800,
        "max_packet_bytes": 1_048_576,
        "topic_alias_maximum": 16,
        "receive_maximum": 100,
    }
    return Offer(**{**safe, **changes})


def patience(**changes: Any) -> Patience:
    return Patience(**{"silent_s": 10.0, "half_s": 10.0, "waited_s": 35.0, **changes})


def strictness(*survived: str) -> Strictness:
    names = ("NUL in a topic", "QoS 3")
    return Strictness(identity="plug", packets=tuple(Abuse(name=n, survived=n in survived) for n in names))


def origins(**changes: Any) -> Origins:
    return Origins(**{"foreign": 403, "none": 101, **changes})


def ports(**changes: Any) -> Ports:
    return Ports(**{"looked": (15672, 4369), "administration": (), "cluster": (), **changes})


def open_port(port: int) -> OpenPort:
    return OpenPort(port=port, purpose="something")


def listeners(**changes: Any) -> Listeners:
    return Listeners(**{"found": ("tls:8883",), "tls": True, "all_usual_ports": False, **changes})


def versions(*accepted: str) -> tuple[Suites, ...]:
    names = ("SSL 3.0", "TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3")
    return tuple(Suites(version=name, accepted=name in accepted) for name in names)


def tls(**changes: Any) -> TlsOffer:
    safe: dict[str, Any] = {
        "versions": versions("TLS 1.2", "TLS 1.3"),
        "weak": {},
        "aead": True,
        "groups": ("X25519",),
        "hybrid_groups": ("X25519MLKEM768",),
        "extended_master_secret": True,
        "secure_renegotiation": True,
    }
    return TlsOffer(**{**safe, **changes})


def leaf(**changes: Any) -> Leaf:
    safe: dict[str, Any] = {
        "subject": "CN=broker",
        "issuer": "CN=authority",
        "names": ("broker.example",),
        "expected_name": "broker.example",
        "name_matches": True,
        "not_before": NOW - 10 * DAY,
        "not_after": NOW + 80 * DAY,
        "read_at": NOW,
        "key": "secp256r1",
        "key_bits": 256,
        "signature_hash": "sha256",
        "key_sha256": "00" * 32,
        "trusted": True,
        "trusted_by": "given CA file",
    }
    return Leaf(**{**safe, **changes})


def client_certificates(**changes: Any) -> ClientCertificates:
    safe: dict[str, Any] = {"expected": True, "requested": True, "without": "closed", "foreign": "closed"}
    return ClientCertificates(**{**safe, **changes})
