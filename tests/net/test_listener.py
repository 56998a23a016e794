"""Binding: addresses, ports, Unix sockets, and what is said when it cannot be done."""

import os
import socket
import stat
from pathlib import Path

import pytest

from bollard.base.errors import LocalError
from bollard.net.listener import Listener, ListenerSettings, bind_tcp, bind_unix, place

from .conftest import Certificates
from .fake_broker import FakeBroker, serving, until

PLAIN = ListenerSettings(host="127.0.0.1", allow_plaintext=True)


async def test_port_zero_takes_a_free_port_and_says_which() -> None:
    async with serving(PLAIN) as server:
        assert server.port > 0
        assert server.listener.addresses == [f"127.0.0.1:{server.port}"]


async def test_a_busy_port_is_named_with_a_remedy() -> None:
    async with serving(PLAIN) as server:
        second = Listener(
            ListenerSettings(host="127.0.0.1", port=server.port, allow_plaintext=True), server.pump
        )
        with pytest.raises(LocalError, match="another process has this address") as raised:
            await second.start()
        assert f"127.0.0.1:{server.port}" in raised.value.message
        assert "--port" in raised.value.remedy


async def test_an_address_of_another_machine_is_named() -> None:
    async with serving(PLAIN) as server:
        elsewhere = Listener(ListenerSettings(host="192.0.2.1", allow_plaintext=True), server.pump)
        with pytest.raises(LocalError, match="does not have that address"):
            await elsewhere.start()


async def test_tls_without_a_context_and_plaintext_with_one_are_refused(certificates: Certificates) -> None:
    async with serving(PLAIN) as server:
        with pytest.raises(LocalError, match="TLS needs a context"):
            Listener(ListenerSettings(host="127.0.0.1"), server.pump)
        with pytest.raises(LocalError, match="plaintext must not have one"):
            Listener(PLAIN, server.pump, certificates.server())


@pytest.mark.skipif(os.geteuid() == 0, reason="the super-user may bind and write everywhere")
async def test_a_missing_right_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)  # noqa: ASYNC240 - a test may block
    async with serving(PLAIN) as server:
        listener = Listener(ListenerSettings(path=tmp_path / "mqtt.sock"), server.pump)
        with pytest.raises(LocalError, match="no right to"):
            await listener.start()


async def test_nagle_is_off_for_every_connection() -> None:
    async with serving(PLAIN) as server:
        _, writer = await server.connect()
        writer.write(b"x")
        await until(lambda: server.broker.accepted)
        transport = server.broker.accepted[0].owner.transport
        with socket.socket(fileno=os.dup(transport.fileno())) as sock:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_stopped_listener_frees_its_port_at_once() -> None:
    async with serving(PLAIN) as server:
        port = server.port
    async with serving(ListenerSettings(host="127.0.0.1", port=port, allow_plaintext=True)) as server:
        assert server.port == port


async def test_a_unix_socket_is_made_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "mqtt.sock"
    async with serving(ListenerSettings(path=path)) as server:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert server.listener.addresses == [f"unix:{path}"]
        reader, writer = await server.connect()
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        peer = server.broker.accepted[0].peer
        assert (peer.address, peer.port, peer.transport) == ("unix", 0, "unix")
    assert not path.exists()


async def test_a_unix_socket_may_be_opened_to_its_group(tmp_path: Path) -> None:
    path = tmp_path / "mqtt.sock"
    async with serving(ListenerSettings(path=path, mode=0o660)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


async def test_a_stale_unix_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "mqtt.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with serving(ListenerSettings(path=path)) as server:
        await server.connect()


async def test_a_unix_socket_in_use_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mqtt.sock"
    async with serving(ListenerSettings(path=path)) as server:
        with pytest.raises(LocalError, match="another process"):
            await Listener(ListenerSettings(path=path), server.pump).start()
        await server.connect()


async def test_a_file_in_the_place_of_a_unix_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    async with serving(PLAIN) as server:
        with pytest.raises(LocalError, match="another process"):
            await Listener(ListenerSettings(path=path), server.pump).start()
    assert path.read_text() == "data"


async def test_a_successor_keeps_its_unix_socket_when_the_first_stops(tmp_path: Path) -> None:
    path = tmp_path / "mqtt.sock"
    async with serving(ListenerSettings(path=path)):
        path.unlink()
        successor = socket.socket(socket.AF_UNIX)
        successor.bind(str(path))
    assert path.exists()
    successor.close()


def test_several_addresses_share_one_free_port() -> None:
    sockets = bind_tcp([(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.0.0.2")], 0)
    assert len({sock.getsockname()[1] for sock in sockets}) == 1
    for sock in sockets:
        sock.close()


def test_a_failure_of_one_address_frees_the_others() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="assign requested address"):
        bind_tcp([(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "192.0.2.1")], 0)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_unix_socket_is_never_open_to_others_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "chmod", lambda path, mode: None)  # as if we died right after bind
    bind_unix(tmp_path / "mqtt.sock", 0o660).close()
    assert stat.S_IMODE((tmp_path / "mqtt.sock").stat().st_mode) == 0o600


def test_ipv6_addresses_stand_in_brackets() -> None:
    assert place("::1", 8883) == "[::1]:8883"
    assert place("10.0.0.1", 8883) == "10.0.0.1:8883"


@pytest.mark.parametrize(
    ("settings", "transport"),
    [
        (ListenerSettings(), "tls"),
        (ListenerSettings(websocket=True), "websocket"),
        (ListenerSettings(allow_plaintext=True), "plaintext"),
        (ListenerSettings(allow_plaintext=True, websocket=True), "plaintext-websocket"),
        (ListenerSettings(path=Path("x")), "unix"),
        (ListenerSettings(path=Path("x"), websocket=True), "unix-websocket"),
    ],
)
def test_the_transport_says_what_protects_it(settings: ListenerSettings, transport: str) -> None:
    assert settings.transport == transport


async def test_a_peer_names_its_listener_and_rights() -> None:
    settings = ListenerSettings(host="127.0.0.1", allow_plaintext=True, allow_anonymous=True, name="inner")
    async with serving(settings, broker=FakeBroker()) as server:
        reader, writer = await server.connect()
        writer.write(b"x")
        await reader.readexactly(1)
        peer = server.broker.accepted[0].peer
        assert (peer.listener, peer.address, peer.allow_anonymous) == ("inner", "127.0.0.1", True)
        assert peer.port == writer.get_extra_info("sockname")[1]
