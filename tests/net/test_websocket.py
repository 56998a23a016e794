"""MQTT in WebSocket frames, without I/O: the upgrade, the frames, the bounds."""

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.typing import Origin, Subprotocol
from websockets.uri import parse_uri

from bollard.net.websocket import FRAME_BYTES, MAX_EARLY_FRAMES, MAX_REQUEST_BYTES, SLACK_BYTES, WebSocket

ORIGIN = "https://console.example"


class Browser:
    """A client's half, and the server's to talk to."""

    def __init__(
        self,
        path: str = "/mqtt",
        origin: str | None = None,
        subprotocol: str | None = "mqtt",
        max_connect_bytes: int = 1000,
        max_packet_bytes: int = 5000,
        inside_tls: bool = True,
    ) -> None:
        self.server = WebSocket((ORIGIN,), max_connect_bytes, max_packet_bytes, inside_tls=inside_tls)
        self.client = ClientProtocol(
            parse_uri(f"wss://broker.test{path}"),
            origin=None if origin is None else Origin(origin),
            subprotocols=None if subprotocol is None else [Subprotocol(subprotocol)],
        )
        self.request = self.client.connect()
        self.client.send_request(self.request)
        self.say()
        self.response = self.hear()[0]
        assert isinstance(self.response, Response)

    def say(self) -> list[bytes]:
        return self.server.receive(b"".join(self.client.data_to_send()))

    def hear(self) -> list[object]:
        self.client.receive_data(self.server.take_output())
        return list(self.client.events_received())

    def closed_with(self) -> int | None:
        self.hear()
        return self.client.close_rcvd.code if self.client.close_rcvd else None


def test_an_upgrade_with_the_mqtt_subprotocol_is_accepted() -> None:
    """[MQTT5-6.0.0-3] [MQTT5-6.0.0-4]"""
    browser = Browser()
    assert browser.response.status_code == 101
    assert browser.response.headers["Sec-WebSocket-Protocol"] == "mqtt"
    assert browser.server.open
    assert not browser.server.ended


@pytest.mark.parametrize("subprotocol", [None, "mqttv3.1", "chat"])
def test_an_upgrade_without_the_mqtt_subprotocol_is_refused(subprotocol: str | None) -> None:
    """[MQTT5-6.0.0-3]"""
    browser = Browser(subprotocol=subprotocol)
    assert browser.response.status_code == 400
    assert browser.server.ended
    assert "subprotocol" in browser.server.refusal


def test_a_page_of_another_origin_is_refused() -> None:
    browser = Browser(origin="https://evil.example")
    assert browser.response.status_code == 403
    assert "origin is not listed" in browser.server.refusal


def test_a_client_that_names_our_own_address_as_its_origin_is_accepted_inside_tls_only() -> None:
    assert Browser(origin="https://broker.test").response.status_code == 101
    assert Browser(origin="https://broker.test:1").response.status_code == 403
    assert Browser(origin="http://broker.test").response.status_code == 403
    assert Browser(origin="https://broker.test", inside_tls=False).response.status_code == 403


def test_a_page_of_a_listed_origin_is_accepted() -> None:
    assert Browser(origin=ORIGIN).response.status_code == 101


@pytest.mark.parametrize(
    ("path", "status"), [("/", 101), ("/mqtt", 101), ("/mqtt?x=1", 101), ("/other", 404)]
)
def test_only_the_known_paths_exist(path: str, status: int) -> None:
    assert Browser(path).response.status_code == status


def test_compression_is_never_agreed_on() -> None:
    server = WebSocket((), 1000, 1000)
    browser = Browser()
    browser.request.headers["Sec-WebSocket-Extensions"] = "permessage-deflate"
    server.receive(browser.request.serialize())
    answer = server.take_output()
    assert answer.startswith(b"HTTP/1.1 101")
    assert b"deflate" not in answer


def test_packets_may_share_and_span_frames() -> None:
    """[MQTT5-6.0.0-2]"""
    browser = Browser()
    browser.client.send_binary(b"\xc0\x00\xc0")
    browser.client.send_binary(b"\x00", fin=False)
    browser.client.send_continuation(b"\xe0\x00", fin=True)
    assert browser.say() == [b"\xc0\x00\xc0", b"\x00", b"\xe0\x00"]


def test_frames_that_arrive_byte_by_byte_are_put_together() -> None:
    browser = Browser()
    browser.client.send_binary(b"hello")
    wire = b"".join(browser.client.data_to_send())
    pieces = [piece for byte in wire for piece in browser.server.receive(bytes([byte]))]
    assert pieces == [b"hello"]


def test_frames_right_behind_the_request_are_not_lost() -> None:
    browser = Browser()
    server = WebSocket((), 1000, 1000)
    browser.client.send_binary(b"eager")
    frame = b"".join(browser.client.data_to_send())
    assert server.receive(browser.request.serialize() + frame) == [b"eager"]


