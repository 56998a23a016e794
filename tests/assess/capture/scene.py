"""One network as a capture: mixed MQTT in the clear and in TLS, with everything that the checks look for.

What must come of it stands beside it in `EXPECTED` and `DEVICES`, written down from the scene, not from a result.
"""

import base64
import json
import ssl

from bollard.wire.codec import encode
from bollard.wire.connect import Connack, Connect, Disconnect, Will
from bollard.wire.properties import Properties
from bollard.wire.publish import encode_publish
from bollard.wire.subscribe import Suback, Subscribe, SubscribeFilter
from support.captures import (
    START_NS,
    Handshake,
    Talk,
    Tape,
    client_context,
    handshake,
    play,
    server_context,
)

BROKER = ("192.168.7.2", 1883)
ODD = ("192.168.7.2", 14_000)
WEB = ("192.168.7.2", 8_080)
SECURE = ("192.168.7.2", 8_883)
OUTSIDE = ("203.0.113.9", 1_883)
NAME = "broker.example"
#: Without authenticated encryption.
OLD_SUITE = "ECDHE-ECDSA-AES128-SHA"
PASSWORD = "correct-horse-battery"
SHARED = "same-for-all-of-them"


def jwt(**claims: object) -> bytes:
    """A signed token whose signature nobody checks."""
    parts = [{"alg": "HS256", "typ": "JWT"}, claims]
    texts = [base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=") for each in parts]
    return b".".join([*texts, b"c2lnbmF0dXJlc2lnbmF0dXJl"])


TOKEN = jwt(sub="thing", exp=START_NS // 10**9 + 3_600)
SECRETS = (PASSWORD, SHARED, TOKEN.decode(), "hunter2-in-a-payload", "51.123456")


def connect(
    client_id: str,
    user: str | None = None,
    password: bytes | None = None,
    *,
    version: int = 4,
    **more: object,
) -> bytes:
    """A CONNECT."""
    return encode(Connect(version, True, 60, client_id, user, password, **more), version)  # type: ignore[arg-type]


def connack(code: int = 0, version: int = 4) -> bytes:
    return encode(Connack(False, code), version)


def old_connect(client_id: str) -> bytes:
    """A CONNECT of MQTT 3.1, which nobody here can encode any more."""
    body = b"\0\6MQIsdp\3\2\0\x3c" + len(client_id).to_bytes(2, "big") + client_id.encode()
    return bytes((0x10, len(body))) + body


def websocket_frames(data: bytes, mask: bytes | None, piece: int = 100) -> bytes:
    """`data` in binary frames, each of at most `piece` bytes, masked as a client must."""
    out = b""
    for start in range(0, len(data), piece):
        part = data[start : start + piece]
        size = bytes((len(part),)) if len(part) < 126 else b"\x7e" + len(part).to_bytes(2, "big")
        head = bytes((0x82, size[0] | (0x80 if mask else 0))) + size[1:]
        if mask:
            part = bytes(each ^ mask[index % 4] for index, each in enumerate(part))
        out += head + (mask or b"") + part
    return out


def mixed() -> Tape:
    """The whole scene."""
    tape = Tape()
    _thermostat(tape)
    _twins(tape)
    _old_and_new(tape)
    _browser(tape)
    _secure(tape)
    _fallback(tape)
    _guesser(tape)
    _reporter(tape)
    _web(tape)
    return tape


def _thermostat(tape: Tape) -> None:
    """3.1.1 with a password; a secret in a message; a command that is retained."""
    talk = Talk(tape, ("192.168.7.20", 50_001), BROKER)
    will = Will("home/thermostat/gone", b"1")
    talk.up(connect("thermostat", "heating", PASSWORD.encode(), will=will)).down(connack())
    talk.up(encode(Subscribe(1, (SubscribeFilter("home/thermostat/set"),)), 4)).down(
        encode(Suback(1, (0,)), 4)
    )
    for _ in range(3):
        talk.up(encode_publish(b"home/thermostat/state", b"21.5"))
    talk.up(encode_publish(b"home/debug", b'{"password": "hunter2-in-a-payload"}'))
    talk.up(encode_publish(b"home/boiler/cmd", b"ON", retain=1))
    talk.down(encode_publish(b"home/thermostat/set", b"19"))
    talk.up(encode(Disconnect(), 4)).close()


def _twins(tape: Tape) -> None:
    """Two devices with one credential, on an odd port; the second publishes to the first one's command topic."""
    for number in (1, 2):
        talk = Talk(tape, (f"192.168.7.3{number}", 50_010), ODD)
        talk.up(connect(f"lamp-{number}", "lamps", SHARED.encode())).down(connack())
        talk.up(encode_publish(b"lamps/switch", b"x")).close()


def _old_and_new(tape: Tape) -> None:
    """MQTT 3.1, and 5.0 with a token and a topic alias."""
    old = Talk(tape, ("192.168.7.40", 50_020), BROKER)
    old.up(old_connect("museum")).down(connack()).up(encode_publish(b"museum/piece", b"1")).close()
    new = Talk(tape, ("192.168.7.41", 50_021), BROKER)
    new.up(connect("cloudy", "jwt", TOKEN, version=5)).down(connack(version=5))
    alias = Properties(topic_alias=1)
    new.up(encode_publish(b"cloudy/a", b"1", version=5, properties=alias))
    new.up(encode_publish(b"", b"2", version=5, properties=alias))
    new.up(encode_publish(b"cloudy/gps", b'{"lat": 51.123456, "x": "", "lon": 7.1}', version=5)).close()


def _browser(tape: Tape) -> None:
    """MQTT over WebSocket, its packets across the frames."""
    talk = Talk(tape, ("192.168.7.50", 50_030), WEB)
    talk.up(
        b"GET /mqtt HTTP/1.1\r\nHost: broker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    talk.down(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    data = connect("dashboard") + encode_publish(b"ui/hello", b"y" * 150)
    talk.up(websocket_frames(data, b"\x01\x02\x03\x04", 9))
    talk.down(websocket_frames(connack() + encode_publish(b"home/thermostat/state", b"21.5"), None)).close()


def _secure(tape: Tape) -> None:
    """TLS: a good client with 1.3, one with 1.2 that goes on with an expired certificate, an old suite."""
    good = handshake(server_context(NAME), client_context(), NAME, [(0, b"c" * 40), (1, b"s" * 40)])
    play(Talk(tape, ("192.168.7.60", 50_040), SECURE), good).close()
    expired = handshake(
        server_context(NAME, days=-3, version=ssl.TLSVersion.TLSv1_2, ciphers=OLD_SUITE),
        client_context(version=ssl.TLSVersion.TLSv1_2, ciphers=OLD_SUITE),
        NAME,
        [(0, b"c" * 40), (1, b"s" * 40)],
    )
    play(Talk(tape, ("192.168.7.61", 50_041), SECURE), expired).close()


def _fallback(tape: Tape) -> None:
    """A client that refuses the certificate, and goes on without TLS."""
    refused = handshake(
        server_context(NAME, version=ssl.TLSVersion.TLSv1_2),
        client_context(careless=False, version=ssl.TLSVersion.TLSv1_2),
        NAME,
    )
    assert refused.error
    play(Talk(tape, ("192.168.7.62", 50_050), SECURE), refused).close()
    tape.wait(2)
    talk = Talk(tape, ("192.168.7.62", 50_051), BROKER)
    talk.up(connect("fallback")).down(connack()).close()


def _guesser(tape: Tape) -> None:
    """Twelve wrong passwords."""
    for number in range(12):
        talk = Talk(tape, ("192.168.7.70", 51_000 + number), BROKER)
        talk.up(connect(f"g{number}", "admin", f"guess-{number}-guess".encode())).down(connack(0x87)).close()


def _reporter(tape: Tape) -> None:
    """A device that reports to a server outside."""
    talk = Talk(tape, ("192.168.7.80", 50_060), OUTSIDE)
    talk.up(connect("spy")).down(connack()).up(encode_publish(b"report", b"all is well")).close()


def _web(tape: Tape) -> None:
    """What is no MQTT: a page over HTTP, TLS on 443."""
    page = Talk(tape, ("192.168.7.90", 50_070), ("203.0.113.80", 80))
    page.up(b"GET / HTTP/1.1\r\nHost: www.example\r\n\r\n").down(b"HTTP/1.1 200 OK\r\n\r\nhello").close()
    made: Handshake = handshake(
        server_context("www.example"), client_context(alpn=False), "www.example", [(0, b"x" * 90)]
    )
    play(Talk(tape, ("192.168.7.90", 50_071), ("203.0.113.80", 443)), made).close()


#: Check -> state. TLS 1.2 with CBC is only old; 1.3 is good.
EXPECTED = {
    "PCP-01": "fail",
    "PCP-02": "fail",
    "PCP-03": "fail",
    "PCP-04": "fail",
    "PCP-05": "fail",
    "PCP-06": "fail",
    "PCP-07": "fail",
    "PCP-08": "fail",
    "PCP-09": "fail",
    "PCP-10": "fail",
    "PCP-11": "fail",
    "PCP-12": "fail",
    "PCP-13": "pass",
}
#: Client id or address -> addresses, versions, topics published with their counts.
DEVICES = {
    "thermostat": (
        ("192.168.7.20",),
        ["3.1.1"],
        {"home/thermostat/state": 3, "home/boiler/cmd": 1, "home/debug": 1},
    ),
    "lamp-1": (("192.168.7.31",), ["3.1.1"], {"lamps/switch": 1}),
    "lamp-2": (("192.168.7.32",), ["3.1.1"], {"lamps/switch": 1}),
    "museum": (("192.168.7.40",), ["3.1"], {"museum/piece": 1}),
    "cloudy": (("192.168.7.41",), ["5.0"], {"cloudy/a": 2, "cloudy/gps": 1}),
    "dashboard": (("192.168.7.50",), ["3.1.1"], {"ui/hello": 1}),
    "192.168.7.60": (("192.168.7.60",), None, None),
    "192.168.7.61": (("192.168.7.61",), None, None),
    "fallback": (("192.168.7.62",), ["3.1.1"], None),
    "spy": (("192.168.7.80",), ["3.1.1"], {"report": 1}),
    **{f"g{number}": (("192.168.7.70",), ["3.1.1"], None) for number in range(12)},
}
SERVERS = {
    "192.168.7.2:1883",
    "192.168.7.2:14000",
    "192.168.7.2:8080",
    "192.168.7.2:8883",
    "203.0.113.9:1883",
}
