"""Why somebody does not get in: each cause in its layer, with a remedy, and memory that stays bounded."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import bollard
from bollard.base.authentication import Question, Refused
from bollard.base.events import (
    AccessDenied,
    ClientConnected,
    ClientDisconnected,
    ConnectRefused,
    LimitReached,
    TransportRefused,
)
from bollard.base.types import Peer, Secret
from bollard.identity.credentials import Verifier
from bollard.identity.principal import RegistryAuthenticator
from bollard.identity.records import (
    Approval,
    CertificateRecord,
    CertificateState,
    Identity,
    Snapshot,
    State,
    Token,
)
from bollard.server import failures as room
from bollard.server.failures import Failures, of_disconnect, of_refusal, of_transport
from bollard.server.why_connection import judge
from bollard.wire.spec import ReasonCode

NOW = 1_795_392_000.0
VERIFIER = Verifier(Secret(b"p" * 32))
PLUG = Identity("plug", "u", "device", State.ACTIVE, 1, 1, verifier=VERIFIER.make(Secret(b"right")))
REGISTRY = Snapshot().replacing(PLUG)


class Scene:
    """Failures with a clock that moves a second with each event."""

    def __init__(self, registry: Snapshot = REGISTRY) -> None:
        self.now = NOW
        self.failures = Failures(lambda: registry, lambda: self.now)

    def sees(self, *events: object) -> "Scene":
        for event in events:
            self.now += 1
            self.failures.observe(event)  # type: ignore[arg-type]
        return self

    def verdict(self, identity: Identity | None = PLUG, connected: int = 0) -> tuple[str, str, str]:
        why = judge("plug", identity, self.failures.of("plug"), connected, now=self.now)
        return why.layer, why.text, why.remedy


def refused(
    code: int, reason: str, *, username: str = "", client_id: str = "", address: str = "192.0.2.1"
) -> ConnectRefused:
    return ConnectRefused(address, "tls", client_id, username, code, reason)


def connected(address: str = "192.0.2.1") -> ClientConnected:
    return ClientConnected("plug", "plug", address, "tls", 5, False, 60)


# --- what the broker really says ---------------------------------------------------------------------


def reason_of(identity: Identity | None, question: Question) -> Refused:
    """The refusal of the real authenticator."""
    registry = Snapshot().replacing(identity) if identity is not None else Snapshot()
    answer = RegistryAuthenticator(lambda: registry, VERIFIER, clock=lambda: NOW).answer(question)
    assert isinstance(answer, Refused)
    return answer


def asked(
    *, username: str | None = "plug", password: bytes | None = b"right", certificate: bytes | None = None
) -> Question:
    peer = Peer(certificate=certificate)
    return Question(None, "connect", peer, "c", username, Secret(password) if password else None)


def with_certificate(state: CertificateState, not_after: float = NOW + 100) -> Identity:
    digest = hashlib.sha256(b"der").digest()
    return replace(PLUG, certificates=(CertificateRecord(7, state, int(not_after), 1, 1, digest),))


@pytest.mark.parametrize(
    ("identity", "question", "layer", "remedy"),
    [
        (PLUG, asked(password=b"wrong"), "credential", "devices rotate"),
        (None, asked(), "credential", "user name"),
        (PLUG, asked(username=None, password=None), "credential", "Give the client"),
        (replace(PLUG, state=State.SUSPENDED), asked(), "identity", "resume"),
        (replace(PLUG, state=State.REVOKED), asked(), "identity", "another name"),
        (replace(PLUG, state=State.PENDING), asked(), "identity", "enrollment"),
        (PLUG, asked(certificate=b"unknown"), "certificate", "--certificate"),
        (with_certificate(CertificateState.SUPERSEDED), asked(certificate=b"der"), "certificate", "newest"),
        (with_certificate(CertificateState.ACTIVE, NOW), asked(certificate=b"der"), "certificate", "clocks"),
        (with_certificate(CertificateState.REVOKED), asked(certificate=b"der"), "identity", "another name"),
        (
            with_certificate(CertificateState.ACTIVE),
            asked(username="lamp", certificate=b"der"),
            "binding",
            "Leave the user name out",
        ),
    ],
)
def test_each_refusal_of_the_authenticator_has_its_layer_and_remedy(
    identity: Identity | None, question: Question, layer: str, remedy: str
) -> None:
    answer = reason_of(identity, question)
    found, told = of_refusal(answer.code, answer.reason)
    assert (found, remedy in told) == (layer, True), (answer.reason, told)


@pytest.mark.parametrize(
    ("reason", "layer", "remedy"),
    [
        ("plaintext MQTT on a TLS port; point the device at TLS", "tcp", "to TLS"),
        ("plain HTTP on a TLS port; use TLS (https, wss)", "tcp", "to TLS"),
        ("TLS on a plaintext port; use the TLS listener, or connect without TLS", "tcp", "bollard status"),
        ("HTTP on an MQTT port; MQTT over WebSocket needs a listener of its own", "tcp", "[[listener]]"),
        ("the first bytes are neither TLS nor MQTT", "tcp", "MQTT over TLS"),
        ("plaintext from outside the networks of allow_plaintext_from; use TLS", "tcp", "to TLS"),
        ("sent nothing within 10 s", "tcp", "its network"),
        ("did not complete the TLS handshake within 10 s", "tls", "the network in between"),
        ("the client left during the TLS handshake; if it does not trust", "tls", "server-root.crt"),
        ("the client does not trust our server certificate; give it the CA file", "tls", "server-root.crt"),
        (
            "the client finds our server certificate expired or not yet valid; check the clock",
            "clock",
            "clock",
        ),
        (
            "the client's certificate is not accepted (certificate has expired); enroll",
            "certificate",
            "bollard devices rotate ID --certificate",
        ),
        ("the client's certificate is not accepted (certificate is not yet valid); enroll", "clock", "clock"),
        ("the client left before the WebSocket upgrade was complete", "protocol", "/mqtt"),
        ("WebSocket from a page whose origin is not listed under `origins`", "protocol", "under origins"),
        ("a text frame where MQTT has only binary ones", "protocol", "/mqtt"),
        ("no key exchange group in common; the client must offer X25519 or P-256", "tls", "software"),
        ("TLS failed: something that OpenSSL says tomorrow", "tls", "software"),
    ],
)
def test_each_end_of_a_transport_has_its_layer_and_remedy(reason: str, layer: str, remedy: str) -> None:
    found, told = of_transport(reason)
    assert (found, remedy in told) == (layer, True), told


def test_a_code_that_is_not_known_here_has_a_remedy_too() -> None:
    assert "bollard log" in of_refusal(0xFF, "?")[1]
    assert "bollard log" in of_disconnect(0xFF, "?")[1]


# --- the verdict -------------------------------------------------------------------------------------


def test_a_wrong_password_is_told_with_address_and_command() -> None:
    scene = Scene().sees(refused(0x86, "wrong password", username="plug", address="192.0.2.9"))
    layer, text, remedy = scene.verdict()
    assert layer == "credential"
    assert "wrong password" in text
    assert "192.0.2.9" in text
    assert "bollard devices rotate plug" in remedy


def test_the_client_id_names_who_it_is_where_nothing_better_does() -> None:
    scene = Scene().sees(refused(0x87, "client certificate is not in the registry", client_id="plug"))
    assert scene.verdict()[0] == "certificate"


def test_who_the_broker_itself_names_counts_more_than_what_the_client_claims() -> None:
    lamp = replace(PLUG, id="lamp", uuid="l")
    scene = Scene(REGISTRY.replacing(lamp)).sees(
        refused(0x87, "certificate 7 of 'lamp' is superseded", client_id="plug")
    )
    assert scene.failures.of("plug").failures == ()
    assert scene.failures.of("lamp").failures[0].layer == "certificate"


def test_a_failed_handshake_from_its_last_address_is_taken_for_its_own() -> None:
    scene = Scene().sees(
        connected("192.0.2.5"),
        ClientDisconnected("plug", "plug", "192.0.2.5", "client", 0, ""),
        TransportRefused("192.0.2.5", "tls", "the client does not trust our server certificate"),
    )
    layer, text, _ = scene.verdict()
    assert layer == "tls"
    assert "192.0.2.5" in text


def test_the_remedy_of_a_handshake_from_its_last_address_names_the_device() -> None:
    expired = "the client's certificate is not accepted (certificate has expired); enroll the device again"
    scene = Scene().sees(connected(), LEFT, TransportRefused("192.0.2.1", "tls", expired))
    assert "bollard devices rotate plug --certificate" in scene.verdict()[2]


def test_a_device_that_was_never_heard_of_is_shown_what_nobody_could_be_named_for() -> None:
    scene = Scene().sees(TransportRefused("192.0.2.66", "tls", "plaintext MQTT on a TLS port"))
    why = judge("plug", PLUG, scene.failures.of("plug"), 0, now=scene.now)
    assert why.layer == "tcp"
    assert "nothing of it has reached" in why.text
    assert [failure.address for failure in why.unnamed] == ["192.0.2.66"]


def test_a_device_without_the_new_server_root_is_told_of_it_until_it_comes_or_has_a_new_credential() -> None:
    replaced_at = int(NOW) + 3
    gone = ClientDisconnected("plug", "plug", "192.0.2.5", "client", 0, "")
    scene = Scene().sees(connected("192.0.2.5"), gone)

    def verdict(identity: Identity = PLUG) -> tuple[str, str, str]:
        history = scene.failures.of("plug")
        why = judge("plug", identity, history, 0, root_replaced_at=replaced_at, now=scene.now)
        return why.layer, why.text, why.remedy

    layer, text, remedy = verdict()
    assert (layer, "server root was replaced on 2026-11-23" in text) == ("tls", True)
    assert "server-root.crt" in remedy
    scene.now += 1
    scene.sees(TransportRefused("192.0.2.5", "tls", "the client does not trust our server certificate"))
    assert "(the client does not trust our server certificate, 2026" in verdict()[1]
    assert verdict(replace(PLUG, changed_at=replaced_at))[0] == "tls"
    assert "server root" not in verdict(replace(PLUG, changed_at=replaced_at + 1))[1]
    scene.sees(refused(0x86, "wrong password", client_id="plug", username="plug"))
    assert verdict()[0] == "credential"  # it believes us now
    scene.sees(connected("192.0.2.5"), gone)
    assert verdict()[0] == ""


def test_what_went_wrong_before_it_came_in_is_over() -> None:
    scene = Scene().sees(
        connected("192.0.2.5"),
        TransportRefused("192.0.2.5", "tls", "the client does not trust our server certificate"),
        connected("192.0.2.5"),
        ClientDisconnected("plug", "plug", "192.0.2.5", "client", 0, ""),
    )
    assert scene.verdict()[0] == ""


def test_attempts_of_a_name_that_is_not_enrolled_are_found_under_that_name() -> None:
    scene = Scene().sees(refused(0x86, "unknown user name", username="lamp"))
    why = judge("lamp", None, scene.failures.of("lamp"), 0, now=scene.now)
    assert (why.layer, why.remedy) == ("identity", "bollard enroll lamp")
    assert why.failures[0].text == "unknown user name"


@pytest.mark.parametrize(
    ("identity", "layer", "remedy"),
    [
        (replace(PLUG, state=State.SUSPENDED), "identity", "bollard devices resume plug"),
        (replace(PLUG, state=State.REVOKED), "identity", "another name"),
        (replace(PLUG, state=State.PENDING), "identity", "bollard enroll plug"),
        (replace(PLUG, verifier=b""), "credential", "bollard devices rotate plug"),
        (
            replace(with_certificate(CertificateState.ACTIVE, NOW), verifier=b""),
            "certificate",
            "bollard devices rotate plug --certificate",
        ),
    ],
)
def test_what_the_registry_says_goes_before_all_that_happened(
    identity: Identity, layer: str, remedy: str
) -> None:
    scene = Scene().sees(refused(0x86, "wrong password", username="plug"))
    found, _, told = scene.verdict(identity)
    assert (found, remedy in told) == (layer, True)


def test_a_connected_device_has_nothing_wrong_unless_it_was_denied_something() -> None:
    scene = Scene().sees(refused(0x86, "wrong password", username="plug"), connected())
    assert scene.verdict(connected=1)[0] == ""
    scene.sees(AccessDenied("plug", "plug", "publish", "a/b c", "", "no rule grants this"))
    layer, text, remedy = scene.verdict(connected=1)
    assert layer == "policy"
    assert "a/b c" in text
    assert remedy == "bollard why plug publish 'a/b c'"


def _ended(reason: str) -> ClientDisconnected:
    return ClientDisconnected("plug", "c", "192.0.2.1", "server", 0x87, reason)


def test_every_code_with_which_the_engine_ends_a_connection_has_a_layer() -> None:
    used = set()
    for file in (Path(bollard.__file__).parent / "engine").glob("*.py"):
        used |= {ReasonCode[name] for name in re.findall(r"ReasonCode\.([A-Z_]+)", file.read_text())}
    silent = {0x00, 0x10, 0x11, 0x18, 0x19, 0x91, 0x92}  # acknowledgements, which end nothing
    without = {int(code) for code in used} - silent - room._OF_CODE.keys()
    assert without == set()


@pytest.mark.parametrize(
    ("event", "layer"),
    [
        (refused(0x87, "its will on x is not allowed: no", username="plug"), "will"),
        (refused(0x85, "too long", username="plug"), "binding"),
        (ClientDisconnected("plug", "c", "192.0.2.1", "server", 0x8E, "taken over"), "binding"),
        (ClientDisconnected("plug", "c", "192.0.2.1", "server", 0x8D, "nothing came"), "tcp"),
        (ClientDisconnected("plug", "c", "192.0.2.1", "server", 0x98, "suspended"), "identity"),
        (_ended("its certificate has expired"), "certificate"),
        (_ended("its certificate is superseded; connect with the new credential"), "certificate"),
        (_ended("the credential was replaced; connect with the new one"), "credential"),
        (_ended("its password was replaced; connect with the new credential"), "credential"),
        (_ended("the authority of its certificate was replaced"), "certificate"),
        (refused(0x89, "too many passwords wait to be checked", username="plug"), "limit"),
        (
            refused(0x86, "the password of 'plug' was chosen by a person; allow_human_passwords is off"),
            "credential",
        ),
        (LimitReached("max_sessions", "plug", "c", "192.0.2.1", "1000 sessions"), "limit"),
    ],
)
def test_whatever_ends_or_refuses_a_connection_has_its_layer(event: object, layer: str) -> None:
    assert Scene().sees(event).verdict()[0] == layer


def test_a_client_that_left_by_itself_is_no_failure() -> None:
    scene = Scene().sees(connected(), ClientDisconnected("plug", "c", "192.0.2.1", "client", 0, ""))
    layer, text, _ = scene.verdict()
    assert layer == ""
    assert "has gone by itself" in text


def denied() -> AccessDenied:
    return AccessDenied("plug", "plug", "publish", "a/b", "", "no rule grants this")


LEFT = ClientDisconnected("plug", "plug", "192.0.2.1", "client", 0, "")


def test_a_denial_of_one_that_got_in_names_no_address_and_nothing_wrong_with_its_connection() -> None:
    scene = Scene().sees(connected(), denied(), LEFT)
    why = judge("plug", PLUG, scene.failures.of("plug"), 0, now=scene.now)
    assert (why.layer, why.gets_in) == ("policy", True)
    assert why.text.startswith("it got in, but: publish a/b")
    assert " from " not in why.text
    scene.sees(connected(), LEFT)
    why = judge("plug", PLUG, scene.failures.of("plug"), 0, now=scene.now)
    assert (why.layer, why.gets_in) == ("", True)


def test_a_failed_handshake_after_a_denial_counts_more_than_the_denial() -> None:
    distrust = TransportRefused("192.0.2.1", "tls", "the client does not trust our server certificate")
    scene = Scene().sees(connected(), denied(), LEFT, distrust)
    why = judge("plug", PLUG, scene.failures.of("plug"), 0, now=scene.now)
    assert (why.layer, why.gets_in) == ("tls", False)


def test_one_that_is_refused_does_not_get_in() -> None:
    scene = Scene().sees(refused(0x86, "wrong password", username="plug"))
    why = judge("plug", PLUG, scene.failures.of("plug"), 0, now=scene.now)
    assert (why.layer, why.gets_in) == ("credential", False)


def test_a_handshake_that_failed_for_another_reason_is_not_blamed_on_the_root() -> None:
    scene = Scene().sees(
        connected(), LEFT, TransportRefused("192.0.2.1", "tls", "no key exchange group in common")
    )
    history = scene.failures.of("plug")
    why = judge("plug", PLUG, history, 0, root_replaced_at=int(NOW) + 3, now=scene.now)
    assert "server root was replaced" in why.text
    assert "key exchange" not in why.text


def with_string(identity: Identity, **facts: Any) -> Identity:
    token = Token(b"v", int(NOW), int(NOW) + 3600)
    return replace(identity, token=replace(token, **facts))


def test_an_open_enrollment_string_is_told_with_its_end() -> None:
    pending = replace(PLUG, state=State.PENDING, verifier=b"")
    layer, text, remedy = Scene().verdict(with_string(pending))
    assert layer == "identity"
    assert "its string is open until 2026-11-23" in text
    assert "bollard join" in remedy
    assert "bollard enroll" not in remedy
    waiting = with_string(pending, approval=Approval.REQUIRED, key=b"k")
    assert "bollard devices approve plug" in Scene().verdict(waiting)[2]
    for over in (with_string(pending, expires_at=int(NOW)), with_string(pending, spent_at=int(NOW))):
        assert "open until" not in Scene().verdict(over)[1]
    rotated = Scene().sees(refused(0x86, "wrong password", username="plug")).verdict(with_string(PLUG))
    assert rotated[0] == "credential"
    assert "its string is open until" in rotated[1]


def test_without_a_broker_that_is_the_answer() -> None:
    why = judge("plug", PLUG, None, None, now=NOW)
    assert (why.layer, why.remedy) == ("tcp", "Start it: bollard up")


# --- our own look at the listeners -------------------------------------------------------------------


def probe(address: str = "127.0.0.1") -> TransportRefused:
    return TransportRefused(address, "tls", "no key exchange group in common")


def test_what_is_refused_to_our_own_look_is_counted_and_pushes_nobody_out() -> None:
    scene = Scene().sees(probe("192.0.2.66"))
    scene.failures.examined(("127.0.0.1",), 900)
    for _ in range(room.MAX_STRANGERS):
        scene.sees(probe(), refused(0x86, "unknown user name", username="admin", address="127.0.0.1"))
    why = judge("plug", PLUG, scene.failures.of("plug"), 0, now=scene.now)
    assert [failure.address for failure in why.unnamed] == ["192.0.2.66"]
    assert why.examination is not None
    assert (why.examination.refused, why.examination.addresses) == (2 * room.MAX_STRANGERS, ("127.0.0.1",))


def test_our_own_look_hides_no_other_address_and_no_identity() -> None:
    scene = Scene()
    scene.failures.examined(("127.0.0.1",), 900)
    scene.sees(probe("192.0.2.66"), refused(0x86, "wrong password", username="plug", address="127.0.0.1"))
    history = scene.failures.of("plug")
    assert [failure.address for failure in history.unnamed] == ["192.0.2.66"]
    assert [failure.text for failure in history.failures] == ["wrong password"]
    assert history.examination is not None
    assert history.examination.refused == 0


def test_our_own_look_ends_when_it_is_said_or_by_itself() -> None:
    scene = Scene()
    scene.failures.examined(("127.0.0.1",), 1e9)
    scene.failures.examined(("127.0.0.1",), 1)
    scene.sees(probe(), probe())
    assert len(scene.failures.of("plug").unnamed) == 1
    scene.failures.examined(("::1",), 1e9)
    scene.now += room.MAX_EXAMINATION_S
    scene.sees(probe("::1"))
    assert [failure.address for failure in scene.failures.of("plug").unnamed] == ["::1", "127.0.0.1"]


def test_our_own_look_names_only_so_many_addresses() -> None:
    scene = Scene()
    scene.failures.examined([f"192.0.2.{number}" for number in range(200)], 900)
    known = scene.failures.of("plug").examination
    assert known is not None
    assert len(known.addresses) == room.MAX_EXAMINED_FROM


# --- bounds ------------------------------------------------------------------------------------------


def test_strangers_cannot_fill_the_memory() -> None:
    scene = Scene()
    for number in range(room.MAX_STRANGERS + 100):
        scene.sees(refused(0x86, "x" * 5000, username=f"name{number}" + "y" * 5000))
    kept = scene.failures.of("nobody").unnamed
    assert len(kept) <= room.MAX_STRANGERS
    assert all(len(failure.text) <= room.MAX_TEXT_CHARS for failure in scene.failures._strangers)
    assert all(len(failure.claimed) <= room.MAX_TEXT_CHARS for failure in scene.failures._strangers)
    assert len(scene.failures._known) == 0


def test_one_identity_cannot_fill_the_memory_nor_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_IDENTITIES", 3)
    many = [replace(PLUG, id=f"p{number}", uuid=str(number)) for number in range(5)]
    scene = Scene(Snapshot().replacing(*many))
    for identity in many:
        for _ in range(room.MAX_FAILURES + 5):
            scene.sees(refused(0x86, "wrong password", username=identity.id))
    assert len(scene.failures._known) == 3
    assert len(scene.failures.of("p4").failures) == room.MAX_FAILURES
