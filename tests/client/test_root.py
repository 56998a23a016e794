"""A pin alone, at a server whose chain does not hold its root: the root is asked for, and only then trusted."""

import asyncio
import hashlib
import ssl
from collections.abc import Callable

import pytest
import trustme

from bollard.client import Client, ServerNotTrusted
from bollard.client.root import MAX_ROOT_BYTES
from bollard.wire.connect import Auth, Connack, Connect
from bollard.wire.properties import Properties
from bollard.wire.spec import ReasonCode
from client.conftest import Run
from client.server import Guest, Script, polite, serving


def der(authority: trustme.CA) -> bytes:
    return ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode())


def pin_of(authority: trustme.CA) -> str:
    return hashlib.sha256(der(authority)).hexdigest()


def presenting(authority: trustme.CA) -> ssl.SSLContext:
    """A server with a certificate of `authority`, which does not present the root itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


class Server:
    """Shows `root` to whoever asks, welcomes everyone else, and keeps each CONNECT."""

    def __init__(self, root: bytes, then: Callable[[Guest], None] = lambda _: None) -> None:
        """`then` is called with each guest that was welcomed."""
        self.root = root
        self._then = then
        self.asked: list[Connect] = []
        self.welcomed: list[Connect] = []

    async def __call__(self, guest: Guest) -> None:
        packet = await guest.hear()
        assert isinstance(packet, Connect)
        if packet.properties.authentication_method == "BOLLARD-ROOT":
            self.asked.append(packet)
            told = Properties(authentication_method="BOLLARD-ROOT", authentication_data=self.root)
            guest.say(Auth(ReasonCode.CONTINUE_AUTHENTICATION, told))
        else:
            self.welcomed.append(packet)
            guest.say(Connack())
            self._then(guest)
        await guest.until_goodbye()


def connect(run: Run, pin: str, context: ssl.SSLContext, script: Script) -> None:
    async def scenario() -> None:
        async with (
            serving(script, context=context) as port,
            Client("127.0.0.1", port, pin=pin, client_id="plug", username="plug", password="p") as client,
        ):
            assert client.connected

    run(scenario())


def test_a_root_that_is_not_presented_is_asked_for_by_a_connection_that_says_nothing_of_us(
    run: Run, authority: trustme.CA
) -> None:
    server = Server(der(authority))
    connect(run, pin_of(authority), presenting(authority), server)
    (asked,) = server.asked
    assert (asked.client_id, asked.username, asked.password, asked.will) == ("", None, None, None)
    assert not asked.properties.authentication_data
    assert [packet.username for packet in server.welcomed] == ["plug"]


@pytest.mark.parametrize("root", ["another", "none", "too long"])
def test_what_does_not_have_the_whole_pin_is_refused_before_anything_is_said(
    run: Run, authority: trustme.CA, root: str
) -> None:
    shown = {"another": der(trustme.CA()), "none": b"", "too long": b"x" * (MAX_ROOT_BYTES + 1)}[root]
    server = Server(shown)
    with pytest.raises(ServerNotTrusted, match="did not present"):
        connect(run, pin_of(authority), presenting(authority), server)
    assert len(server.asked) == 1
    assert server.welcomed == []


def test_any_of_several_pins_will_do_while_the_root_is_being_replaced(
    run: Run, authority: trustme.CA
) -> None:
    following = trustme.CA()
    pins = f"{pin_of(authority)}, {pin_of(following)}"
    for present in (authority, following):
        server = Server(der(present))
        connect(run, pins, presenting(present), server)
        assert [packet.username for packet in server.welcomed] == ["plug"]
    thief = trustme.CA()
    with pytest.raises(ServerNotTrusted, match="did not present"):
        connect(run, pins, presenting(thief), Server(der(thief)))


def test_a_client_that_lives_through_the_replacement_comes_back_by_its_other_pin(
    run: Run, authority: trustme.CA, quick: None
) -> None:
    following, context, back = trustme.CA(), presenting(authority), asyncio.Event()

    def replace_root(guest: Guest) -> None:
        if server.root == der(following):
            back.set()
        else:
            following.issue_cert("127.0.0.1").configure_cert(context)
            server.root = der(following)
            asyncio.get_running_loop().call_later(0.02, guest.cut)

    server = Server(der(authority), replace_root)

    async def scenario() -> None:
        pins = f"{pin_of(authority)},{pin_of(following)}"
        async with (
            serving(server, context=context) as port,
            Client("127.0.0.1", port, pin=pins, client_id="plug", reconnect=True),
        ):
            await back.wait()

    run(scenario())
    assert len(server.asked) == 2


def test_a_root_whose_hash_only_begins_like_the_pin_is_refused(run: Run, authority: trustme.CA) -> None:
    pin = pin_of(authority)
    other = pin[:-1] + ("0" if pin[-1] != "0" else "1")
    with pytest.raises(ServerNotTrusted, match="did not present"):
        connect(run, other, presenting(authority), Server(der(authority)))


def test_a_server_that_shows_the_root_of_another_is_not_trusted(run: Run, authority: trustme.CA) -> None:
    """Anyone can show the right root; only a server with a chain up to it is told anything."""
    server = Server(der(authority))
    with pytest.raises(ServerNotTrusted, match="not trusted"):
        connect(run, pin_of(authority), presenting(trustme.CA()), server)
    assert server.welcomed == []


def test_a_server_that_cannot_show_its_root_is_not_trusted(run: Run, authority: trustme.CA) -> None:
    with pytest.raises(ServerNotTrusted, match="did not present"):
        connect(run, pin_of(authority), presenting(authority), polite)
