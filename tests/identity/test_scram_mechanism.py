"""The server's part of SCRAM against an independent client (scramp), and against those who cheat."""

import base64
import hashlib
from typing import Any

import pytest
from scramp import ScramClient, ScramException

from bollard.base.authentication import Accepted, Answer, Challenge, Question, Refused
from bollard.base.types import Peer
from bollard.identity.credentials import Verifier
from bollard.identity.principal import RegistryAuthenticator
from bollard.identity.registry import Registry
from bollard.identity.scram import METHOD, METHOD_PLUS
from bollard.identity.scram_mechanism import scram_mechanisms

from .conftest import NOW

ECDSA, RSA, FOREIGN = (hashlib.sha256(name).digest() for name in (b"ecdsa", b"rsa", b"in between"))
WithTls = Peer(tls_server_end_points=(ECDSA, RSA))


class Bench:
    """An authenticator over a registry with `plug`, who has a password, and `lamp`, who has none."""

    def __init__(self, registry: Registry, verifier: Verifier) -> None:
        self.registry = registry
        self.authenticator = RegistryAuthenticator(
            registry.snapshot, verifier, mechanisms=scram_mechanisms(registry.snapshot, verifier)
        )
        self.password = registry.add_with_password("plug", "device", now=NOW).reveal().decode()
        registry.add("lamp", "device", now=NOW)

    def client(self, password: str = "", name: str = "plug", end_point: bytes | None = None) -> ScramClient:
        binding = ("tls-server-end-point", end_point) if end_point else None
        return ScramClient([METHOD_PLUS if end_point else METHOD], name, password or self.password, binding)

    def exchange(
        self, client: ScramClient, peer: Peer = WithTls, step: str = "connect", **fields: Any
    ) -> tuple[Question, Answer]:
        """From client-first to the verdict."""
        asked = question(client.mechanism_name, client.get_client_first().encode(), peer, step, **fields)
        challenge = self.authenticator.answer(asked)
        if not isinstance(challenge, Challenge):
            return asked, challenge
        client.set_server_first(challenge.data.decode())
        return asked, self.proceed(asked, client.get_client_final().encode())

    def proceed(self, asked: Question, data: bytes) -> Answer:
        asked.step, asked.data = "continue", data
        return self.authenticator.answer(asked)

    def challenge(self, asked: Question) -> str:
        answer = self.authenticator.answer(asked)
        assert isinstance(answer, Challenge), answer
        return answer.data.decode()


def question(
    method: str, data: bytes, peer: Peer = WithTls, step: str = "connect", **fields: Any
) -> Question:
    return Question(None, step, peer, "some-client", None, None, method, data, **fields)


@pytest.fixture
def bench(registry: Registry, verifier: Verifier) -> Bench:
    return Bench(registry, verifier)


def refused(answer: Answer, code: int = 0x87) -> Refused:
    assert isinstance(answer, Refused), answer
    assert answer.code == code
    return answer


def test_an_independent_client_authenticates_and_verifies_our_signature(bench: Bench) -> None:
    client = bench.client()
    _, answer = bench.exchange(client)
    assert isinstance(answer, Accepted)
    assert answer.principal == "plug"
    client.set_server_final(answer.data.decode())  # raises if the signature is wrong


@pytest.mark.parametrize("end_point", [ECDSA, RSA], ids=["ecdsa", "rsa"])
def test_an_independent_client_binds_to_either_of_our_certificates(bench: Bench, end_point: bytes) -> None:
    client = bench.client(end_point=end_point)
    _, answer = bench.exchange(client)
    assert isinstance(answer, Accepted)
    client.set_server_final(answer.data.decode())


def test_a_proof_bound_to_another_certificate_is_refused(bench: Bench) -> None:
    _, answer = bench.exchange(bench.client(end_point=FOREIGN))
    assert "in between" in refused(answer).reason


def test_a_client_that_was_told_there_is_no_plus_is_refused(bench: Bench) -> None:
    asked = question(METHOD, b"y,,n=plug,r=abc")
    assert "downgrade" in refused(bench.authenticator.answer(asked)).reason


def test_without_tls_nobody_can_have_hidden_plus(bench: Bench) -> None:
    asked = question(METHOD, b"y,,n=plug,r=abc", Peer())
    assert isinstance(bench.authenticator.answer(asked), Challenge)


def test_plus_without_tls_is_refused(bench: Bench) -> None:
    _, answer = bench.exchange(bench.client(end_point=ECDSA), Peer())
    refused(answer)


@pytest.mark.parametrize(
    ("method", "header"),
    [
        (METHOD, b"p=tls-server-end-point,,"),
        (METHOD_PLUS, b"n,,"),
        (METHOD_PLUS, b"y,,"),
        (METHOD_PLUS, b"p=tls-unique,,"),
        (METHOD_PLUS, b"p=tls-exporter,,"),
    ],
)
def test_a_flag_that_does_not_fit_the_method_is_refused(bench: Bench, method: str, header: bytes) -> None:
    refused(bench.authenticator.answer(question(method, header + b"n=plug,r=abc")))


def test_a_binding_that_differs_from_its_announcement_is_refused(bench: Bench) -> None:
    """Attack: `n` in the opening, so that no binding is checked, and another header signed later."""
    asked = question(METHOD, b"n,,n=plug,r=abc")
    nonce = bench.challenge(asked).split(",")[0]
    binding = base64.b64encode(b"y,,").decode()
    answer = bench.proceed(asked, f"c={binding},{nonce},p={'A' * 43}=".encode())
    refused(answer)


