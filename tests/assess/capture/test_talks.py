"""MQTT in recorded streams: all versions, any cut of the bytes, connections without a beginning, missing bytes."""

import pytest

from assess.capture.reading import assets, read_bytes, read_tape, states
from assess.capture.scene import BROKER, connack, connect, old_connect, websocket_frames
from bollard.wire.codec import encode
from bollard.wire.connect import Pingreq, Pingresp
from bollard.wire.properties import Properties
from bollard.wire.publish import encode_publish
from bollard.wire.subscribe import Suback, Subscribe, SubscribeFilter
from support.captures import ACK, SYN, Talk, Tape, pcap

CLIENT = ("10.1.2.3", 40_000)


def talk(tape: Tape, *, opened: bool = True, server: tuple[str, int] = BROKER) -> Talk:
    return Talk(tape, CLIENT, server, opened=opened)


@pytest.mark.parametrize("mss", [1, 3, 1_400])
@pytest.mark.parametrize(
    ("hello", "version"),
    [(old_connect("d"), "3.1"), (connect("d"), "3.1.1"), (connect("d", version=5), "5.0")],
)
def test_every_version_is_read_however_the_bytes_are_cut(hello: bytes, version: str, mss: int) -> None:
    tape = Tape()
    line = talk(tape)
    number = 5 if version == "5.0" else 4
    line.send(0, hello + encode_publish(b"a/b", b"x" * 300, version=number), mss)
    line.send(1, connack(version=number) + encode_publish(b"c", b"y", version=number), mss)
    found = assets(read_tape(tape))["d"]
    assert found.facts["versions"] == [version]
    assert (found.facts["publishes"], found.facts["messages received"]) == ({"a/b": 1}, 1)


def test_a_bridge_is_told_apart() -> None:
    data = bytearray(connect("bridge"))
    data[8] |= 0x80
    tape = Tape()
    talk(tape).up(bytes(data))
    assert assets(read_tape(tape))["bridge"].facts["bridge"] is True


def test_a_message_that_is_too_long_to_keep_is_counted_by_its_topic() -> None:
    tape = Tape()
    talk(tape).up(
        connect("cam"), encode_publish(b"cam/image", b"\xff" * 100_000), encode_publish(b"cam/next", b"1")
    )
    assert assets(read_tape(tape))["cam"].facts["publishes"] == {"cam/image": 1, "cam/next": 1}


def test_topics_stand_behind_their_aliases_in_both_directions() -> None:
    alias = Properties(topic_alias=7)
    tape = Tape()
    line = talk(tape).up(connect("d", version=5))
    for topic in (b"long/topic", b"", b""):
        line.up(encode_publish(topic, b"1", version=5, properties=alias))
    line.up(encode_publish(b"", b"1", version=5, properties=Properties(topic_alias=9)))
    found = read_tape(tape)
    assert assets(found)["d"].facts["publishes"] == {"long/topic": 3}
    assert found.traffic.unread.talks == {"messages under an alias that was not seen": 1}


def test_often_seen_topics_are_still_counted_and_aliases_still_learnt() -> None:
    tape = Tape()
    line = talk(tape).up(connect("d", version=5))
    for _ in range(40):
        line.up(encode_publish(b"t", b"1", version=5))
    line.up(encode_publish(b"t", b"1", version=5, properties=Properties(topic_alias=1)))
    line.up(encode_publish(b"", b"1", version=5, properties=Properties(topic_alias=1)))
    found = read_tape(tape)
    assert assets(found)["d"].facts["publishes"] == {"t": 42}
    assert found.traffic.publishes == 42


def test_a_connection_without_its_beginning_is_known_by_its_packets() -> None:
    tape = Tape()
    line = talk(tape, opened=False, server=("10.1.2.4", 7_777))
    line.up(encode_publish(b"a/b", b"1"), encode_publish(b"a/b", b"2")).up(encode(Pingreq(), 4))
    line.down(encode(Pingresp(), 4), encode_publish(b"a/c", b"3"))
    found = read_tape(tape)
    assert (found.traffic.clear, found.traffic.inferred) == (1, 1)
    assert assets(found)["10.1.2.3"].facts["publishes"] == {"a/b": 2}
    made = states(found)
    assert (made["PCP-01"], made["PCP-02"], made["PCP-10"]) == ("fail", "inconclusive", "not-tested")


