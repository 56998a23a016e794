"""CONNECT and CONNACK, chapters 3.1 and 3.2: what both versions ask."""

import string

import pytest

from bollard.wire.codec import Packet
from bollard.wire.connect import Disconnect, Pingreq
from bollard.wire.properties import Properties

from .clauses import clause
from .conversation import Broker
from .doors import FORBIDDEN_ID, STRANGER
from .packets import (
    V5,
    V311,
    Message,
    connect,
    lasting,
    message,
    packet,
    puback,
    pubrec,
    pubrel,
    sub,
    subscribe,
    text,
    unsubscribe,
    will,
)

NOT_FIRST: dict[str, Packet | Message | bytes] = {
    "publish": Message("a", b"x"),
    "puback": puback(1),
    "pubrec": pubrec(1),
    "pubrel": pubrel(1),
    "subscribe": subscribe(1, sub("a")),
    "unsubscribe": unsubscribe(1, "a"),
    "pingreq": Pingreq(),
    "disconnect": Disconnect(0, Properties()),
    "http": b"GET / HTTP/1.1\r\n" + b"Host: localhost\r\n" * 5 + b"\r\n",
}


def head(version: int, flags: int, name: bytes = b"MQTT", level: int = 0, keepalive: int = 60) -> bytes:
    """CONNECT's variable header, with empty properties in 5.0."""
    properties = b"\0" if version == V5 else b""
    return text(name) + bytes((level or version, flags)) + keepalive.to_bytes(2, "big") + properties


def will_fields(version: int, topic: bytes = b"will", payload: bytes = b"gone") -> bytes:
    return (b"\0" if version == V5 else b"") + text(topic) + text(payload)


def expect_malformed_connect(broker: Broker, version: int, body: bytes, code: int = 0x81) -> None:
    """3.1.1 closes without a word [MQTT3-3.1.4-1]; 5.0 may say why first."""
    a = broker.client(version)
    a.send(packet(0x10, body))
    if version == V5:
        a.expect_refused(code)
    else:
        a.expect_closed()


@pytest.mark.parametrize("kind", sorted(NOT_FIRST))
@clause("MQTT3-3.1.0-1", "MQTT5-3.1.0-1", "MQTT5-3.14.0-1", "MQTT3-3.2.0-1", "MQTT3-4.8.0-1")
def test_anything_but_connect_first_ends_the_connection_in_silence(
    broker: Broker, version: int, kind: str
) -> None:
    a = broker.client(version)
    a.send(NOT_FIRST[kind])
    a.expect_closed()


@clause(
    "MQTT3-3.1.0-2", "MQTT5-3.1.0-2", "MQTT5-3.2.0-2", "MQTT5-4.13.1-1", "MQTT5-4.13.2-1", "MQTT3-4.8.0-1"
)
def test_a_second_connect_ends_the_connection(broker: Broker, version: int) -> None:
    a = broker.connected(version)
    a.send(connect(version, "again"))
    a.expect_closed(0x82)


@clause("MQTT3-3.1.2-1", "MQTT5-3.1.2-1")
@pytest.mark.parametrize("name", [b"", b"MQTTX", b"mqtt", b"HTTP", b"MQIsdq"])
def test_another_protocol_name_is_not_processed(broker: Broker, version: int, name: bytes) -> None:
    a = broker.client(version)
    a.send(packet(0x10, head(version, 0x02, name) + text("a")))
    assert [answer[:2] + answer[3:4] for answer in a.until_end()] in ([], [b"\x20\2\1"], [b"\x20\3\x84"])


@pytest.mark.parametrize("level", [0, 1, 2, 3, 6, 127, 255])
@clause("MQTT3-3.1.2-2", "MQTT5-3.1.2-2")
def test_an_unsupported_level_is_refused_and_closed(broker: Broker, version: int, level: int) -> None:
    a = broker.client(version)
    header = text("MQTT") + bytes((level, 0x02, 0, 60))
    a.send(packet(0x10, header + (b"\0" if version == V5 else b"") + text("a")))
    answer = a.raw()
    assert answer[0] == 0x20
    assert answer[2] == 0
    assert answer[3] in (1, 0x84)
    a.expect_closed()


