import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from msgspec import structs

from bollard.base.authentication import Accepted, Answer, Challenge, Question, Refused
from bollard.base.types import Peer, Secret
from bollard.identity.credentials import Verifier
from bollard.identity.principal import RegistryAuthenticator
from bollard.identity.registry import Registry
from bollard.identity.renewal import OVERLAP_S
from bollard.identity.tokens import new_token

from .conftest import NOW

CERTIFICATE, OTHER_CERTIFICATE = b"DER of plug", b"DER of lamp"
END = NOW + 1000

WithCertificate = Peer(certificate=CERTIFICATE)


class Echo:
    """A mechanism: the client names its identity, is challenged, and must repeat the challenge."""

    def start(self, question: Question) -> Answer:
        question.exchange = question.data.decode()
        return Challenge(b"nonce")

    def proceed(self, question: Question) -> Answer:
        if question.data != b"nonce":
            return Refused(0x87, "wrong answer")
        return Accepted(str(question.exchange), b"proof")


class Bench:
    """An authenticator over a registry with `plug` (certificate and password), `lamp` (certificate) and
    `app` (password)."""

    def __init__(self, registry: Registry, verifier: Verifier) -> None:
        self.registry = registry
        self.now = float(NOW)
        self.authenticator = RegistryAuthenticator(
            registry.snapshot, verifier, mechanisms={"ECHO": Echo()}, clock=lambda: self.now
        )
        self.plug_password = registry.add_with_password("plug", "device", now=NOW)
        self.app_password = registry.add_with_password("app", "app", now=NOW)
        registry.add("lamp", "device", now=NOW)
        self.certify("plug", 1, CERTIFICATE)
        self.certify("lamp", 2, OTHER_CERTIFICATE)

    def certify(self, identity: str, serial: int, der: bytes, supersede: bool = False) -> None:
        self.registry.begin_certificate(identity, serial, not_after=END, now=NOW)
        sha256 = hashlib.sha256(der).digest()
        self.registry.complete_certificate(identity, serial, sha256, now=NOW, supersede=supersede)

    def connect(
        self, username: str | None = None, password: Secret | None = None, peer: Peer | None = None
    ) -> Answer:
        return self.ask(question(peer, username, password))

    def ask(self, asked: Question) -> Answer:
        return self.authenticator.answer(asked)


def question(
    peer: Peer | None = None, username: str | None = None, password: Secret | None = None
) -> Question:
    return Question(None, "connect", peer or Peer(), "some-client", username, password)


@pytest.fixture
def bench(registry: Registry, verifier: Verifier) -> Bench:
    return Bench(registry, verifier)


def refused(answer: Answer, code: int = 0x87) -> Refused:
    assert isinstance(answer, Refused), answer
    assert answer.code == code
    return answer


# --- user name and password


def test_the_right_password_is_its_identity(bench: Bench) -> None:
    assert bench.connect("app", bench.app_password) == Accepted("app")


def test_an_unknown_user_and_a_wrong_password_look_alike(bench: Bench) -> None:
    wrong = refused(bench.connect("app", Secret(b"wrong")), 0x86)
    unknown = refused(bench.connect("ghost", Secret(b"wrong")), 0x86)
    without = refused(bench.connect("lamp", Secret(b"wrong")), 0x86)
    assert wrong.tell == unknown.tell == without.tell == "bad user name or password"
    assert wrong.reason == "wrong password"
    assert unknown.reason == "unknown user name"
    assert without.reason == "the identity has no password"


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("app", None),
        ("app", Secret(b"")),
        ("", Secret(b"")),
        ("lamp", Secret(b"")),
        ("", None),
        (None, Secret(b"")),
        ("anonymous", Secret(b"")),
        ("App", Secret(b"x")),
    ],
)
def test_half_a_credential_is_none(bench: Bench, username: str | None, password: Secret | None) -> None:
    for peer in (Peer(), Peer(allow_anonymous=True)):
        refused(bench.connect(username, password, peer), 0x86)