def test_the_version_of_such_a_connection_is_the_one_in_which_its_packets_are_legal() -> None:
    tape = Tape()
    line = talk(tape, opened=False)
    line.up(encode(Subscribe(1, (SubscribeFilter("x/#"),)), 5)).down(encode(Suback(1, (0,)), 5))
    line.up(encode(Pingreq(), 5)).up(encode(Subscribe(2, (SubscribeFilter("y"),)), 5))
    assert assets(read_tape(tape))["10.1.2.3"].facts["subscribes to"] == ["x/#", "y"]


def test_a_ping_and_its_answer_tell_who_is_the_client_whatever_the_ports() -> None:
    tape = Tape()
    line = Talk(tape, ("10.1.2.4", 1_000), ("10.1.2.3", 60_000), opened=False)
    line.up(encode(Pingreq(), 4)).down(encode(Pingresp(), 4)).up(encode_publish(b"t", b"1"))
    assert assets(read_tape(tape))["10.1.2.4"].facts["publishes"] == {"t": 1}


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x10\x05hello",
        b"\x10\x0c\0\4MQTX\4\2\0\x3c",
        b"\0" * 50,
        b"HTTP/1.1 200 OK\r\n",
    ],
)
@pytest.mark.parametrize("opened", [True, False])
def test_other_protocols_are_not_taken_for_mqtt(data: bytes, opened: bool) -> None:
    tape = Tape()
    line = talk(tape, opened=opened)
    for _ in range(12):
        line.up(data).down(data)
    found = read_tape(tape)
    assert not found.traffic.mqtt
    assert set(states(found).values()) == {"not-tested"}