@clause("MQTT3-3.1.2-2", "MQTT5-3.1.2-2")
def test_mqtt_3_1_is_told_that_its_level_is_not_supported(broker: Broker) -> None:
    a = broker.client(V311)
    a.send(packet(0x10, text("MQIsdp") + bytes((3, 0x02, 0, 60)) + text("a")))
    a.expect_bytes("20 02 00 01")
    a.expect_closed()


@clause("MQTT3-3.1.2-3", "MQTT5-3.1.2-3", "MQTT3-3.1.4-1", "MQTT5-3.1.4-1")
def test_the_reserved_connect_flag_must_be_0(broker: Broker, version: int) -> None:
    expect_malformed_connect(broker, version, head(version, 0x03) + text("a"))


@pytest.mark.parametrize("flags", [0x08, 0x10, 0x18])
@clause("MQTT3-3.1.2-11", "MQTT3-3.1.2-13", "MQTT5-3.1.2-11")
def test_will_qos_without_a_will_is_malformed(broker: Broker, version: int, flags: int) -> None:
    expect_malformed_connect(broker, version, head(version, 0x02 | flags) + text("a"))


@clause("MQTT3-3.1.2-11", "MQTT3-3.1.2-15", "MQTT5-3.1.2-13")
def test_will_retain_without_a_will_is_malformed(broker: Broker, version: int) -> None:
    expect_malformed_connect(broker, version, head(version, 0x22) + text("a"))


@clause("MQTT3-3.1.2-11")
def test_will_fields_without_the_will_flag_are_malformed(broker: Broker, version: int) -> None:
    expect_malformed_connect(broker, version, head(version, 0x02) + text("a") + will_fields(version))


@clause("MQTT3-3.1.2-14", "MQTT5-3.1.2-12")
def test_will_qos_3_is_malformed(broker: Broker, version: int) -> None:
    body = head(version, 0x02 | 0x04 | 0x18) + text("a") + will_fields(version)
    expect_malformed_connect(broker, version, body)


@clause("MQTT3-3.1.2-9", "MQTT5-3.1.2-9")
def test_a_will_flag_without_will_fields_is_malformed(broker: Broker, version: int) -> None:
    expect_malformed_connect(broker, version, head(version, 0x06) + text("a"))


@clause("MQTT3-3.1.2-9", "MQTT5-3.1.2-9")
def test_a_will_topic_without_a_will_payload_is_malformed(broker: Broker, version: int) -> None:
    body = head(version, 0x06) + text("a") + (b"\0" if version == V5 else b"") + text("will")
    expect_malformed_connect(broker, version, body)


@clause("MQTT3-3.1.2-18", "MQTT5-3.1.2-16")
def test_a_user_name_without_its_flag_is_malformed(broker: Broker, version: int) -> None:
    expect_malformed_connect(broker, version, head(version, 0x02) + text("a") + text("user"))


@clause("MQTT3-3.1.2-19", "MQTT5-3.1.2-17")
def test_a_user_name_flag_without_the_name_is_malformed(broker: Broker, version: int) -> None:
    expect_malformed_connect(broker, version, head(version, 0x82) + text("a"))


@clause("MQTT3-3.1.2-20", "MQTT5-3.1.2-18")
def test_a_password_without_its_flag_is_malformed(broker: Broker, version: int) -> None:
    body = head(version, 0x82) + text("a") + text("user") + text("secret")
    expect_malformed_connect(broker, version, body)


@clause("MQTT3-3.1.2-21", "MQTT5-3.1.2-19")
def test_a_password_flag_without_the_password_is_malformed(broker: Broker, version: int) -> None:
    expect_malformed_connect(broker, version, head(version, 0xC2) + text("a") + text("user"))


