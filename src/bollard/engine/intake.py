# cython: boundscheck=False, wraparound=False
"""From the bytes of one connection to the verb of each packet: the loop, and the packets that are many.

One read may hold thirty thousand packets, and one packet may have ten thousand receivers: then everybody
else would wait. So work is measured in deliveries (some tens of nanoseconds each), and a connection that has
had `SLICE` of it goes on in a later turn. The clock is not asked: the engine gives the same answers in every
run.
"""

from bollard.base.errors import PeerError
from bollard.engine.core import Core
from bollard.engine.delivery import puback, pubcomp, pubrec
from bollard.engine.publish import receive_publish, receive_pubrel
from bollard.engine.rare import dispatch, fault_of, unconnected
from bollard.session.connection import Connection
from bollard.session.session import Session
from bollard.session.states import ASKED, CLOSED
from bollard.wire.framer import Framer
from bollard.wire.publish import decode_ack
from bollard.wire.spec import PacketType

PUBLISH = int(PacketType.PUBLISH)
PUBACK = int(PacketType.PUBACK)
PUBREC = int(PacketType.PUBREC)
PUBREL = int(PacketType.PUBREL)
PUBCOMP = int(PacketType.PUBCOMP)
#: Work that one connection gets in a turn, some three milliseconds of it, and what a packet costs.
SLICE = 250_000
PACKET_COST = 80


def process(core: Core, connection: Connection) -> None:
    """Act on every whole packet that has come, until one must wait for an answer."""
    core.spent = 0
    try:
        while connection.state != ASKED and connection.state != CLOSED and connection.framer.next():
            core.spent += PACKET_COST
            core.counters.packets_received += 1
            kind = connection.framer.header >> 4
            session = connection.session
            if session is None:
                unconnected(core, connection, kind)
            elif kind == PUBLISH:
                receive_publish(core, connection, session)
            elif PUBACK <= kind <= PUBCOMP:
                _acknowledged(core, connection, session, kind)
            else:
                dispatch(core, connection, session, kind)
            if core.spent >= SLICE:
                _interrupt(core, connection)
                return
    except PeerError as fault:
        fault_of(core, connection, fault)


def _interrupt(core: Core, connection: Connection) -> None:
    """Let the others have their turn, if there is more of this connection to act on."""
    if connection.state != ASKED and connection.state != CLOSED and connection.framer.pending:
        core.unfinished[connection] = None


def _acknowledged(core: Core, connection: Connection, session: Session, kind: int) -> None:
    """PUBACK, PUBREC, PUBREL or PUBCOMP."""
    framer: Framer = connection.framer
    packet_id = 0
    reason_code = 0
    if framer.end - framer.body == 2 and framer.header == (0x62 if kind == PUBREL else kind << 4):
        # The short form, which is nearly all of them.
        view = framer.buffer
        at = framer.body
        packet_id = view[at] << 8 | view[at + 1]
    if packet_id == 0:
        ack = decode_ack(framer.buffer, framer.header, framer.body, framer.end, connection.version)
        packet_id = ack.packet_id
        reason_code = ack.reason_code
    if kind == PUBACK:
        puback(core, session, packet_id)
    elif kind == PUBREC:
        pubrec(core, connection, session, packet_id, reason_code)
    elif kind == PUBREL:
        receive_pubrel(core, connection, session, packet_id)
    else:
        pubcomp(core, session, packet_id)