def test_a_password_without_a_user_name_is_nobodys(bench: Bench) -> None:
    refused(bench.connect(None, bench.app_password), 0x86)


def test_one_identitys_password_is_not_anothers(bench: Bench) -> None:
    refused(bench.connect("plug", bench.app_password), 0x86)


def test_a_reason_never_holds_the_password(bench: Bench) -> None:
    answer = refused(bench.connect("app", Secret(b"hunter2")), 0x86)
    assert "hunter2" not in repr(answer)


def test_who_knows_the_password_may_read_why_it_does_not_help(bench: Bench) -> None:
    bench.registry.suspend("app", now=NOW)
    assert refused(bench.connect("app", bench.app_password)).tell == "identity is suspended"
    refused(bench.connect("app", Secret(b"wrong")), 0x86)
    bench.registry.resume("app", now=NOW)
    assert bench.connect("app", bench.app_password) == Accepted("app")
    bench.registry.revoke("app", now=NOW)
    assert refused(bench.connect("app", bench.app_password)).tell == "identity is revoked"
    refused(bench.connect("app", Secret(b"wrong")), 0x86)


def test_a_rotated_password_ends_at_once(bench: Bench) -> None:
    bench.registry.rotate_password("app", now=NOW)
    refused(bench.connect("app", bench.app_password), 0x86)


# --- anonymous


def test_nothing_at_all_is_anonymous_only_where_the_listener_allows_it(bench: Bench) -> None:
    assert bench.connect(peer=Peer(allow_anonymous=True)) == Accepted("anonymous")
    refused(bench.connect())


def test_an_anonymous_listener_still_checks_what_is_presented(bench: Bench) -> None:
    peer = Peer(allow_anonymous=True)
    assert bench.connect("app", bench.app_password, peer) == Accepted("app")
    refused(bench.connect("app", Secret(b"wrong"), peer), 0x86)
    refused(bench.connect(peer=structs.replace(peer, certificate=b"unknown")))


# --- certificates


def test_a_certificate_is_the_identity_it_was_issued_to(bench: Bench) -> None:
    assert bench.connect(peer=WithCertificate) == Accepted("plug")
    assert bench.connect("plug", peer=WithCertificate) == Accepted("plug")
    assert bench.connect("", Secret(b""), WithCertificate) == Accepted("plug")


def test_a_user_name_does_not_override_a_certificate(bench: Bench) -> None:
    for password in (None, bench.app_password):
        refused(bench.connect("app", password, WithCertificate))


def test_a_password_beside_a_certificate_is_checked_and_not_ignored(bench: Bench) -> None:
    assert bench.connect("plug", bench.plug_password, WithCertificate) == Accepted("plug")
    assert bench.connect(None, bench.plug_password, WithCertificate) == Accepted("plug")
    refused(bench.connect("plug", Secret(b"wrong"), WithCertificate), 0x86)
    refused(bench.connect("lamp", Secret(b"any"), Peer(certificate=OTHER_CERTIFICATE)), 0x86)


def test_a_certificate_that_we_did_not_record_is_nobodys(bench: Bench) -> None:
    stranger = Peer(certificate=b"signed by a stolen authority", allow_anonymous=True)
    refused(bench.connect(peer=stranger))
    refused(bench.connect("app", bench.app_password, stranger))
    refused(bench.connect(peer=Peer(certificate=b"")))


def test_a_superseded_certificate_is_refused_and_the_new_one_taken(bench: Bench) -> None:
    bench.certify("plug", 3, b"DER of plug, renewed", supersede=True)
    assert refused(bench.connect(peer=WithCertificate)).tell == "certificate is superseded"
    assert bench.connect(peer=Peer(certificate=b"DER of plug, renewed")) == Accepted("plug")


def test_a_certificate_of_a_revoked_or_suspended_identity_is_refused(bench: Bench) -> None:
    bench.registry.suspend("plug", now=NOW)
    assert refused(bench.connect(peer=WithCertificate)).tell == "identity is suspended"
    bench.registry.revoke("plug", now=NOW)
    assert refused(bench.connect(peer=WithCertificate)).tell == "certificate is revoked"