@clause("MQTT3-3.1.2-19", "MQTT3-3.1.2-21", "MQTT5-3.1.2-17", "MQTT5-3.1.2-19")
def test_user_name_and_password_are_taken_as_they_are_flagged(broker: Broker, version: int) -> None:
    a = broker.client(version)
    a.send(packet(0x10, head(version, 0xC2) + text("a") + text("user") + text(b"\x00\xff")))
    a.expect_connack()


@clause("MQTT3-3.1.3-1", "MQTT5-3.1.3-1", "MQTT3-3.1.3-3", "MQTT5-3.1.3-3")
def test_the_payload_fields_are_read_in_their_order(broker: Broker, version: int) -> None:
    """The user name, fourth of the fields, is what the broker refuses; the will, second, never fires."""
    body = head(version, 0xC6) + text("a") + will_fields(version) + text(STRANGER) + text("secret")
    watcher = broker.connected(version)
    watcher.subscribe("#")
    a = broker.client(version)
    a.send(packet(0x10, body))
    a.expect_refused(0x86)
    b = broker.client(version)
    b.send(packet(0x10, body.replace(text(STRANGER), text("somebody"))))
    b.expect_connack()
    watcher.expect_nothing()
    b.drop()
    watcher.expect_message("will", b"gone")


@clause("MQTT3-3.1.3-3", "MQTT5-3.1.3-3")
def test_a_connect_without_client_id_field_is_malformed(broker: Broker, version: int) -> None:
    expect_malformed_connect(broker, version, head(version, 0x02))


@pytest.mark.parametrize("bad", [b"\xff", b"a\xc0\x80", b"\xed\xa0\x80", b"a\x00b", b"\xf4\x90\x80\x80"])
@pytest.mark.parametrize("where", ["client_id", "will", "user_name"])
@clause("MQTT3-1.5.3-1", "MQTT3-1.5.3-2", "MQTT5-1.5.4-1", "MQTT5-1.5.4-2")
@clause("MQTT3-3.1.3-4", "MQTT3-3.1.3-10", "MQTT3-3.1.3-11")
@clause("MQTT5-3.1.3-4", "MQTT5-3.1.3-11", "MQTT5-3.1.3-12")
def test_text_that_is_not_utf_8_is_malformed(broker: Broker, version: int, where: str, bad: bytes) -> None:
    body = {
        "client_id": head(version, 0x02) + text(bad),
        "will": head(version, 0x06) + text("a") + will_fields(version, topic=bad),
        "user_name": head(version, 0x82) + text("a") + text(bad),
    }[where]
    expect_malformed_connect(broker, version, body)


@pytest.mark.parametrize("where", ["will", "will/+", "#", ""])
@clause("MQTT3-4.7.1-1", "MQTT3-4.7.3-1", "MQTT5-4.7.0-1", "MQTT5-4.7.3-1", "MQTT5-4.13.1-1")
def test_a_will_topic_is_a_topic_name(broker: Broker, version: int, where: str) -> None:
    a = broker.client(version)
    a.send(connect(version, "a", will=will(where)))
    if where == "will":
        a.expect_connack()
        return
    if version == V5:
        assert a.raw()[3] in (0x81, 0x82, 0x90)
    a.expect_closed()


LETTERS = string.digits + string.ascii_lowercase + string.ascii_uppercase


@pytest.mark.parametrize("client_id", ["a", "0", "Z9", LETTERS[:23], LETTERS[23:46], LETTERS[39:]])
@clause("MQTT3-3.1.3-5", "MQTT5-3.1.3-5", "MQTT3-3.1.4-4", "MQTT5-3.1.4-5")
def test_plain_client_ids_of_1_to_23_bytes_are_accepted(broker: Broker, version: int, client_id: str) -> None:
    broker.client(version).connect(client_id)


