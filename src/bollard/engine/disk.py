"""The answers of the disk: what a commit lets go, and what a disk that takes nothing means for clients.

While it fails, nothing new that needs it is accepted (`publish.py`, `subscribe.py` and `connect.py` answer
0x97), everything else goes on, and what was accepted before waits for it, but not for ever: who is owed an
acknowledgement is disconnected after `PATIENCE_S` and will send again.
"""

from bollard.base.authentication import Refused
from bollard.base.events import ServerEvent, ServerWarning
from bollard.engine.connect import attach, refuse
from bollard.engine.core import Core
from bollard.engine.expiry import NO_MORE
from bollard.engine.intake import process
from bollard.engine.journal import Batch
from bollard.engine.leave import close
from bollard.session.connection import Connection
from bollard.wire.spec import PacketType, ReasonCode

#: How long acknowledgements wait for a disk that takes nothing, in seconds.
PATIENCE_S = 5.0

#: Packets that answer a client's own; the others that wait for the disk are for a client to answer.
_ANSWERS = {
    PacketType.PUBACK,
    PacketType.PUBREC,
    PacketType.PUBCOMP,
    PacketType.SUBACK,
    PacketType.UNSUBACK,
}


def took(core: Core, sequence: int) -> None:
    """Every batch up to `sequence` is on disk: let go what waited for it."""
    journal = core.journal
    journal.committed = sequence
    if journal.failing:
        journal.failing = False
        core.deadlines.drop(_lose_patience, (core,))
        core.events.append(ServerEvent("store recovered", "the disk takes writes again; nothing was lost"))
    for connection in list(core.holding):
        if connection.release(sequence):
            core.holding.pop(connection, None)
    for admission in list(core.admissions.values()):
        if admission.sequence > sequence:
            break
        if core.admissions.get(admission.session) is admission:
            del core.admissions[admission.session]
            connection = admission.connection
            attach(
                core, connection, admission.session, admission.packet, admission.connack, admission.present
            )
            process(core, connection)


def failed(core: Core, batch: Batch, reason: str) -> None:
    """The disk refused `batch`, the last that was taken: it goes with the next one."""
    journal = core.journal
    journal.give_back(batch)
    if not journal.failing:
        journal.failing = True
        core.deadlines.add(core.now + PATIENCE_S, _lose_patience, (core,))
        core.events.append(
            ServerWarning(
                "store failing",
                f"sessions cannot be written: {reason}. Clients that need them are refused until there is"
                " room and the disk is writable; it is tried again and again.",
            )
        )


def _lose_patience(subject: tuple[Core], now: float) -> float:
    """The disk still fails: let go the clients that wait for it."""
    core = subject[0]
    if not core.journal.failing:
        return NO_MORE
    for admission in list(core.admissions.values()):
        answer = Refused(ReasonCode.QUOTA_EXCEEDED, "its session cannot be stored", "the store is full")
        refuse(core, admission.connection, admission.packet, answer)
    for connection in list(core.holding):
        if _owes_answer(connection):
            close(
                core,
                connection,
                ReasonCode.QUOTA_EXCEEDED,
                "what it sent cannot be stored",
                tell="the store is full",
            )
    return now + PATIENCE_S


def _owes_answer(connection: Connection) -> bool:
    held = connection.held
    return held is not None and any(data[0] >> 4 in _ANSWERS for _, data in held)
