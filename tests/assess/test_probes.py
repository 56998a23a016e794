"""Probes against small servers that answer as they are told: bounds, politeness, and what is never done."""

import asyncio
import re
import socket
import time

import pytest

from assess.rooms import FAST, room
from assess.servers import Server, says, silent
from bollard.assess.model import State, Status
from bollard.assess.plan import PROBES, Settings, scan
from bollard.assess.probes import doors, ears, reach, strain
from bollard.assess.probes.evidence import Busy, NoAnswer, Product
from bollard.assess.probes.line import Line
from bollard.assess.probes.room import Identity, Pace
from bollard.assess.scope import parse_target
from bollard.base.types import Secret
from bollard.wire.codec import encode
from bollard.wire.connect import Connack, Connect
from bollard.wire.properties import Properties
from bollard.wire.publish import encode_publish
from bollard.wire.subscribe import Suback

ACCEPT_311 = b"\x20\x02\x00\x00"
REFUSE_311 = b"\x20\x02\x00\x05"


def accept_and_flood(connection: socket.socket) -> None:
    """Lets a client of 5.0 in, grants its subscription, and sends without end."""
    connection.recv(4096)
    connection.sendall(encode(Connack(), 5))
    connection.recv(4096)
    connection.sendall(encode(Suback(1, (0,)), 5))
    message = encode_publish(b"house/door", b"x" * 100, version=5)
    while True:
        connection.sendall(message)


def test_a_client_that_is_let_in_is_an_accepted_entry() -> None:
    with Server(says(ACCEPT_311)) as server:
        entry = asyncio.run(doors.enter(room(server.port), Identity(label="anonymous"), 4))
    assert entry.accepted


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [(REFUSE_311, "refused"), (b"", "closed"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "malformed")],
)
def test_other_answers_have_their_outcome(answer: bytes, outcome: str) -> None:
    with Server(says(answer)) as server:
        entry = asyncio.run(doors.enter(room(server.port), Identity(label="anonymous"), 4))
    assert entry.outcome == outcome


def test_an_old_brokers_refusal_of_a_new_client_is_understood() -> None:
    with Server(says(b"\x20\x02\x00\x01")) as server:
        entry = asyncio.run(doors.enter(room(server.port), Identity(label="anonymous"), 5))
    assert (entry.outcome, entry.code) == ("refused", 0x84)


def test_a_server_that_asks_to_slow_down_ends_the_scan_of_it() -> None:
    with Server(says(encode(Connack(code=0x9F), 5))) as server, pytest.raises(Busy, match="slow down"):
        asyncio.run(doors.enter(room(server.port), Identity(label="anonymous"), 5))


def test_after_busy_no_further_probe_runs() -> None:
    def talk(connection: socket.socket) -> None:
        busy = connection.recv(4096)[8:9] == b"\x05"
        connection.sendall(encode(Connack(code=0x9F), 5) if busy else REFUSE_311)

    with Server(talk) as server:
        target = f"mqtt://127.0.0.1:{server.port}"
        settings = Settings(active=True, bounds=FAST, only=frozenset({"SCN-04", "SCN-07", "SCN-14"}))
        (report,) = asyncio.run(scan(parse_target(target), settings, lambda *_: None))
        contacts = server.connections
    assert {each.state for each in report.results} == {State.NOT_TESTED}
    assert all("slow down" in each.observed for each in report.results)
    # One to knock, one to ask what it speaks, and the one that was told.
    assert contacts == 3


def test_a_password_never_goes_out_in_the_clear() -> None:
    seen: list[bytes] = []

    def listen(connection: socket.socket) -> None:
        seen.append(connection.recv(4096))

    ours = Identity(label="plug", username="plug", password=Secret(b"correct-horse"))
    with Server(listen) as server:
        place = room(server.port, identities=(ours,))
        with pytest.raises(NoAnswer, match="not sent without TLS"):
            place.hello(ours)
        asyncio.run(doors.enter(place, Identity(label="anonymous"), 4))
    assert b"correct-horse" not in b"".join(seen)


