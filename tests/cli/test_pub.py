import asyncio
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import click
import pytest
from click.testing import CliRunner, Result

from bollard.base.errors import BollardError, ConfigError, LocalError
from bollard.cli.pub import command, message_properties
from bollard.wire.connect import Connect, Disconnect, Pingreq, Pingresp
from bollard.wire.publish import Ack, Publish
from bollard.wire.spec import PacketType
from client.server import Guest, serving


class Broker:
    """A server in a thread of its own that acknowledges, and remembers what it heard."""

    def __init__(self) -> None:
        self.connects: list[Connect] = []
        self.messages: list[Publish] = []
        self.port = 0

    async def attend(self, guest: Guest) -> None:
        self.connects.append(await guest.welcome())
        while True:
            packet = await guest.hear()
            if isinstance(packet, Disconnect):
                return
            if isinstance(packet, Publish):
                self.messages.append(packet)
            if isinstance(packet, Publish) and packet.qos:
                guest.say(Ack(PacketType.PUBACK if packet.qos == 1 else PacketType.PUBREC, packet.packet_id))
            elif isinstance(packet, Pingreq):
                guest.say(Pingresp())
            elif isinstance(packet, Ack):
                guest.say(Ack(PacketType.PUBCOMP, packet.packet_id))

    @property
    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages]


AnyBroker = TypeVar("AnyBroker", bound=Broker)


@contextmanager
def running(broker: AnyBroker, version: int = 5) -> Iterator[AnyBroker]:
    loop = asyncio.new_event_loop()
    ready, done = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with serving(broker.attend, version=version) as broker.port:
            ready.set()
            await done.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(5)
    try:
        yield broker
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(5)
        loop.close()


@pytest.fixture
def broker() -> Iterator[Broker]:
    with running(Broker()) as made:
        yield made


def invoke(broker: Broker, *words: str, **more: object) -> Result:
    there = ["-h", "127.0.0.1", "-p", str(broker.port), "--allow-plaintext"]
    return CliRunner().invoke(command, [*there, *words], **more)  # type: ignore[arg-type]  # click's own keywords


def test_a_message_arrives_with_its_flags(broker: Broker) -> None:
    result = invoke(broker, "-t", "a/b", "-m", "hello", "-q", "1", "-r")
    assert (result.exit_code, result.output) == (0, "")
    (message,) = broker.messages
    assert (message.topic, message.payload, message.qos, message.retain) == (b"a/b", b"hello", 1, 1)


def test_bytes_that_are_no_text_arrive_as_they_were_typed(broker: Broker) -> None:
    assert invoke(broker, "-t", "a", "-m", os.fsdecode(b"\xff\xfe"), "-q", "1").exit_code == 0
    assert broker.payloads == [b"\xff\xfe"]


def test_json_says_what_became_of_it(broker: Broker) -> None:
    result = invoke(broker, "-t", "a", "-m", "hello", "-q", "2", "--json")
    told = {"topic": "a", "bytes": 5, "qos": 2, "retain": False, "reason_code": 0}
    assert json.loads(result.output) == told


def test_a_file_and_nothing_can_be_payloads(broker: Broker, tmp_path: Path) -> None:
    path = tmp_path / "payload"
    path.write_bytes(b"\0\xff\n")
    assert invoke(broker, "-t", "a", "--file", str(path)).exit_code == 0
    assert invoke(broker, "-t", "a", "--empty", "-r", "-q", "1").exit_code == 0
    assert broker.payloads == [b"\0\xff\n", b""]


def test_each_line_of_input_is_a_message(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"one\ntwo\r\n\nlast")
    os.close(write_end)
    monkeypatch.setattr("bollard.cli.pub.STDIN", read_end)
    result = invoke(broker, "-t", "a", "--stdin-lines", "-q", "1")
    os.close(read_end)
    assert result.exit_code == 0
    assert broker.payloads == [b"one", b"two", b"", b"last"]


def test_properties_arrive(broker: Broker) -> None:
    words = [
        "--expiry",
        "60",
        "--content-type",
        "text/plain",
        "--response-topic",
        "r",
        "--correlation-data",
        "c",
    ]
    more = ["--property", "payload-format-indicator=1", "--user-property", "b=1", "--user-property", "a=2=3"]
    assert invoke(broker, "-t", "a", "-m", "x", "-q", "1", *words, *more).exit_code == 0
    told = broker.messages[0].properties()
    assert (told.message_expiry_interval, told.content_type, told.response_topic) == (60, "text/plain", "r")
    assert (told.correlation_data, told.payload_format_indicator) == (b"c", 1)
    assert told.user_properties == (("b", "1"), ("a", "2=3"))


def test_a_will_is_left_with_the_server(broker: Broker) -> None:
    words = [
        "--will-topic",
        "w",
        "--will-message",
        "gone",
        "--will-qos",
        "1",
        "--will-retain",
        "--will-delay",
        "9",
    ]
    assert invoke(broker, "-t", "a", "-m", "x", *words).exit_code == 0
    will = broker.connects[0].will
    assert will is not None
    assert (will.topic, will.payload, will.qos, will.retain) == ("w", b"gone", 1, True)
    assert will.properties.will_delay_interval == 9


