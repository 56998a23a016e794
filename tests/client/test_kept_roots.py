"""The file of roots that a device keeps: taken only from the right server, whole, and never all at once."""

import hashlib
import json
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from bollard.base.errors import LocalError
from bollard.client import Client, ClientError, PublishRefused, ServerNotTrusted
from bollard.client.kept_roots import MAX_ROOTS
from bollard.wire.connect import Disconnect
from bollard.wire.publish import Ack, Publish
from bollard.wire.spec import PacketType, ReasonCode
from bollard.wire.subscribe import Suback, Subscribe
from client.conftest import Run
from client.server import Guest, serving


class Desk:
    """A server that answers each question for roots with `told` (bytes as they are), and keeps what it was told itself."""

    def __init__(self, told: object, code: int = 0) -> None:
        self.told = told
        self.code = code
        self.heard: list[str] = []

    async def __call__(self, guest: Guest) -> None:
        await guest.welcome()
        while not isinstance(packet := await guest.hear(), Disconnect):
            if isinstance(packet, Subscribe):
                guest.say(Suback(packet.packet_id, (1,)))
            elif isinstance(packet, Publish):
                assert packet.topic == b"$enroll/roots"
                self.heard.append(bytes(packet.payload).decode())
                guest.say(Ack(PacketType.PUBACK, packet.packet_id, self.code))
                if not self.code:
                    guest.say(self._answer())

    def _answer(self) -> Publish:
        answer = Publish()
        told = self.told if isinstance(self.told, bytes) else json.dumps(self.told).encode()
        answer.topic, answer.payload = b"$enroll/reply/plug", told
        return answer


def roots(*authorities: trustme.CA) -> dict[str, str]:
    return {"status": "roots", "roots": "".join(each.cert_pem.bytes().decode() for each in authorities)}


def pin(authority: trustme.CA) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode())).hexdigest()


@pytest.fixture(scope="module")
def following() -> trustme.CA:
    """The root that is to follow."""
    return trustme.CA(organization_name="next")


@pytest.fixture
def file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "server-root.crt"
    path.write_bytes(authority.cert_pem.bytes())
    path.chmod(0o600)
    return path


def ask(run: Run, desk: Desk, context: ssl.SSLContext, file: Path) -> bool:
    changed: list[bool] = []

    async def scenario() -> None:
        async with (
            serving(desk, context=context) as port,
            Client(
                "127.0.0.1", port, ca_file=file, client_id="plug", username="plug", password="p"
            ) as client,
        ):
            changed.append(await client.keep_roots("plug", file))

    run(scenario())
    return changed[0]


def test_the_file_becomes_what_the_server_says_and_the_server_is_told(
    run: Run, authority: trustme.CA, following: trustme.CA, tls: ssl.SSLContext, file: Path
) -> None:
    desk = Desk(roots(authority, following))
    assert ask(run, desk, tls, file)
    assert len(x509.load_pem_x509_certificates(file.read_bytes())) == 2
    assert desk.heard == [pin(authority), f"{pin(authority)} {pin(following)}"]
    before = file.stat().st_mtime_ns
    assert not ask(run, desk, tls, file)
    assert (file.stat().st_mtime_ns, len(desk.heard)) == (before, 3)
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_root_that_the_server_names_no_longer_is_dropped(
    run: Run, authority: trustme.CA, following: trustme.CA, tls: ssl.SSLContext, file: Path
) -> None:
    """Attack: a root that was given up, or replaced after a theft, is used as long as devices trust it."""
    file.write_bytes(authority.cert_pem.bytes() + following.cert_pem.bytes())
    assert ask(run, Desk(roots(authority)), tls, file)
    assert file.read_bytes() == authority.cert_pem.bytes()


def test_somebody_in_between_with_a_root_of_his_own_plants_nothing(
    run: Run, authority: trustme.CA, file: Path
) -> None:
    thief = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    thief.issue_cert("127.0.0.1").configure_cert(context)
    desk = Desk(roots(authority, thief))
    with pytest.raises(ServerNotTrusted):
        ask(run, desk, context, file)
    assert file.read_bytes() == authority.cert_pem.bytes()
    assert desk.heard == []


def no_root(authority: trustme.CA) -> dict[str, str]:
    """A certificate that any server of the right authority has, in place of a root."""
    leaf = authority.issue_cert("127.0.0.1").cert_chain_pems[0].bytes().decode()
    return {"roots": authority.cert_pem.bytes().decode() + leaf}


def no_anchor(authority: trustme.CA) -> dict[str, str]:
    """An authority that another one has signed: as an anchor, many clients take it, and many do not."""
    return roots(authority, authority.create_child_ca())


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (no_anchor, ServerNotTrusted),
        (lambda authority: roots(trustme.CA()), ServerNotTrusted),
        (no_root, ServerNotTrusted),
        (lambda authority: roots(*[authority] * (MAX_ROOTS + 1)), ServerNotTrusted),
        (lambda authority: {"roots": "x" * 40_000}, ClientError),
        (lambda authority: {"roots": ""}, ClientError),
        (lambda authority: {"roots": 7}, ClientError),
        (lambda authority: {"status": "refused"}, ClientError),
        (lambda authority: [1], ClientError),
        (lambda authority: b"[" * 30_000, ClientError),
        (lambda authority: b'{"roots":' * 30_000, ClientError),
    ],
)
def test_what_cannot_be_the_servers_roots_leaves_the_file_as_it_is(
    run: Run,
    authority: trustme.CA,
    tls: ssl.SSLContext,
    file: Path,
    make: Callable[[trustme.CA], object],
    error: type[ClientError],
) -> None:
    desk = Desk(make(authority))
    with pytest.raises(error):
        ask(run, desk, tls, file)
    assert file.read_bytes() == authority.cert_pem.bytes()
    assert len(desk.heard) == 1


def test_a_server_that_knows_no_such_question_is_no_disaster(
    run: Run, authority: trustme.CA, tls: ssl.SSLContext, file: Path
) -> None:
    with pytest.raises(PublishRefused):
        ask(run, Desk({}, ReasonCode.NOT_AUTHORIZED), tls, file)
    assert file.read_bytes() == authority.cert_pem.bytes()


@pytest.mark.parametrize("weak", [{"allow_plaintext": True}, {"allow_any_server": True}])
def test_nothing_is_asked_over_a_connection_that_proves_nothing(
    run: Run, tls: ssl.SSLContext, file: Path, weak: dict[str, bool]
) -> None:
    desk = Desk({})
    context = None if "allow_plaintext" in weak else tls

    async def scenario() -> None:
        async with (
            serving(desk, context=context) as port,
            Client("127.0.0.1", port, client_id="plug", **weak) as client,  # type: ignore[arg-type]
        ):
            assert not client.verifies_server
            with pytest.raises(LocalError, match="verified"):
                await client.keep_roots("plug", file)

    run(scenario())
    assert desk.heard == []
