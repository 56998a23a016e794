"""What became of the credentials that were given for a scan: who was let in where, and what was left out for it.

A check that needs a user who is let in is *not-tested* without one, and costs no grade. Hence a scan whose user
name was misspelt says so in its notes, for each listener.
"""

from collections.abc import Iterable, Sequence

from bollard.assess.model import Report, Result, State
from bollard.assess.probes.evidence import Doors, Entry
from bollard.assess.probes.room import Identity, Room

_NONE = "none of the given credentials was let in"
_SOME = "not everybody was let in"
#: What the reason of a check says that needs somebody who is let in.
_NEEDED = "credentials"


def told(name: str, room: Room, doors: Doors | None, why: str, results: Iterable[Result]) -> str:
    """One sentence about the listener `name`; "" if nobody was given, or everybody was let in.

    `doors` is None if nobody could ask, `why` then says the reason.
    """
    outside = [each for each in room.identities if each.label not in room.versions]
    if not outside:
        return ""
    answers = "; ".join(f"{each.label}: {_answer(each, room, doors, why)}" for each in outside)
    if len(outside) < len(room.identities):
        return f"{name}: {_SOME} ({answers})"
    return f"{name}: {_NONE} ({answers}); {checks(left_out(results))} left out for it"


def checks(count: int) -> str:
    """`count` checks, with their verb."""
    return "1 check was" if count == 1 else f"{count} checks were"


def left_out(results: Iterable[Result]) -> int:
    """How many of these were not tested because nobody with credentials was let in."""
    return sum(each.state is State.NOT_TESTED and _NEEDED in each.observed for each in results)


def let_in_nowhere(report: Report) -> bool:
    """Were credentials given, and not one of them let in at any listener?"""
    entries = (
        entry
        for attempt in report.attempts
        if attempt.kind == Doors.__name__
        for entry in attempt.evidence.get("given", ())
    )
    return bool(report.settings.get("identities")) and not any(
        entry.get("outcome") == "accepted" for entry in entries
    )


def notes(report: Report) -> tuple[str, ...]:
    """The notes of `report` that are about credentials."""
    return tuple(each for each in report.notes if f": {_NONE} (" in each)


def _answer(identity: Identity, room: Room, doors: Doors | None, why: str) -> str:
    if doors is None:
        return f"not tried: {why}"
    if identity.label in room.reasons:
        return room.reasons[identity.label]
    entries = _entries(identity, room, doors)
    codes = sorted({f"0x{each.code:02X}" for each in entries if each.outcome == "refused"})
    sent = "the password was sent, and " if identity.password is not None else ""
    if codes:
        return f"{sent}refused with {' and '.join(codes)}"
    return sent + " and ".join(sorted({f"the connection was {each.outcome}" for each in entries}))


def _entries(identity: Identity, room: Room, doors: Doors) -> Sequence[Entry]:
    """The answers to one identity: each has as many, in the order of the identities."""
    each = len(doors.given) // len(room.identities)
    first = room.identities.index(identity) * each
    return doors.given[first : first + each]