def test_both_versions_are_spoken() -> None:
    with running(Broker(), version=4) as broker:
        assert invoke(broker, "-t", "a", "-m", "x", "--version", "3.1.1", "-q", "1").exit_code == 0
        assert broker.connects[0].version == 4


@pytest.mark.parametrize("way", ["file", "stdin", "environment"])
def test_a_password_comes_from_where_nobody_else_can_read_it(
    broker: Broker, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, given = [], None
    if way == "file":
        path = tmp_path / "password"
        path.write_text("s3cret\n")
        words = ["--password-file", str(path)]
    elif way == "stdin":
        words, given = ["--password-stdin"], "s3cret\n"
    else:
        monkeypatch.setenv("BOLLARD_PASSWORD", "s3cret")
    base = ["-t", "a", "-m", "x", "-u", "plug", "--allow-plaintext-password"]
    assert invoke(broker, *base, *words, input=given).exit_code == 0
    assert (broker.connects[0].username, broker.connects[0].password) == ("plug", b"s3cret")


def test_no_option_takes_a_secret_as_its_value() -> None:
    names = {name for parameter in command.params for name in parameter.opts}
    assert not names & {"--password", "-P", "--pass", "--secret"}


def test_a_password_does_not_leave_in_plaintext(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOLLARD_PASSWORD", "s3cret")
    result = invoke(broker, "-t", "a", "-m", "x", "-u", "plug")
    assert isinstance(result.exception, LocalError)
    assert result.exception.exit_code == 2
    assert "s3cret" not in str(result.exception)
    assert broker.connects == []


def test_settings_of_enroll_are_all_that_is_needed(broker: Broker, tmp_path: Path) -> None:
    path = tmp_path / "plug.json"
    settings = {"id": "plug", "client_id": "plug", "host": "127.0.0.1", "port": broker.port}
    settings |= {"username": "plug", "password": "s3cret", "ca_file": "/nowhere.crt"}
    path.write_text(json.dumps(settings))
    words = ["--settings", str(path), "-t", "a", "-m", "x", "--allow-plaintext", "--allow-plaintext-password"]
    assert CliRunner().invoke(command, words).exit_code == 0
    connect = broker.connects[0]
    assert (connect.username, connect.password, connect.client_id) == ("plug", b"s3cret", "")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "not JSON"),
        ("[" * 30_000, "not JSON"),
        ('{"id": "' + "x" * 70_000 + '"}', "not JSON"),
        ("[]", "not one JSON object"),
        ('{"hots": "x"}', "hots"),
        ('{"port": "8883"}', "port"),
        ('{"password": 12345678}', "password"),
    ],
)
def test_wrong_settings_are_named_without_their_values(text: str, part: str, tmp_path: Path) -> None:
    path = tmp_path / "plug.json"
    path.write_text(text)
    result = CliRunner().invoke(command, ["--settings", str(path), "-t", "a", "-m", "x"])
    assert isinstance(result.exception, ConfigError)
    assert str(path) in str(result.exception)
    assert part in str(result.exception)
    assert "12345678" not in str(result.exception)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["-m", "x", "--empty"],
        ["--stdin-lines", "--password-stdin"],
        ["-m", "x", "--will-message", "y"],
        ["-m", "x", "--property", "colour=red"],
        ["-m", "x", "--property", "payload-format-indicator=yes"],
        ["-m", "x", "--user-property", "novalue"],
        ["-m", "x", "--unix", "/s", "-h", "h"],
        ["-m", "x", "-q", "3"],
    ],
    ids=" ".join,
)
def test_a_wrong_call_is_a_usage_error(words: list[str]) -> None:
    assert CliRunner().invoke(command, ["-t", "a", *words]).exit_code == 2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["-t", "a", "--file", str(tmp_path / "nothing")])
    assert isinstance(result.exception, LocalError)
    assert "nothing" in str(result.exception)


def test_nobody_there_ends_with_a_sentence_and_1() -> None:
    result = CliRunner().invoke(command, ["-h", "127.0.0.1", "-p", "1", "-t", "a", "-m", "x"])
    assert isinstance(result.exception, BollardError)
    assert result.exception.exit_code == 1
    assert "nothing listens at 127.0.0.1:1" in str(result.exception)


def test_help_has_an_example() -> None:
    assert "Example:  bollard pub" in CliRunner().invoke(command, ["--help"]).output


def test_without_properties_none_are_sent() -> None:
    options = dict.fromkeys(("expiry", "content_type", "response_topic", "correlation_data"))
    assert message_properties({**options, "named": (), "user": ()}) is None
    with pytest.raises(click.UsageError):
        message_properties({**options, "named": ("=",), "user": ()})
