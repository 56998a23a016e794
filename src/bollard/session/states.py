"""The life of a connection, as one table.

    OPENED ──CONNECT──▶ ASKED ──accepted──▶ CONNECTED ──DISCONNECT, fault, loss──▶ CLOSED
                         │  ▲
                 challenge  └──AUTH── CHALLENGED

A connection begins OPENED: nothing but CONNECT is legal, and a deadline runs until it is CONNECTED.
ASKED means that the shell has been asked who the peer is; bytes that arrive meanwhile stay in the framer
(bounded by the limit for unauthenticated peers). CHALLENGED waits for the next AUTH of an enhanced
authentication. Any state may fall to CLOSED; nothing leaves it.
"""

from bollard.wire.spec import PacketType

OPENED = 0
ASKED = 1
CHALLENGED = 2
CONNECTED = 3
CLOSED = 4

#: What a client may send in each state. A packet outside its row is a protocol error.
#: [MQTT5-3.1.0-1, -2] [MQTT5-3.1.2-30] [MQTT3-3.1.0-1, -2]
LEGAL: dict[int, frozenset[int]] = {
    OPENED: frozenset({PacketType.CONNECT}),
    ASKED: frozenset(),
    CHALLENGED: frozenset({PacketType.AUTH, PacketType.DISCONNECT}),
    CONNECTED: frozenset(
        {
            PacketType.PUBLISH,
            PacketType.PUBACK,
            PacketType.PUBREC,
            PacketType.PUBREL,
            PacketType.PUBCOMP,
            PacketType.SUBSCRIBE,
            PacketType.UNSUBSCRIBE,
            PacketType.PINGREQ,
            PacketType.DISCONNECT,
            PacketType.AUTH,
        }
    ),
    CLOSED: frozenset(),
}
