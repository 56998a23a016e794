"""The proof of an old key: who gets in by it, to do what; and the root that anybody may see."""

import hashlib
from collections.abc import Callable

import pytest

from bollard.base.authentication import Accepted, Answer, Challenge, Question, Refused
from bollard.base.types import Peer, Secret
from bollard.client.enroll import ProveKey
from bollard.client.errors import AuthenticationFailed
from bollard.identity import key_proof, show_root
from bollard.identity.authority import DeviceCredential, issue_device_certificate
from bollard.identity.credentials import Verifier
from bollard.identity.principal import RegistryAuthenticator
from bollard.identity.profile import new_ec_key, new_rsa_key
from bollard.identity.registry import Registry
from bollard.identity.renewal import GRACE_S

from .conftest import NOW, Installation

OURS, FOREIGN = hashlib.sha256(b"ours").digest(), hashlib.sha256(b"foreign").digest()
WithTls = Peer(tls_server_end_points=(hashlib.sha256(b"other").digest(), OURS))


class Bench:
    """`plug`, whose certificate has expired a day ago."""

    def __init__(self, registry: Registry, verifier: Verifier, pristine: Installation) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization

        self.registry = registry
        registry.add("plug", "device", now=NOW)
        credential: DeviceCredential = issue_device_certificate(
            pristine.authorities, registry, "plug", now=NOW
        )
        self.now = credential.not_after + 86_400.0
        leaf = x509.load_pem_x509_certificate(credential.certificate_pem)
        self.certificate = leaf.public_bytes(serialization.Encoding.DER)
        key = serialization.load_pem_private_key(credential.key_pem.reveal(), None)
        self.key: key_proof.PrivateKey = key  # type: ignore[assignment]  # one of ours
        self.authenticator = RegistryAuthenticator(
            registry.snapshot,
            verifier,
            mechanisms={
                key_proof.METHOD: key_proof.KeyProofMechanism(registry.snapshot, lambda: self.now),
                show_root.METHOD: show_root.ShowRootMechanism(lambda: b"DER of the root"),
            },
            clock=lambda: self.now,
        )

    def ask(self, data: bytes | None = None, peer: Peer = WithTls, **fields: object) -> Question:
        asked = Question(None, "connect", peer, "c", None, None, key_proof.METHOD, data or self.certificate)
        for name, value in fields.items():
            setattr(asked, name, value)
        return asked

    def exchange(self, asked: Question, answer: Callable[[bytes], bytes]) -> Answer:
        first = self.authenticator.answer(asked)
        if not isinstance(first, Challenge):
            return first
        asked.step, asked.data = "continue", answer(first.data)
        return self.authenticator.answer(asked)

    def prove(self, nonce: bytes, end_point: bytes = OURS) -> bytes:
        return key_proof.sign(self.key, key_proof.text_to_sign(nonce, end_point))


@pytest.fixture
def bench(registry: Registry, verifier: Verifier, pristine: Installation) -> Bench:
    return Bench(registry, verifier, pristine)


def refused(answer: Answer) -> Refused:
    assert isinstance(answer, Refused), answer
    return answer


def test_the_key_of_an_expired_certificate_gets_a_connection_that_may_renew(bench: Bench) -> None:
    answer = bench.exchange(bench.ask(), bench.prove)
    assert answer == Accepted("renew:plug")


def test_our_client_speaks_it(bench: Bench) -> None:
    client = ProveKey(bench.certificate, bench.key)
    client._end_point = OURS
    assert isinstance(bench.exchange(bench.ask(), client.step), Accepted)
    with pytest.raises(AuthenticationFailed, match="TLS"):
        client.start(None)
    with pytest.raises(AuthenticationFailed, match="challenge"):
        client.step(b"short")


def test_a_signature_that_somebody_in_between_asked_for_is_worth_nothing(bench: Bench) -> None:
    refused(bench.exchange(bench.ask(), lambda nonce: bench.prove(nonce, FOREIGN)))


@pytest.mark.parametrize("signature", [b"", b"rubbish", bytes(72)])
def test_a_wrong_signature_is_refused(bench: Bench, signature: bytes) -> None:
    refused(bench.exchange(bench.ask(), lambda nonce: signature))


def test_an_old_signature_cannot_be_replayed(bench: Bench) -> None:
    seen: list[bytes] = []

    def remember(nonce: bytes) -> bytes:
        seen.append(bench.prove(nonce))
        return seen[0]

    assert isinstance(bench.exchange(bench.ask(), remember), Accepted)
    refused(bench.exchange(bench.ask(), remember))


def test_another_key_is_refused(bench: Bench) -> None:
    bench.key = new_ec_key()
    refused(bench.exchange(bench.ask(), bench.prove))


@pytest.mark.parametrize("data", [b"rubbish", b"\x30", bytes(9000)])
def test_what_is_no_certificate_of_ours_is_refused_unread(bench: Bench, data: bytes) -> None:
    refused(bench.authenticator.answer(bench.ask(data)))


def test_without_tls_nothing_is_proved(bench: Bench) -> None:
    refused(bench.authenticator.answer(bench.ask(peer=Peer())))


def test_a_revoked_suspended_or_long_lapsed_device_is_refused(bench: Bench) -> None:
    bench.registry.suspend("plug", now=NOW)
    assert "suspended" in refused(bench.authenticator.answer(bench.ask())).tell
    bench.registry.resume("plug", now=NOW)
    bench.now += GRACE_S
    assert "year" in refused(bench.authenticator.answer(bench.ask())).tell
    bench.registry.revoke("plug", now=NOW)
    assert "revoked" in refused(bench.authenticator.answer(bench.ask())).tell


def test_a_user_name_or_password_beside_it_is_refused(bench: Bench) -> None:
    refused(bench.exchange(bench.ask(username="plug"), bench.prove))
    refused(bench.exchange(bench.ask(password=Secret(b"x")), bench.prove))


def test_no_connection_becomes_one_that_may_renew(bench: Bench) -> None:
    refused(bench.exchange(bench.ask(step="reauthenticate", principal="plug"), bench.prove))


def test_both_kinds_of_key_sign_and_verify() -> None:
    for key in (new_ec_key(), new_rsa_key()):
        signature = key_proof.sign(key, b"text")
        assert key_proof.verify(key.public_key(), signature, b"text")
        assert not key_proof.verify(key.public_key(), signature, b"other")


def test_anybody_may_see_the_root_and_nobody_gets_in_by_it(bench: Bench) -> None:
    asked = Question(None, "connect", Peer(), "c", None, None, show_root.METHOD, b"")
    assert bench.authenticator.answer(asked) == Challenge(b"DER of the root")
    asked.step = "continue"
    for data in (b"", b"DER of the root"):
        asked.data = data
        refused(bench.authenticator.answer(asked))