def test_a_text_frame_closes_the_connection() -> None:
    """[MQTT5-6.0.0-1] [MQTT3-6.0.0-1]"""
    browser = Browser()
    browser.client.send_binary(b"first")
    browser.client.send_text(b"text")
    browser.client.send_binary(b"never")
    assert browser.say() == [b"first"]
    assert browser.server.ended
    assert browser.closed_with() == 1003
    assert "text frame" in browser.server.refusal


def test_a_ping_is_answered_even_between_fragments() -> None:
    browser = Browser()
    browser.client.send_ping(b"are you there")
    assert browser.say() == []
    (pong,) = browser.hear()
    assert isinstance(pong, Frame)
    assert (pong.opcode, bytes(pong.data)) == (Opcode.PONG, b"are you there")


def test_pings_of_a_peer_that_does_not_read_leave_one_answer() -> None:
    browser = Browser()
    for number in range(100):
        browser.client.send_ping(b"%d" % number)
        browser.say()
        browser.server.drop_surplus()
    assert [bytes(pong.data) for pong in browser.hear()] == [b"99"]


def test_a_proper_close_is_echoed_without_a_refusal() -> None:
    browser = Browser()
    browser.client.send_close(1000)
    assert browser.say() == []
    assert browser.server.ended
    assert browser.server.refusal == ""
    assert browser.closed_with() == 1000


def test_nothing_is_sent_behind_a_close() -> None:
    browser = Browser()
    browser.client.send_close(1000)
    browser.say()
    assert b"too late" not in browser.server.wrap(b"too late")


def test_output_travels_in_binary_frames_of_bounded_size() -> None:
    browser = Browser()
    data = bytes(range(256)) * 200
    browser.client.receive_data(browser.server.wrap(data))
    frames = browser.client.events_received()
    assert {frame.opcode for frame in frames} == {Opcode.BINARY}
    assert max(len(frame.data) for frame in frames) == FRAME_BYTES
    assert b"".join(bytes(frame.data) for frame in frames) == data


def test_before_authentication_a_frame_is_held_back_only_up_to_the_small_limit() -> None:
    browser = Browser(max_connect_bytes=1000)
    browser.client.send_binary(bytes(2000))
    wire = b"".join(browser.client.data_to_send())
    browser.server.receive(wire[:1000])
    assert not browser.server.ended
    browser.server.receive(wire[1000:1100])
    assert browser.server.ended
    assert browser.closed_with() == 1009


def test_after_authentication_a_frame_may_be_as_large_as_a_packet() -> None:
    browser = Browser(max_connect_bytes=1000, max_packet_bytes=5000)
    browser.server.widen()
    browser.client.send_binary(bytes(4000))
    wire = b"".join(browser.client.data_to_send())
    assert browser.server.receive(wire[:3000]) == []
    assert browser.server.receive(wire[3000:]) == [bytes(4000)]


def test_a_stranger_may_send_few_frames_and_who_is_authenticated_as_many_as_it_likes() -> None:
    stranger, friend = Browser(), Browser()
    friend.server.widen()
    for browser in (stranger, friend):
        for _ in range(MAX_EARLY_FRAMES):
            browser.client.send_binary(b"")
        browser.say()
        assert not browser.server.ended
        browser.client.send_ping(b"")
        browser.say()
    assert stranger.server.ended
    assert "frames before a CONNECT" in stranger.server.refusal
    assert stranger.closed_with() == 1008
    assert not friend.server.ended


def test_a_frame_that_declares_too_much_is_refused_before_it_arrives() -> None:
    browser = Browser(max_packet_bytes=5000)
    declared = (5000 + SLACK_BYTES + 1).to_bytes(8, "big")
    browser.server.receive(b"\x82\xff" + declared + b"mask")
    assert browser.server.ended
    assert browser.closed_with() == 1009


@pytest.mark.parametrize(
    "frame",
    [
        b"\x82\x01x",  # not masked
        b"\x83\x81maskx",  # reserved opcode
        b"\xc2\x81maskx",  # reserved bit
        b"\x09\x80mask",  # fragmented control frame
        b"\x80\x81maskx",  # continuation of nothing
    ],
)
def test_malformed_frames_close_with_a_protocol_error(frame: bytes) -> None:
    browser = Browser()
    browser.server.receive(frame)
    assert browser.server.ended
    assert browser.closed_with() == 1002
    assert "bad WebSocket frame" in browser.server.refusal


def test_mqtt_without_websocket_is_recognized_as_no_request() -> None:
    server = WebSocket((), 1000, 1000)
    server.receive(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00\n\r\n")
    assert server.ended
    assert "not a WebSocket request" in server.refusal


def test_an_endless_request_is_cut_off() -> None:
    server = WebSocket((), 1000, 1000)
    server.receive(b"GET /mqtt HTTP/1.1\r\n")
    for _ in range(MAX_REQUEST_BYTES // 1000 + 1):
        server.receive(b"X-Padding: %s\r\n" % (b"x" * 1000))
    assert server.ended
    assert "longer than" in server.refusal


def test_nothing_is_taken_after_the_end() -> None:
    browser = Browser()
    browser.server.close(1001)
    browser.client.send_binary(b"late")
    assert browser.say() == []
    assert browser.closed_with() == 1001