def test_a_password_that_may_not_be_sent_leaves_the_other_checks_and_is_said() -> None:
    ours = Identity(label="plug", username="plug", password=Secret(b"correct-horse"))
    with Server(says(REFUSE_311)) as server:
        settings = Settings(bounds=FAST, identities=(ours,), only=frozenset({"SCN-04", "SCN-10"}))
        (report,) = asyncio.run(
            scan(parse_target(f"mqtt://127.0.0.1:{server.port}"), settings, lambda *_: None)
        )
    said = {each.check: each for each in report.results}
    assert said["SCN-04"].state is State.PASS
    assert "not sent without TLS" in said["SCN-10"].observed


def test_no_identity_shows_its_password() -> None:
    assert "horse" not in repr(Identity(label="a", username="a", password=Secret(b"horse")))


def test_what_is_taken_in_of_others_is_bounded() -> None:
    with Server(accept_and_flood) as server:
        place = room(server.port)
        place.versions["anonymous"] = 5
        heard = asyncio.run(ears._hear(place, Identity(label="anonymous"), 5, "#", 5.0, {}))
    assert heard.messages == FAST.listen_messages
    assert heard.topics == ("house/door",)


def test_messages_that_the_filter_does_not_cover_prove_nothing() -> None:
    with Server(accept_and_flood) as server:
        place = room(server.port)
        place.versions["anonymous"] = 5
        heard = asyncio.run(ears._hear(place, Identity(label="anonymous"), 5, "$CONTROL/#", 0.3, {}))
    assert heard.messages == 0


@pytest.mark.parametrize(
    ("payload", "kinds"),
    [
        (b'{"password": "hunter22"}', ["password"]),
        (b"api_key=abcdef0123456789", ["token or key"]),
        (b"eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl", ["signed token"]),
        (b"-----BEGIN EC PRIVATE KEY-----", ["private key"]),
        (b"to: ada@example.org", ["e-mail address"]),
        (b'{"lat": 47.3769, "lon": 8.5417}', ["position"]),
        (b'{"temperature": 21.5}', []),
        (b"\x00\xff" * 50, []),
        (b"", []),
    ],
)
def test_secrets_are_known_by_their_shape(payload: bytes, kinds: list[str]) -> None:
    assert ears.kinds_of_secret(payload) == kinds


def test_looking_for_secrets_takes_no_longer_for_hostile_payloads() -> None:
    for piece in (b"a", b"a.", b"@a.", b"password", b'"lat": 1.000', b"eyJ", b"eyJaaaaaaaa."):
        began = time.process_time()
        ears.kinds_of_secret(piece * (20_000 // len(piece)))
        assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("topic", "text", "name", "version"),
    [
        ("$SYS/broker/version", "mosquitto version 2.0.11", "mosquitto", "2.0.11"),
        ("$SYS/brokers/emqx@127.0.0.1/version", "5.8.0", "emqx", "5.8.0"),
        ("$SYS/broker/version", "aMQTT version 0.11", "amqtt", "0.11"),
        ("$SYS/broker/version", "<b>", "", ""),
    ],
)
def test_a_broker_is_recognised_by_what_it_says(topic: str, text: str, name: str, version: str) -> None:
    found = ears.recognise({topic: text})
    assert (found.name, found.version) == (name, version)
    assert ears.recognise({}) == Product()


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("$SYS/aedes-cli/heartbeat", "aedes"),
        ("$SYS/VerneMQ@127.0.0.1/mqtt/publish/sent", "vernemq"),
        ("$SYS/brokers/emqx@node/uptime", "emqx"),
        ("$SYS/broker/load/messages", ""),
    ],
)
def test_a_broker_without_a_version_is_recognised_by_its_topics(topic: str, name: str) -> None:
    assert ears.recognise({}, [topic]) == Product(name=name, source=topic if name else "")


def test_a_connect_of_mqtt_31_differs_in_name_and_level() -> None:
    data = encode(Connect(version=4, client_id="a"), 4)
    old = doors.as_31(data)
    assert old[2:11] == b"\0\6MQIsdp\3"
    assert old[1] == len(old) - 2
    long = doors.as_31(encode(Connect(version=4, client_id="a", username="u" * 200), 4))
    assert (long[1] & 0x7F) + (long[2] << 7) == len(long) - 3


def test_what_does_not_speak_mqtt_is_said() -> None:
    with Server(says(b"SSH-2.0-x\r\n")) as server, pytest.raises(NoAnswer, match="does not speak MQTT"):
        asyncio.run(reach.find_transport(room(server.port)))