def test_a_wrong_password_is_refused(bench: Bench) -> None:
    _, answer = bench.exchange(bench.client("A" * 32))
    refused(answer)


@pytest.mark.parametrize("name", ["nobody", "lamp"])
def test_an_unknown_name_and_a_wrong_password_look_the_same(bench: Bench, name: str) -> None:
    known_asked, known = bench.exchange(bench.client("A" * 32))
    asked, answer = bench.exchange(bench.client("A" * 32, name))
    first, second = refused(known), refused(answer)
    assert (first.code, first.tell) == (second.code, second.tell)
    shapes = [
        [len(part) for part in bench.challenge(question(METHOD, f"n,,n={who},r=abc".encode())).split(",")]
        for who in ("plug", name)
    ]
    assert shapes[0] == shapes[1]
    assert known_asked.exchange is asked.exchange is None


def test_an_unknown_name_has_the_salt_that_it_gets_when_it_is_enrolled(bench: Bench) -> None:
    asked = question(METHOD, b"n,,n=newcomer,r=abc")
    before = bench.challenge(asked).split(",")[1:]
    bench.registry.add_with_password("newcomer", "device", now=NOW)
    assert bench.challenge(asked).split(",")[1:] == before
    bench.registry.rotate_password("newcomer", now=NOW)
    assert bench.challenge(asked).split(",")[1:] == before


def test_names_have_salts_of_their_own(bench: Bench) -> None:
    salts = {
        bench.challenge(question(METHOD, f"n,,n={name},r=abc".encode())).split(",")[1]
        for name in ("plug", "lamp", "nobody")
    }
    assert len(salts) == 3


def test_the_nonce_is_never_the_same(bench: Bench) -> None:
    asked = question(METHOD, b"n,,n=plug,r=abc")
    assert bench.challenge(asked) != bench.challenge(asked)


def test_a_proof_cannot_be_replayed(bench: Bench) -> None:
    client = bench.client()
    first = client.get_client_first().encode()
    asked = question(METHOD, first)
    client.set_server_first(bench.challenge(asked))
    final = client.get_client_final().encode()
    assert isinstance(bench.proceed(asked, final), Accepted)
    again = question(METHOD, first)
    bench.challenge(again)
    refused(bench.proceed(again, final))


def test_an_exchange_gives_one_try(bench: Bench) -> None:
    asked, answer = bench.exchange(bench.client("A" * 32))
    refused(answer)
    refused(bench.proceed(asked, b"c=biws,r=abc,p=AAAA"), 0x82)


@pytest.mark.parametrize("data", [b"", b"rubbish", b"n,,n=plug", b"\xff\xfe", b"n,,n=plug,r=" + b"a" * 5000])
def test_rubbish_at_the_start_is_a_protocol_error(bench: Bench, data: bytes) -> None:
    refused(bench.authenticator.answer(question(METHOD, data)), 0x82)


@pytest.mark.parametrize("data", [b"", b"rubbish", b"\xff\xfe", b"p=AAAA", b"c=biws," * 1000])
def test_rubbish_in_the_middle_is_a_protocol_error(bench: Bench, data: bytes) -> None:
    asked = question(METHOD, b"n,,n=plug,r=abc")
    bench.challenge(asked)
    refused(bench.proceed(asked, data), 0x82)


def test_nobody_acts_as_somebody_else(bench: Bench) -> None:
    refused(bench.authenticator.answer(question(METHOD, b"n,a=lamp,n=plug,r=abc")))


def test_the_mqtt_user_name_must_be_the_scram_user(bench: Bench) -> None:
    client = bench.client()
    asked = question(METHOD, client.get_client_first().encode())
    asked.username = "lamp"
    client.set_server_first(bench.challenge(asked))
    refused(bench.proceed(asked, client.get_client_final().encode()))


def test_a_suspended_identity_is_told_so_only_after_its_proof(bench: Bench) -> None:
    bench.registry.suspend("plug", now=NOW)
    _, answer = bench.exchange(bench.client())
    assert refused(answer).tell == "identity is suspended"
    _, answer = bench.exchange(bench.client("A" * 32))
    assert refused(answer).tell == "authentication failed"


def test_a_revoked_identity_is_refused(bench: Bench) -> None:
    bench.registry.revoke("plug", now=NOW)
    _, answer = bench.exchange(bench.client())
    refused(answer)


def test_the_old_password_ends_when_it_is_rotated(bench: Bench) -> None:
    new = bench.registry.rotate_password("plug", now=NOW).reveal().decode()
    _, answer = bench.exchange(bench.client())
    refused(answer)
    _, answer = bench.exchange(bench.client(new))
    assert isinstance(answer, Accepted)


def test_reauthentication_must_prove_the_same_identity(bench: Bench) -> None:
    _, answer = bench.exchange(bench.client(), step="reauthenticate", principal="plug")
    assert isinstance(answer, Accepted)
    _, answer = bench.exchange(bench.client(), step="reauthenticate", principal="lamp")
    refused(answer)


def test_a_server_with_other_keys_is_noticed_by_the_client(bench: Bench) -> None:
    client = bench.client()
    _, answer = bench.exchange(client)
    assert isinstance(answer, Accepted)
    forged = b"v=" + base64.b64encode(bytes(32))
    with pytest.raises(ScramException):
        client.set_server_final(forged.decode())