def test_a_certificate_ends_also_for_a_resumed_tls_session(bench: Bench) -> None:
    bench.now = END - 0.5
    assert bench.connect(peer=WithCertificate) == Accepted("plug")
    bench.now = END
    assert refused(bench.connect(peer=WithCertificate)).tell == "certificate is expired"


# --- enhanced authentication


def step(name: str, data: bytes, **changes: object) -> Question:
    return structs.replace(question(), step=name, method="ECHO", data=data, **changes)  # type: ignore[arg-type]


def exchange(bench: Bench, identity: bytes, answer: bytes = b"nonce", **changes: object) -> Answer:
    """CONNECT or re-authentication, and the answer to the challenge."""
    first = step(str(changes.pop("first", "connect")), identity, **changes)
    assert bench.ask(first) == Challenge(b"nonce")
    return bench.ask(structs.replace(first, step="continue", data=answer, exchange=first.exchange))


def test_a_mechanism_proves_an_identity_in_steps(bench: Bench) -> None:
    assert exchange(bench, b"lamp") == Accepted("lamp", b"proof")
    refused(exchange(bench, b"lamp", b"guess"))


def test_an_unknown_method_is_refused_as_such(bench: Bench) -> None:
    """[MQTT5-4.12.0-1]"""
    asked = structs.replace(step("connect", b"lamp"), method="SCRAM-SHA-999")
    refused(bench.ask(asked), 0x8C)


@pytest.mark.parametrize("identity", [b"ghost", b"anonymous", b""])
def test_a_mechanism_cannot_prove_who_is_not_enrolled(bench: Bench, identity: bytes) -> None:
    refused(exchange(bench, identity))


def test_a_mechanism_does_not_revive_the_revoked(bench: Bench) -> None:
    bench.registry.revoke("lamp", now=NOW)
    refused(exchange(bench, b"lamp"))


def test_what_a_mechanism_proves_must_agree_with_the_other_claims(bench: Bench) -> None:
    assert exchange(bench, b"plug", username="plug", password=bench.plug_password) == Accepted(
        "plug", b"proof"
    )
    assert exchange(bench, b"plug", peer=WithCertificate) == Accepted("plug", b"proof")
    refused(exchange(bench, b"plug", username="lamp"))
    refused(exchange(bench, b"plug", password=Secret(b"wrong")), 0x86)
    refused(exchange(bench, b"lamp", peer=WithCertificate))


def test_a_bad_certificate_is_refused_before_a_mechanism_runs(bench: Bench) -> None:
    refused(bench.ask(step("connect", b"plug", peer=Peer(certificate=b"unknown"))))


def test_a_re_authentication_keeps_the_identity(bench: Bench) -> None:
    assert exchange(bench, b"lamp", first="reauthenticate", principal="lamp") == Accepted("lamp", b"proof")
    refused(exchange(bench, b"plug", first="reauthenticate", principal="lamp"))


def test_an_exchange_starts_anew_and_ends_with_its_answer(bench: Bench) -> None:
    first = step("connect", b"lamp", exchange="left over")
    bench.ask(first)
    assert first.exchange == "lamp"
    last = structs.replace(first, step="continue", data=b"nonce", exchange=first.exchange)
    bench.ask(last)
    assert last.exchange is None


@pytest.mark.parametrize(
    "change",
    [
        lambda q: structs.replace(q, step="continue", exchange=None),
        lambda q: structs.replace(q, step="continue", method=""),
        lambda q: structs.replace(q, step="reauthenticate", method="", peer=WithCertificate),
        lambda q: structs.replace(q, step="surprise", method="", username="app"),
    ],
    ids=["answer without challenge", "answer without method", "again without method", "unknown step"],
)
def test_a_step_out_of_order_is_a_protocol_error(
    bench: Bench, change: Callable[[Question], Question]
) -> None:
    refused(bench.ask(change(step("connect", b"lamp"))), 0x82)