def test_a_page_over_http_is_no_websocket() -> None:
    tape = Tape()
    talk(tape).up(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").down(b"HTTP/1.1 200 OK\r\n\r\n" + connect("x"))
    assert not read_tape(tape).traffic.mqtt


def test_after_missing_frames_it_is_read_on_where_whole_packets_begin_again() -> None:
    tape = Tape()
    line = talk(tape).up(connect("d"))
    line.up(encode_publish(b"t", b"1"))
    line.seqs[0] += 500
    for _ in range(3):
        line.up(encode_publish(b"t", b"later"))
    found = read_tape(tape)
    assert assets(found)["d"].facts["publishes"] == {"t": 4}
    assert found.traffic.unread.streams["gaps"] == 1
    assert found.traffic.unread.talks == {"directions read on after a gap": 1}
    assert "1 places where frames are missing from a connection" in found.notes


def test_after_missing_frames_the_middle_of_a_message_is_not_guessed_at() -> None:
    tape = Tape()
    line = talk(tape).up(connect("d"))
    line.seqs[0] += 500
    for _ in range(3):
        line.up(b"\x30 what looks like a message and is none")
    assert "publishes" not in assets(read_tape(tape))["d"].facts


def test_frames_that_were_cut_are_said_and_passing_is_no_longer_certain() -> None:
    tape = Tape()
    talk(tape).up(connect("d")).up(encode_publish(b"t", b"x" * 500)).up(encode_publish(b"t", b"1"))
    found = read_bytes(pcap(tape, snap=100))
    assert "1 frames that were recorded in part only" in found.notes
    made = states(found)
    assert (made["PCP-01"], made["PCP-02"], made["PCP-03"]) == ("fail", "inconclusive", "inconclusive")


def test_what_stops_being_mqtt_is_left_and_counted() -> None:
    tape = Tape()
    line = talk(tape).up(connect("d")).up(b"\x00\x00\x00")
    line.up(encode_publish(b"t", b"1"))
    assert read_tape(tape).traffic.unread.talks == {"directions that are no legal MQTT": 1}


def upgrade(path: bytes = b"/mqtt", more: bytes = b"") -> bytes:
    return (
        b"GET "
        + path
        + b" HTTP/1.1\r\nHost: b\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
        + more
        + b"\r\n"
    )


SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n"


@pytest.mark.parametrize("mss", [1, 1_400])
@pytest.mark.parametrize("piece", [1, 50, 5_000])
def test_websocket_frames_and_packets_need_not_align(piece: int, mss: int) -> None:
    tape = Tape()
    line = talk(tape, server=("10.9.9.9", 80))
    line.send(0, upgrade(), mss)
    line.send(1, SWITCH, mss)
    line.send(0, websocket_frames(connect("w") + encode_publish(b"t", b"x" * 400), b"abcd", piece), mss)
    line.send(1, websocket_frames(connack() + encode_publish(b"u", b"1"), None, piece), mss)
    found = assets(read_tape(tape))["w"]
    assert (found.facts["publishes"], found.facts["messages received"]) == ({"t": 1}, 1)
    assert found.facts["over"] == ["WebSocket"]


def test_control_frames_between_are_passed_over() -> None:
    tape = Tape()
    line = talk(tape).up(upgrade()).down(SWITCH)
    line.up(b"\x89\x84abcdabcd", websocket_frames(connect("w"), b"abcd"), b"\x8a\x80abcd")
    assert "w" in assets(read_tape(tape))


def test_a_websocket_that_is_compressed_is_said_and_one_of_others_is_left() -> None:
    tape = Tape()
    line = talk(tape).up(upgrade()).down(SWITCH)
    line.up(websocket_frames(connect("w"), b"abcd")).up(b"\xc2\x85abcdhello").close()
    other = Talk(tape, ("10.1.2.9", 40_000), BROKER).up(upgrade()).down(SWITCH)
    other.up(websocket_frames(b'{"chat": 1}', b"abcd")).close()
    found = read_tape(tape)
    assert found.traffic.unread.talks == {"compressed WebSockets": 1}
    assert found.traffic.clear == 1


def test_secrets_in_the_head_of_an_upgrade_are_told_and_not_kept() -> None:
    tape = Tape()
    head = upgrade(b"/mqtt?token=eyJhbGciOi.eyJzdWIiOi.c2lnbmF0", b"Authorization: Bearer s3cr3t-of-mine\r\n")
    talk(tape).up(head).down(SWITCH).up(websocket_frames(connect("w"), b"abcd")).close()
    basic = Talk(tape, ("10.1.2.9", 40_000), BROKER)
    basic.up(
        upgrade(more=b"Authorization: Basic dXNlcjpwYXNz\r\nCookie: a=eyJhbGciOi.eyJzdWIiOi.Y29va2ll\r\n")
    )
    basic.down(SWITCH).up(websocket_frames(connect("v"), b"abcd")).close()
    found = read_tape(tape)
    assert sorted((each.kind, each.where.split()[0]) for each in found.traffic.tokens) == [
        ("basic authorization", "Authorization"),
        ("bearer token", "Authorization"),
        ("signed token", "address"),
        ("signed token", "cookie"),
    ]
    assert "s3cr3t" not in repr(found)


def test_a_refused_port_of_tls_counts_as_a_failed_attempt() -> None:
    tape = Tape()
    line = Talk(tape, CLIENT, ("10.9.9.9", 8_883), opened=False)
    line.raw(0, SYN)
    line.seqs[0] += 1
    line.reset(1)
    Talk(tape, ("10.1.2.3", 40_001), ("10.9.9.9", 1_883)).up(connect("d"))
    found = read_tape(tape)
    assert len(found.traffic.downgrades) == 1
    assert "refused" in found.traffic.downgrades[0].text


def test_a_message_before_anything_else_waits_for_its_segments() -> None:
    tape = Tape()
    line = talk(tape)
    data = connect("d") + encode_publish(b"t", b"1")
    line.raw(0, ACK, data[20:], seq=line.seqs[0] + 20)
    line.raw(0, ACK, data[:20])
    assert assets(read_tape(tape))["d"].facts["publishes"] == {"t": 1}


@pytest.mark.parametrize("mss", [1, 1_400])
@pytest.mark.parametrize(
    "head",
    [
        b"PROXY TCP4 192.0.2.1 10.9.9.9 5000 1883\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + b"\xc0\0\2\1\x0a\x09\x09\x09\x13\x88\x07\x5b",
    ],
    ids=["text", "binary"],
)
def test_the_head_of_a_proxy_is_passed_over(head: bytes, mss: int) -> None:
    tape = Tape()
    line = talk(tape)
    line.send(0, head + connect("d") + encode_publish(b"t", b"1"), mss)
    assert assets(read_tape(tape))["d"].facts["publishes"] == {"t": 1}


def test_a_refused_port_of_tls_alone_shows_that_nobody_fell_back() -> None:
    tape = Tape()
    line = Talk(tape, CLIENT, ("10.9.9.9", 8_883), opened=False)
    line.raw(0, SYN)
    line.seqs[0] += 1
    line.reset(1)
    assert states(read_tape(tape))["PCP-08"] == "pass"
