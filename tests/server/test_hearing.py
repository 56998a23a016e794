"""Who hears which events, and how many there were."""

from bollard.base.events import Event, ServerEvent, ServerWarning
from bollard.server.hearing import Hearing
from bollard.server.observers import Observer


def test_whether_somebody_wants_a_kind_of_event_is_asked_once() -> None:
    asked: list[type[Event]] = []
    heard: list[Event] = []

    def choose(kind: type[Event]) -> tuple[Observer, ...]:
        asked.append(kind)
        return (heard.append,) if kind is ServerWarning else ()

    hearing = Hearing(choose)
    warning = ServerWarning("a file")
    for event in (ServerEvent("started"), warning, ServerEvent("stopped"), warning):
        hearing.tell(event)
    assert asked == [ServerEvent, ServerWarning]
    assert heard == [warning, warning]


def test_events_that_nobody_hears_are_counted_as_well() -> None:
    hearing = Hearing(lambda kind: ())
    for _ in range(3):
        hearing.tell(ServerEvent("reloaded"))
    hearing.tell(ServerWarning("a file"))
    assert hearing.counts() == {ServerEvent: 3, ServerWarning: 1}
