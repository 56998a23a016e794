import asyncio
import hashlib
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from bollard.base.errors import LocalError
from bollard.client import (
    Client,
    ConnectFailed,
    ConnectRefused,
    ServerNotTrusted,
)
from bollard.wire.connect import Connack, Connect
from client.conftest import Run
from client.server import Guest, echoing, polite, serving


def test_messages_go_both_ways_over_tls(run: Run, tls: ssl.SSLContext, ca_file: Path, version: int) -> None:
    async def scenario() -> None:
        async with (
            serving(echoing, context=tls, version=version) as port,
            Client("127.0.0.1", port, ca_file=ca_file, version=version) as client,
        ):
            assert await client.subscribe("a/#", "b", qos=1) == (1, 1)
            for qos in (0, 1, 2):
                assert await client.publish(f"a/{qos}", b"hello", qos=qos) == 0
            seen = []
            async for message in client.messages:
                seen.append((message.topic, message.payload, message.qos))
                if len(seen) == 3:
                    break
            assert seen == [("a/0", b"hello", 0), ("a/1", b"hello", 1), ("a/2", b"hello", 2)]

    run(scenario())


def test_a_server_under_another_root_gets_nothing(run: Run, tls: ssl.SSLContext, tmp_path: Path) -> None:
    other = tmp_path / "other.crt"
    trustme.CA().cert_pem.write_to_path(other)
    heard = []

    async def listening(guest: Guest) -> None:
        heard.append(await guest.hear())

    async def scenario() -> None:
        async with serving(listening, context=tls) as port:
            with pytest.raises(ServerNotTrusted, match="not trusted"):
                async with Client("127.0.0.1", port, ca_file=other, username="u", password="p"):
                    pass

    run(scenario())
    assert heard == []


def test_a_certificate_for_another_name_is_not_trusted(
    run: Run, authority: trustme.CA, ca_file: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("broker.example").configure_cert(context)

    async def scenario() -> None:
        async with serving(polite, context=context) as port:
            with pytest.raises(ServerNotTrusted, match="another"):
                async with Client("127.0.0.1", port, ca_file=ca_file):
                    pass
            async with Client("127.0.0.1", port, ca_file=ca_file, server_name="broker.example") as client:
                assert client.connected

    run(scenario())


def pin_of(authority: trustme.CA) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode())).hexdigest()


def with_root(authority: trustme.CA, folder: Path) -> ssl.SSLContext:
    """A server that presents its root as well."""
    leaf = authority.issue_cert("127.0.0.1")
    path = folder / "chain.pem"
    chain = b"".join(
        blob.bytes() for blob in (leaf.private_key_pem, *leaf.cert_chain_pems, authority.cert_pem)
    )
    path.write_bytes(chain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_a_pin_alone_finds_and_trusts_the_presented_root(
    run: Run, authority: trustme.CA, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with (
            serving(polite, context=with_root(authority, tmp_path)) as port,
            Client("127.0.0.1", port, pin=pin_of(authority)) as client,
        ):
            assert client.connected

    run(scenario())


def test_a_pin_of_another_root_is_not_trusted(run: Run, authority: trustme.CA, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(polite, context=with_root(authority, tmp_path)) as port:
            with pytest.raises(ServerNotTrusted, match="did not present"):
                async with Client("127.0.0.1", port, pin=pin_of(trustme.CA())):
                    pass

    run(scenario())


def test_a_pinned_root_beside_a_foreign_leaf_is_not_trusted(
    run: Run, authority: trustme.CA, tmp_path: Path
) -> None:
    """An attacker can present anyone's root certificate; only a chain up to it counts."""
    leaf = trustme.CA().issue_cert("127.0.0.1")
    path = tmp_path / "chain.pem"
    path.write_bytes(
        leaf.private_key_pem.bytes() + leaf.cert_chain_pems[0].bytes() + authority.cert_pem.bytes()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)

    async def scenario() -> None:
        async with serving(polite, context=context) as port:
            with pytest.raises(ServerNotTrusted):
                async with Client("127.0.0.1", port, pin=pin_of(authority), username="u", password="p"):
                    pass

    run(scenario())


@pytest.mark.parametrize(
    "weak",
    [{"allow_plaintext": True}, {"allow_any_server": True}, {"allow_plaintext": True, "websocket": True}],
    ids=lambda weak: "+".join(weak),
)
def test_a_password_does_not_leave_unprotected(weak: dict[str, Any]) -> None:
    with pytest.raises(LocalError, match="password"):
        Client("127.0.0.1", 1, username="u", password="p", **weak)


def test_a_password_in_plaintext_has_to_be_allowed_by_name(run: Run) -> None:
    heard: list[Connect] = []

    async def listening(guest: Guest) -> None:
        heard.append(await guest.welcome())
        await guest.until_goodbye()

    async def scenario() -> None:
        async with (
            serving(listening) as port,
            Client(
                "127.0.0.1",
                port,
                username="u",
                password="p",
                allow_plaintext=True,
                allow_plaintext_password=True,
            ),
        ):
            pass

    run(scenario())
    assert heard[0].password == b"p"


def test_a_unix_socket_needs_no_tls(run: Run, tmp_path: Path) -> None:
    path = str(tmp_path / "s")

    async def scenario() -> None:
        async with serving(polite, unix=path), Client(unix_socket=path, username="u", password="p") as client:
            assert client.connected

    run(scenario())


def test_a_refusal_is_raised_when_entering(run: Run, version: int) -> None:
    async def refusing(guest: Guest) -> None:
        await guest.welcome(Connack(False, 0x86))

    async def scenario() -> None:
        async with serving(refusing, version=version) as port:
            with pytest.raises(ConnectRefused) as caught:
                async with Client("127.0.0.1", port, version=version, allow_plaintext=True, reconnect=True):
                    pass
        assert caught.value.code == 0x86
        assert "password" in caught.value.remedy

    run(scenario())


def test_nobody_there_is_said_at_once(run: Run) -> None:
    async def scenario() -> None:
        async with serving(polite) as port:
            pass
        with pytest.raises(ConnectFailed, match="nothing listens"):
            async with Client("127.0.0.1", port, reconnect=True):
                pass

    run(scenario())


def test_a_server_without_tls_is_explained(run: Run, ca_file: Path) -> None:
    async def rude(guest: Guest) -> None:
        guest.say(Connack())
        await asyncio.sleep(0.05)

    async def scenario() -> None:
        async with serving(rude) as port:
            with pytest.raises(ConnectFailed, match="does not speak TLS"):
                async with Client("127.0.0.1", port, ca_file=ca_file):
                    pass

    run(scenario())


def test_outside_of_async_with_nothing_can_be_asked(run: Run) -> None:
    async def scenario() -> None:
        with pytest.raises(LocalError, match="async with"):
            await Client("127.0.0.1").publish("a", b"")

    run(scenario())
