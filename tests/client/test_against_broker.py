"""The client against the real engine on a real listener: what a scripted server cannot show."""

import asyncio
import json
import os
import secrets
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from bollard.base.authentication import Accepted, Answer, Challenge, Question, Refused
from bollard.base.types import Action, Decision
from bollard.client import (
    AuthenticationFailed,
    Client,
    ConnectRefused,
    Message,
    Properties,
    PublishRefused,
    ServerDisconnected,
    SubscribeFilter,
    SubscribeRefused,
    Will,
)
from bollard.client import shell as shell_module
from bollard.engine.broker import Broker
from bollard.engine.limits import Limits
from bollard.net.listener import Listener, ListenerSettings
from bollard.net.pump import Pump
from client.conftest import Run


class Tokens:
    def token(self) -> str:
        return secrets.token_hex(16)


class NotForbidden:
    """Everyone may do everything but with topics under "forbidden"."""

    def decide(self, principal: str, action: Action, topic: str) -> Decision:
        return Decision(not topic.startswith("forbidden"))


class Doorman:
    """Passwords are the user name again; the method "RHYME" wants a rhyme and gives one."""

    def answer(self, question: Question) -> Answer:
        if question.method:
            if question.step == "continue":
                return Accepted("poet", b"love") if question.data == b"dove" else Refused(0x87, "no rhyme")
            return Challenge(b"above")
        if question.username is None:
            return Accepted("anonymous")
        good = question.password is not None and question.password.reveal() == question.username.encode()
        return Accepted(question.username) if good else Refused(0x86, "wrong password")


class Rhyme:
    method = "RHYME"

    def __init__(self, expected: bytes = b"love") -> None:
        self._expected = expected

    def start(self, server_certificate: bytes | None) -> bytes:
        assert server_certificate
        return b""

    def step(self, data: bytes) -> bytes:
        return b"dove"

    def finish(self, data: bytes) -> None:
        assert data == self._expected


class House:
    """A broker on a loopback TLS port."""

    def __init__(self, pump: Pump, port: int, ca_file: str) -> None:
        self.pump = pump
        self.port = port
        self._ca_file = ca_file

    def client(self, name: str = "me", **options: Any) -> Client:
        given: dict[str, Any] = {"username": name, "password": name, "ca_file": self._ca_file} | options
        return Client("127.0.0.1", self.port, **given)

    def kick(self, principal: str, code: int) -> None:
        self.pump.broker.kick(principal, code, "the test says so", asyncio.get_running_loop().time())
        self.pump.wake()


@asynccontextmanager
async def house(
    authority: trustme.CA, limits: Limits | None = None, *, websocket: bool = False
) -> AsyncIterator[House]:
    now = asyncio.get_running_loop().time()
    broker = Broker(limits=limits or Limits(), authorizer=NotForbidden(), entropy=Tokens(), now=now)
    pump = Pump(broker, Doorman(), lambda event: None)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    listener = Listener(
        ListenerSettings(host="127.0.0.1", websocket=websocket, allow_anonymous=True), pump, context
    )
    await listener.start()
    try:
        with authority.cert_pem.tempfile() as ca_file:
            yield House(pump, listener.port, ca_file)
    finally:
        await listener.stop()
        await pump.stop(0.5)


async def receive(client: Client, number: int) -> list[Message]:
    seen: list[Message] = []
    async for message in client.messages:
        seen.append(message)
        if len(seen) == number:
            break
    return seen


@pytest.mark.parametrize("websocket", [False, True], ids=["tls", "websocket"])
def test_every_qos_arrives_once_and_in_order(
    run: Run, authority: trustme.CA, version: int, websocket: bool
) -> None:
    async def scenario() -> None:
        async with (
            house(authority, websocket=websocket) as here,
            here.client("sub", version=version, websocket=websocket) as subscriber,
            here.client("pub", version=version, websocket=websocket) as publisher,
        ):
            await subscriber.subscribe("a/#", qos=2)
            for number in range(60):
                await publisher.publish(f"a/{number % 3}", str(number), qos=number % 3)
            seen = await receive(subscriber, 60)
            assert [int(message.payload) for message in seen] == list(range(60))
            assert [message.qos for message in seen] == [number % 3 for number in range(60)]

    run(scenario())


def test_many_publishers_at_once_keep_within_the_receive_maximum(run: Run, authority: trustme.CA) -> None:
    async def scenario() -> None:
        async with house(authority, Limits(receive_maximum=5)) as here, here.client() as client:
            await client.subscribe("a", qos=2)
            assert client.server_properties.receive_maximum == 5
            await asyncio.gather(*(client.publish("a", str(n), qos=1 + n % 2) for n in range(100)))
            assert {int(m.payload) for m in await receive(client, 100)} == set(range(100))

    run(scenario())


def test_properties_and_identifiers_make_the_whole_way(run: Run, authority: trustme.CA) -> None:
    sent = Properties(
        content_type="text/plain",
        response_topic="r",
        correlation_data=b"c",
        payload_format_indicator=1,
        message_expiry_interval=60,
        user_properties=(("k", "1"), ("k", "2")),
    )

    async def scenario() -> None:
        async with house(authority) as here, here.client() as client:
            await client.subscribe("a", identifier=7)
            await client.publish("a", "x", properties=sent)
            (message,) = await receive(client, 1)
            told = message.properties
            assert told.subscription_identifiers == (7,)
            assert (told.content_type, told.response_topic, told.correlation_data) == (
                "text/plain",
                "r",
                b"c",
            )
            assert told.user_properties == sent.user_properties

    run(scenario())