# --- enrollment strings ------------------------------------------------------------------------------

WithTls = Peer(tls_server_end_points=(b"hash of our certificate",))
TOKEN = Secret(b"SECRET OF THE ENROLLMENT STRING")


def give_token(bench: Bench, verifier: Verifier, name: str) -> None:
    token = new_token(verifier.make(TOKEN), now=NOW, life_s=3600, approval=False)
    bench.registry.change(name, lambda known: replace(known, token=token))


def test_the_secret_of_a_string_gets_a_connection_that_may_enroll(bench: Bench, verifier: Verifier) -> None:
    bench.registry.add("new", "device", now=NOW)
    give_token(bench, verifier, "new")
    assert bench.connect("new", TOKEN, WithTls) == Accepted("enroll:new")
    refused(bench.connect("new", Secret(b"another"), WithTls), 0x86)
    refused(bench.connect("plug", TOKEN, WithTls), 0x86)


def test_a_string_is_not_taken_without_tls(bench: Bench, verifier: Verifier) -> None:
    give_token(bench, verifier, "plug")
    assert "TLS" in refused(bench.connect("plug", TOKEN)).tell


def test_an_expired_string_is_told_to_who_knows_it(bench: Bench, verifier: Verifier) -> None:
    give_token(bench, verifier, "plug")
    bench.now = NOW + 3600.0
    assert "expired" in refused(bench.connect("plug", TOKEN, WithTls)).tell
    assert refused(bench.connect("plug", Secret(b"x"), WithTls), 0x86).tell == "bad user name or password"


@pytest.mark.parametrize("end", ["suspend", "revoke"])
def test_a_string_does_not_open_what_was_closed(bench: Bench, verifier: Verifier, end: str) -> None:
    give_token(bench, verifier, "plug")
    getattr(bench.registry, end)("plug", now=NOW)
    refused(bench.connect("plug", TOKEN, WithTls))


def test_a_password_still_gets_the_identity_itself_beside_a_string(bench: Bench, verifier: Verifier) -> None:
    give_token(bench, verifier, "plug")
    assert bench.connect("plug", bench.plug_password, WithTls) == Accepted("plug")


def test_the_first_use_of_a_newer_certificate_is_told(registry: Registry, verifier: Verifier) -> None:
    told: list[tuple[str, int]] = []
    bench = Bench(registry, verifier)
    bench.authenticator = RegistryAuthenticator(
        registry.snapshot, verifier, clock=lambda: bench.now, used=lambda *use: told.append(use)
    )
    bench.connect(peer=Peer(certificate=CERTIFICATE))
    assert told == []
    registry.begin_certificate("plug", 9, not_after=END, now=NOW + 5)
    registry.complete_certificate("plug", 9, hashlib.sha256(b"newer").digest(), now=NOW + 5)
    assert bench.connect(peer=Peer(certificate=CERTIFICATE)) == Accepted("plug")
    assert told == []
    assert bench.connect(peer=Peer(certificate=b"newer")) == Accepted("plug")
    assert told == [("plug", 9)]


def test_a_certificate_that_was_replaced_days_ago_is_refused(bench: Bench) -> None:
    bench.registry.begin_certificate("plug", 9, not_after=END, now=NOW + 5)
    bench.registry.complete_certificate("plug", 9, hashlib.sha256(b"newer").digest(), now=NOW + 5)
    bench.now = NOW + 6.0 + OVERLAP_S
    long_lived = bench.registry.get("plug").certificates[0]
    bench.registry.change(
        "plug",
        lambda known: replace(
            known,
            certificates=(
                replace(long_lived, not_after=2 * NOW),
                replace(known.certificates[1], not_after=2 * NOW),
            ),
        ),
    )
    assert "superseded" in refused(bench.connect(peer=Peer(certificate=CERTIFICATE))).tell
    assert bench.connect(peer=Peer(certificate=b"newer")) == Accepted("plug")
