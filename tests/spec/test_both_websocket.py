"""MQTT over WebSocket, chapter 6: against the daemon, with a WebSocket client of another maker."""

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from bollard.wire.codec import encode
from bollard.wire.connect import Pingreq

from .clauses import clause
from .daemon import PATIENCE_S, DaemonBroker
from .packets import connect as mqtt_connect

PINGRESP = b"\xd0\x00"


def dial(daemon: DaemonBroker, subprotocols: list[str] | None) -> ClientConnection:
    names = [Subprotocol(name) for name in subprotocols] if subprotocols else None
    return connect(f"ws://127.0.0.1:{daemon.listener.port}/mqtt", subprotocols=names, compression=None)


def script(version: int) -> bytes:
    return encode(mqtt_connect(version, "a"), version) + encode(Pingreq(), version)


def read_to_ping(socket: ClientConnection) -> bytes:
    """All binary data up to the PINGRESP."""
    found = b""
    while not found.endswith(PINGRESP):
        part = socket.recv(PATIENCE_S)
        assert isinstance(part, bytes), f"a text frame: {part}"
        found += part
    return found


@clause("MQTT3-6.0.0-4", "MQTT5-6.0.0-4")
@pytest.mark.parametrize("offered", [["mqtt"], ["chat", "mqtt"], ["mqtt", "mqttv3.1"]])
def test_the_server_selects_mqtt(websocket_daemon: DaemonBroker, offered: list[str]) -> None:
    with dial(websocket_daemon, offered) as socket:
        assert socket.subprotocol == "mqtt"


@clause("MQTT3-6.0.0-3", "MQTT5-6.0.0-3")
@pytest.mark.parametrize("offered", [None, ["chat"], ["MQTT"]])
def test_a_client_that_does_not_offer_mqtt_is_refused(
    websocket_daemon: DaemonBroker, offered: list[str] | None
) -> None:
    with pytest.raises(InvalidHandshake):
        dial(websocket_daemon, offered)


@clause("MQTT3-6.0.0-1", "MQTT5-6.0.0-1")
def test_a_text_frame_ends_the_connection(websocket_daemon: DaemonBroker, version: int) -> None:
    with dial(websocket_daemon, ["mqtt"]) as socket:
        socket.send(script(version))
        read_to_ping(socket)
        socket.send("\xc0\x00")
        with pytest.raises(ConnectionClosed):
            socket.recv(PATIENCE_S)


@clause("MQTT3-6.0.0-2", "MQTT5-6.0.0-2", "MQTT3-6.0.0-1", "MQTT5-6.0.0-1")
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_packets_need_not_fit_frames(websocket_daemon: DaemonBroker, version: int, size: int) -> None:
    whole = script(version)
    with dial(websocket_daemon, ["mqtt"]) as socket:
        for start in range(0, len(whole), size):
            socket.send(whole[start : start + size])
        answer = read_to_ping(socket)
    assert answer[0] == 0x20
    assert answer[3] == 0