def test_a_port_that_nobody_has_is_said() -> None:
    with Server(silent) as server:
        port = server.port
    with pytest.raises(NoAnswer, match="nothing listens"):
        asyncio.run(reach.find_transport(room(port)))


def test_a_connection_is_watched_no_longer_than_our_patience() -> None:
    with Server(silent) as server:
        assert asyncio.run(strain._watch(room(server.port), b"")) is None
    with Server(says(b"")) as server:
        ended = asyncio.run(strain._watch(room(server.port), b"\x10\x20"))
    assert ended is not None
    assert ended <= FAST.patience_s


def test_packets_are_spaced() -> None:
    async def three() -> float:
        pace = Pace(20)
        began = time.monotonic()
        for _ in range(3):
            await pace()
        return time.monotonic() - began

    assert asyncio.run(three()) >= 0.09


def test_unexpected_trouble_of_a_probe_ends_only_that_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    async def trouble(place: object) -> None:
        raise ZeroDivisionError("secret detail")

    broken = [
        type(each)(each.name, each.gives, trouble, each.caution) if each.name == "limits" else each
        for each in PROBES
    ]
    monkeypatch.setattr("bollard.assess.plan.PROBES", tuple(broken))
    with Server(says(REFUSE_311)) as server:
        settings = Settings(bounds=FAST)
        (report,) = asyncio.run(
            scan(parse_target(f"mqtt://127.0.0.1:{server.port}"), settings, lambda *_: None)
        )
    (attempt,) = [each for each in report.attempts if each.probe == "limits"]
    assert attempt.status is Status.FAILED
    assert attempt.reason == "the probe failed: ZeroDivisionError"
    assert {each.check for each in report.results if each.state is State.FAIL} >= {"SCN-02"}


def test_default_logins_are_at_most_ten() -> None:
    assert len(strain.DEFAULT_LOGINS) <= 10


def test_a_default_login_that_works_is_told_without_its_password() -> None:
    def talk(connection: socket.socket) -> None:
        data = connection.recv(4096)
        connection.sendall(ACCEPT_311 if b"guest\x00\x05guest" in data else REFUSE_311)

    with Server(talk) as server:
        (found,) = asyncio.run(strain.probe_guesses(room(server.port)))
    assert (found.default_login, found.tried) == ("guest", 3)


def test_guessing_stops_at_ten_of_each_kind() -> None:
    with Server(says(REFUSE_311)) as server:
        (found,) = asyncio.run(strain.probe_guesses(room(server.port)))
        assert server.connections == found.tried + found.wrong_tries == len(strain.DEFAULT_LOGINS) + 10
    assert not found.throttled


def test_the_ten_guesses_are_all_of_one_user_that_nobody_has() -> None:
    names: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        data = connection.recv(4096)
        names.append((re.findall(rb"mqttassess-[0-9a-f]{8}(?![0-9a-f])", data) or [b""])[-1])
        connection.sendall(REFUSE_311)

    with Server(talk) as server:
        asyncio.run(strain.probe_guesses(room(server.port)))
    assert len(set(names[-10:])) == 1
    assert names[-1].startswith(b"mqttassess-")


def test_a_lockout_is_a_throttle() -> None:
    calls = iter(range(100))

    def talk(connection: socket.socket) -> None:
        connection.recv(4096)
        if next(calls) < 4:
            connection.sendall(REFUSE_311)

    with Server(talk) as server:
        (found,) = asyncio.run(strain.probe_guesses(room(server.port)))
    assert found.throttled
    assert found.tried == 5


def test_a_line_keeps_what_the_server_grants() -> None:
    properties = Properties(server_keep_alive=60, maximum_packet_size=1000)
    with Server(says(encode(Connack(properties=properties), 5))) as server:
        place = room(server.port)
        place.versions["anonymous"] = 5
        (found,) = asyncio.run(doors.probe_offer(place))
    assert (found.keepalive_s, found.max_packet_bytes, found.session_expiry_s) == (60, 1000, None)


def test_a_line_to_nowhere_is_no_answer() -> None:
    async def nowhere(port: int) -> None:
        await Line.open(room(port))

    with Server(silent) as server:
        port = server.port
    with pytest.raises(NoAnswer, match="nothing listens"):
        asyncio.run(nowhere(port))