def test_retained_messages_and_their_options(run: Run, authority: trustme.CA) -> None:
    async def scenario() -> None:
        async with house(authority) as here, here.client() as client:
            await client.publish("a", "kept", qos=1, retain=True)
            await client.subscribe("a")
            (message,) = await receive(client, 1)
            assert message.retain
            await client.subscribe(SubscribeFilter("a", 0, retain_handling=2))
            await client.publish("a", "live")
            (message,) = await receive(client, 1)
            assert (message.payload, message.retain) == (b"live", False)

    run(scenario())


def test_refusals_have_their_types(run: Run, authority: trustme.CA) -> None:
    async def scenario() -> None:
        async with house(authority) as here, here.client() as client:
            with pytest.raises(PublishRefused) as caught:
                await client.publish("forbidden/a", "x", qos=1)
            assert caught.value.code == 0x87
            with pytest.raises(SubscribeRefused):
                await client.subscribe("a", "forbidden/#")
            with pytest.raises(ConnectRefused) as refused:
                async with here.client("me", password="wrong"):
                    pass
            assert refused.value.code == 0x86
            assert await client.publish("a", "still here", qos=1) in (0, 0x10)

    run(scenario())


def test_a_will_is_left_and_can_be_asked_for(run: Run, authority: trustme.CA) -> None:
    async def scenario() -> None:
        async with house(authority) as here, here.client("watcher") as watcher:
            await watcher.subscribe("wills/#")
            async with here.client("polite", will=Will("wills/polite", b"no")):
                pass
            async with here.client("asked", will=Will("wills/asked", b"yes")) as asked:
                await asked.close(send_will=True)
            (message,) = await receive(watcher, 1)
            assert (message.topic, message.payload) == ("wills/asked", b"yes")

    run(scenario())


def test_a_kicked_client_comes_back_with_its_session(
    run: Run, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell_module, "FIRST_DELAY_S", 0.05)

    async def scenario() -> None:
        async with house(authority) as here, here.client("other") as other:
            again = asyncio.Event()
            async with here.client("me", reconnect=True, on_reconnect=lambda *_: again.set()) as client:
                await client.subscribe("a", qos=1)
                here.kick("me", 0x8B)
                await again.wait()
                await other.publish("a", "while away", qos=1)
                (message,) = await receive(client, 1)
                assert message.payload == b"while away"

    run(scenario())


def test_a_client_that_is_taken_over_does_not_fight(run: Run, authority: trustme.CA) -> None:
    async def scenario() -> None:
        async with (
            house(authority) as here,
            here.client(client_id="same", reconnect=True) as first,
            here.client(client_id="same") as second,
        ):
            with pytest.raises(ServerDisconnected) as caught:
                await receive(first, 1)
            assert caught.value.code == 0x8E
            assert second.connected

    run(scenario())


def test_enhanced_authentication_runs_and_runs_again(run: Run, authority: trustme.CA) -> None:
    async def scenario() -> None:
        async with house(authority) as here:
            given: dict[str, Any] = {"username": None, "password": None}
            async with here.client(authentication=Rhyme(), **given) as client:
                await client.reauthenticate()
                assert client.connected
            with pytest.raises(AuthenticationFailed):
                async with here.client(authentication=Rhyme(b"something else"), **given):
                    pass

    run(scenario())


def test_a_session_outlives_the_client_that_asked_for_it(
    run: Run, authority: trustme.CA, version: int
) -> None:
    kept: dict[str, Any] = {"version": version, "client_id": "c", "clean_start": False}
    kept |= {"session_expiry_s": 60} if version == 5 else {}

    async def scenario() -> None:
        async with house(authority) as here:
            async with here.client(**kept) as client:
                await client.subscribe("a", qos=1)
            async with here.client("other") as other:
                await other.publish("a", "kept", qos=1)
            async with here.client(**kept) as client:
                assert client.session_present
                (message,) = await receive(client, 1)
                assert message.payload == b"kept"

    run(scenario())


def test_commands_meet_over_a_broker(run: Run, authority: trustme.CA, tmp_path: Path) -> None:
    """`bollard sub` and `bollard pub`, as processes, with a settings file."""

    async def command(*words: str) -> asyncio.subprocess.Process:
        code = "import sys; from bollard.cli.main import main; sys.exit(main())"
        return await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, *words, stdout=-1, stderr=-1, env=dict(os.environ)
        )

    async def scenario() -> None:
        async with house(authority) as here, here.client("watch") as watcher:
            ca_file = tmp_path / "root.crt"
            authority.cert_pem.write_to_path(ca_file)
            settings = {"id": "plug", "client_id": "plug", "host": "127.0.0.1", "port": here.port}
            settings |= {"username": "plug", "password": "plug", "ca_file": str(ca_file)}
            path = tmp_path / "plug.json"
            path.write_text(json.dumps(settings))
            await watcher.publish("a/b", "retained", retain=True, qos=1)
            subscriber = await command("sub", "--settings", str(path), "-t", "a/#", "-C", "1", "--json")
            out, err = await subscriber.communicate()
            assert subscriber.returncode == 0, err
            assert json.loads(out)["payload"] == "retained"
            await watcher.subscribe("c")
            publisher = await command("pub", "--settings", str(path), "-t", "c", "-m", "hi", "-q", "2")
            out, err = await publisher.communicate()
            assert (publisher.returncode, out, err) == (0, b"", b"")
            assert (await receive(watcher, 1))[0].payload == b"hi"

    run(scenario())
