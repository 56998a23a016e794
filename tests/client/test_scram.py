"""Our client's SCRAM against an independent server (scramp), and against servers that cheat."""

import hashlib
import ssl
from pathlib import Path

import pytest
import trustme
from scramp import ScramMechanism

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.client import AuthenticationFailed, Scram
from bollard.client.scram import end_point

PASSWORD = "MFRGGZDFMZTWQ2LKMNSWC3TBNRSWIYLS"


class Server:
    """A SCRAM server of other hands."""

    def __init__(self, method: str, end_point: bytes | None = None, password: str = PASSWORD) -> None:
        mechanism = ScramMechanism(method)
        info = mechanism.make_auth_info(password)
        binding = ("tls-server-end-point", end_point) if end_point else None
        self.server = mechanism.make_server(lambda name: info, channel_binding=binding)

    def challenge(self, first: bytes) -> bytes:
        self.server.set_client_first(first.decode())
        return str(self.server.get_server_first()).encode()

    def verdict(self, final: bytes) -> bytes:
        self.server.set_client_final(final.decode())
        return str(self.server.get_server_final()).encode()


@pytest.fixture
def certificate(authority: trustme.CA) -> bytes:
    return ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode())


def run(scram: Scram, server: Server, certificate: bytes | None) -> None:
    final = scram.step(server.challenge(scram.start(certificate)))
    scram.finish(server.verdict(final))


def test_an_independent_server_accepts_our_proof_and_we_its_signature() -> None:
    run(Scram("plug", PASSWORD, bind=False), Server("SCRAM-SHA-256"), None)


def test_an_independent_server_accepts_our_channel_binding(certificate: bytes) -> None:
    scram = Scram("plug", Secret(PASSWORD.encode()))
    assert scram.method == "SCRAM-SHA-256-PLUS"
    server = Server("SCRAM-SHA-256-PLUS", hashlib.sha256(certificate).digest())
    run(scram, server, certificate)


def test_a_name_with_commas_arrives_whole() -> None:
    first = Scram("a,b=c", PASSWORD, bind=False).start(None)
    assert first.startswith(b"n,,n=a=2Cb=3Dc,r=")


def test_one_object_serves_connection_after_connection() -> None:
    scram = Scram("plug", PASSWORD, bind=False)
    server_first = Server("SCRAM-SHA-256")
    run(scram, server_first, None)
    run(scram, Server("SCRAM-SHA-256"), None)


def test_binding_needs_tls() -> None:
    with pytest.raises(AuthenticationFailed, match="without TLS"):
        Scram("plug", PASSWORD).start(None)


def test_a_server_that_does_not_know_the_secret_is_not_trusted() -> None:
    scram = Scram("plug", PASSWORD, bind=False)
    scram.step(Server("SCRAM-SHA-256", password="another").challenge(scram.start(None)))
    with pytest.raises(AuthenticationFailed, match="could not prove"):
        scram.finish(b"v=" + b"A" * 43 + b"=")


@pytest.mark.parametrize("last", [b"", b"e=other-error", b"x"])
def test_a_last_word_that_proves_nothing_is_not_trusted(last: bytes) -> None:
    scram = Scram("plug", PASSWORD, bind=False)
    scram.step(Server("SCRAM-SHA-256").challenge(scram.start(None)))
    with pytest.raises((AuthenticationFailed, ValueError)):
        scram.finish(last)


def test_a_server_that_skips_the_exchange_is_not_trusted() -> None:
    """Attack: CONNACK at once, with a signature over nothing."""
    scram = Scram("plug", PASSWORD, bind=False)
    scram.start(None)
    with pytest.raises((AuthenticationFailed, ValueError)):
        scram.finish(b"v=")


@pytest.mark.parametrize("nonce", ["", "stranger"])
def test_a_challenge_with_a_foreign_nonce_is_refused(nonce: str) -> None:
    scram = Scram("plug", PASSWORD, bind=False)
    own = scram.start(None).rpartition(b"r=")[2].decode()
    with pytest.raises(AuthenticationFailed, match="another exchange"):
        scram.step(f"r={nonce or own},s=AAAA,i=4096".encode())


def test_a_second_challenge_is_refused() -> None:
    scram = Scram("plug", PASSWORD, bind=False)
    challenge = Server("SCRAM-SHA-256").challenge(scram.start(None))
    scram.step(challenge)
    with pytest.raises(AuthenticationFailed, match="second proof"):
        scram.step(challenge)


@pytest.mark.parametrize(("name", "password"), [("", "x"), ("plüg", "x"), ("plug", ""), ("plug", "pässwort")])
def test_what_scram_could_not_carry_is_refused_at_once(name: str, password: str) -> None:
    with pytest.raises(LocalError):
        Scram(name, password)


def test_the_end_point_of_a_certificate_is_its_hash(certificate: bytes) -> None:
    assert end_point(certificate) == hashlib.sha256(certificate).digest()


def test_the_secret_does_not_show(tmp_path: Path) -> None:
    scram = Scram("plug", PASSWORD)
    assert PASSWORD not in repr(vars(scram))
