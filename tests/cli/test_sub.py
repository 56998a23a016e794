import base64
import json

import pytest
from click.testing import CliRunner, Result

from bollard.cli import sub
from bollard.cli.sub import KEPT_SESSION_S, as_record, command, show
from bollard.client import ConnectionLost, Message, Properties, SubscribeRefused
from bollard.wire.codec import Packet
from bollard.wire.publish import Publish
from bollard.wire.subscribe import Suback, Subscribe
from cli.test_pub import Broker, running
from client.server import Guest


class Publisher(Broker):
    """Answers a SUBSCRIBE and then sends what a test wants."""

    def __init__(self, *payloads: bytes, code: int | None = None) -> None:
        super().__init__()
        self.requests: list[Subscribe] = []
        self._payloads = payloads
        self._code = code

    async def attend(self, guest: Guest) -> None:
        self.connects.append(await guest.welcome())
        packet: Packet = await guest.hear()
        assert isinstance(packet, Subscribe)
        self.requests.append(packet)
        codes = (each.qos if self._code is None else self._code for each in packet.filters)
        guest.say(Suback(packet.packet_id, tuple(codes)))
        for payload in self._payloads:
            message = Publish()
            message.topic, message.payload = b"a/b", payload
            guest.say(message)
        await guest.until_goodbye()


def invoke(broker: Broker, *words: str) -> Result:
    there = ["-h", "127.0.0.1", "-p", str(broker.port), "--allow-plaintext"]
    return CliRunner().invoke(command, [*there, *words], standalone_mode=False)


def test_messages_are_printed_until_the_count_is_reached() -> None:
    with running(Publisher(b"one", b"two", b"three")) as broker:
        result = invoke(broker, "-t", "a/#", "-C", "2")
    assert result.return_value == 0
    assert result.stdout == "a/b one\na/b two\n"


def test_it_says_beside_the_output_that_it_is_connected_and_to_what_it_is_subscribed() -> None:
    with running(Publisher(b"one")) as broker:
        result = invoke(broker, "-t", "a/#", "-t", "b", "-C", "1", "--json")
        quiet = invoke(broker, "-t", "a/#", "-C", "1", "--quiet")
    assert result.stderr == f"connected to 127.0.0.1:{broker.port}, subscribed to a/#, b\n"
    assert len(result.stdout.splitlines()) == 1
    assert (quiet.stdout, quiet.stderr) == ("a/b one\n", "")


def test_json_is_one_object_a_line() -> None:
    with running(Publisher(b"one", b"\xff")) as broker:
        result = invoke(broker, "-t", "a/#", "-C", "2", "--json")
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert first == {"topic": "a/b", "payload": "one", "qos": 0, "retain": False, "duplicate": False}
    assert base64.b64decode(second["payload_base64"]) == b"\xff"


def test_a_timeout_without_a_count_is_a_good_end() -> None:
    with running(Publisher(b"one")) as broker:
        result = invoke(broker, "-t", "a/#", "-W", "0.1")
    assert (result.return_value, result.stdout) == (0, "a/b one\n")


def test_a_timeout_before_the_count_is_a_failure() -> None:
    with running(Publisher(b"one")) as broker:
        assert invoke(broker, "-t", "a/#", "-C", "2", "-W", "0.1").return_value == 1


def test_a_group_shares_every_filter() -> None:
    with running(Publisher(b"x")) as broker:
        invoke(broker, "-t", "a", "-t", "b/#", "-C", "1", "--share", "g")
    first, second = broker.requests[0].filters
    assert (first.filter, second.filter) == ("$share/g/a", "$share/g/b/#")


def test_subscription_options_reach_the_server() -> None:
    with running(Publisher(b"x")) as broker:
        words = ["--no-local", "--retain-as-published", "--retain-handling", "2", "-q", "1"]
        invoke(broker, "-t", "a", "-C", "1", *words)
    (each,) = broker.requests[0].filters
    assert (each.qos, each.no_local, each.retain_as_published, each.retain_handling) == (1, True, True, 2)


def test_a_session_can_be_kept() -> None:
    with running(Publisher(b"x")) as broker:
        assert invoke(broker, "-t", "a", "-C", "1", "--no-clean", "-i", "me").return_value == 0
    connect = broker.connects[0]
    assert (connect.client_id, connect.clean_start) == ("me", False)
    assert connect.properties.session_expiry_interval == KEPT_SESSION_S


def test_a_refused_subscription_ends_with_the_reason() -> None:
    with running(Publisher(code=0x87)) as broker:
        result = invoke(broker, "-t", "a/#")
    assert isinstance(result.exception, SubscribeRefused)
    assert result.exception.exit_code == 1
    assert "not authorized" in str(result.exception)


def test_without_reconnecting_a_loss_is_a_failure() -> None:
    class Dying(Publisher):
        async def attend(self, guest: Guest) -> None:
            await guest.welcome()
            await guest.hear()
            guest.cut()

    with running(Dying()) as broker:
        result = invoke(broker, "-t", "a/#", "--no-reconnect")
    assert isinstance(result.exception, ConnectionLost)


def test_reconnecting_is_told_beside_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    class Flaky(Publisher):
        async def attend(self, guest: Guest) -> None:
            if not self.connects:
                self.connects.append(await guest.welcome())
                await guest.hear()
                guest.cut()
            else:
                await super().attend(guest)

    monkeypatch.setattr("bollard.client.shell.FIRST_DELAY_S", 0.01)
    with running(Flaky(b"one")) as broker:
        result = invoke(broker, "-t", "a/#", "-C", "1")
    assert result.return_value == 0
    assert result.stdout == "a/b one\n"
    assert "trying again" in result.stderr


@pytest.mark.parametrize(
    "words", [["--json", "--raw"], ["--no-clean"], ["--retain-handling", "3"], ["-C", "0"]]
)
def test_a_wrong_call_is_a_usage_error(words: list[str]) -> None:
    assert CliRunner().invoke(command, ["-t", "a", *words]).exit_code == 2


def test_control_characters_do_not_reach_a_terminal(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = Message("a\x1b[2J", b"b\x1b]0;owned\x07\xff\nc")
    monkeypatch.setattr(sub, "_is_terminal", lambda: True)
    for raw in (False, True):
        show(hostile, raw=raw)
    shown = capfdbinary.readouterr().out
    assert shown.replace(b"\n", b"").decode("ascii").isprintable()
    assert shown.count(b"\n") == 2


def test_raw_into_a_file_changes_nothing(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    show(Message("a", b"\x1b\xff\0"), raw=True)
    assert capfdbinary.readouterr().out == b"\x1b\xff\0\n"


def test_properties_stand_in_the_record_by_their_names() -> None:
    properties = Properties(
        content_type="j",
        correlation_data=b"\0",
        message_expiry_interval=0,
        subscription_identifiers=(1,),
        user_properties=(("k", "v"), ("k", "w")),
    )
    record = as_record(Message("a", b"", properties=properties))
    assert record["properties"] == {
        "content_type": "j",
        "correlation_data_base64": "AA==",
        "message_expiry_interval": 0,
        "subscription_identifiers": [1],
        "user_properties": [["k", "v"], ["k", "w"]],
    }


def test_help_has_an_example() -> None:
    assert "Example:  bollard sub" in CliRunner().invoke(command, ["--help"]).output