@clause("MQTT3-3.1.3-6", "MQTT5-3.1.3-6")
def test_clients_with_an_empty_id_are_told_apart(broker: Broker, version: int) -> None:
    a, b = broker.client(version), broker.client(version)
    a.connect("")
    b.connect("")
    a.subscribe("a")
    b.publish("a", b"x")
    a.expect_message("a", b"x")
    b.ping()


@clause("MQTT3-3.1.3-9", "MQTT5-3.1.3-8", "MQTT3-3.2.2-5", "MQTT5-3.2.2-7", "MQTT5-3.2.2-8", "MQTT5-4.13.2-1")
def test_a_rejected_client_id_is_refused_and_closed(broker: Broker, version: int) -> None:
    a = broker.client(version)
    a.send(connect(version, FORBIDDEN_ID))
    a.expect_refused(0x85)


@clause("MQTT3-3.2.2-5", "MQTT5-3.1.4-2", "MQTT5-3.2.2-7", "MQTT5-3.2.2-8")
def test_bad_credentials_are_refused_and_closed(broker: Broker, version: int) -> None:
    a = broker.client(version)
    a.send(connect(version, "a", username=STRANGER, password=b"guess"))
    a.expect_refused(0x86)


@clause("MQTT3-3.2.2-4", "MQTT5-3.2.2-6")
def test_a_refusal_says_no_session_even_where_there_is_one(broker: Broker, version: int) -> None:
    a = broker.connected(version, "a", clean=False, **lasting(version))
    a.disconnect()
    b = broker.client(version)
    b.send(connect(version, "a", clean=False, username=STRANGER, password=b"guess", **lasting(version)))
    refusal = b.raw()
    assert refusal[2] == 0
    assert refusal[3] != 0
    b.expect_closed()


@clause("MQTT3-3.1.4-5", "MQTT5-3.1.4-6")
def test_what_follows_a_refused_connect_is_not_processed(broker: Broker, version: int) -> None:
    watcher = broker.connected(version)
    watcher.subscribe("#")
    a = broker.client(version)
    a.send(
        connect(version, "a", username=STRANGER, password=b"guess"),
        message("news", b"x", retain=True),
        subscribe(1, sub("#")),
        Pingreq(),
    )
    a.expect_refused(0x86)
    watcher.expect_nothing()
    late = broker.connected(version)
    late.subscribe("#")
    late.expect_nothing()


@clause("MQTT3-3.2.0-1", "MQTT5-3.2.0-1", "MQTT5-3.2.0-2")
def test_what_follows_connect_at_once_is_answered_after_connack(broker: Broker, version: int) -> None:
    a = broker.client(version)
    a.send(connect(version, "a"), subscribe(1, sub("b")), message("b", b"x"), Pingreq())
    kinds = [a.raw()[0] >> 4 for _ in range(4)]
    assert kinds == [2, 9, 3, 13]


@clause("MQTT5-3.2.2-1", "MQTT3-3.2.2-1", "MQTT3-3.2.2-2", "MQTT3-3.2.2-3", "MQTT5-3.2.2-2", "MQTT5-3.2.2-3")
def test_session_present_is_the_only_flag_of_connack(broker: Broker, version: int) -> None:
    for clean, flags in ((False, 0), (False, 1), (True, 0), (False, 0)):
        a = broker.client(version)
        a.send(connect(version, "a", clean=clean, **({} if clean else lasting(version))))
        answer = a.raw()
        assert (answer[0], answer[2], answer[3]) == (0x20, flags, 0)
        a.disconnect()


@clause("MQTT3-3.1.4-2", "MQTT5-3.1.4-3")
def test_who_connects_again_takes_over_and_the_older_connection_is_closed(
    broker: Broker, version: int
) -> None:
    a = broker.connected(version, "a")
    b = broker.connected(version, "a")
    a.expect_closed(0x8E)
    b.ping()
