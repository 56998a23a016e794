"""Sets of topics as unions of filters, and exact questions about them.

Topics are endless, but filters tell them apart only by the texts that stand in them: at each level, a text
that no filter names behaves like any other such text. So a walk that tries the named texts and one more finds
every case there is. What the sets mean, rights or denies, is for the callers.

Filters are tuples of levels, variables filled in or left as texts of their own.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from bollard.base.errors import LocalError

Levels = tuple[str, ...]

#: What is left of the filters of a union after the levels walked so far.
_Rest = frozenset[Levels]

#: Filters with very many `+` among names can differ in more ways than one wants to wait for.
MAX_STEPS = 50_000


class TooComplex(LocalError):
    """The filters differ in more ways than are compared."""

    def __init__(self) -> None:
        super().__init__(
            "these filters are too many and too mixed to be compared exactly",
            "Use fewer filters with + in front of other levels.",
        )


def example(
    unions: Sequence[Iterable[Levels]],
    wanted: Callable[[Sequence[bool]], bool],
    *,
    of_filters: bool = False,
) -> Levels | None:
    """The shortest topic name for which `wanted` holds, given which of `unions` match it; None if there is none.

    With `of_filters`, the shortest *filter*, given which unions have a filter that holds all of it. `wanted`
    must be false where nothing matches. Raises `TooComplex`.
    """
    start = tuple(frozenset(union) for union in unions)
    seen = {start}
    waiting: deque[tuple[Levels, tuple[_Rest, ...]]] = deque([((), start)])
    while waiting:
        walked, rests = waiting.popleft()
        for level in _levels(rests, of_filters):
            path = (*walked, level)
            after = tuple(_after(rest, level, first=not walked) for rest in rests)
            if path != ("",) and wanted([() in rest or ("#",) in rest for rest in after]):
                return path
            if of_filters and wanted([("#",) in rest for rest in after]):
                return ("#",) if path == ("+",) else (*path, "#")
            if any(after) and after not in seen:
                if len(seen) >= MAX_STEPS:
                    raise TooComplex
                seen.add(after)
                waiting.append((path, after))
    return None


def covers(union: Iterable[Levels], other: Iterable[Levels]) -> bool:
    """Is every topic that `other` matches also matched by `union`? Raises `TooComplex`."""
    return example([union, other], lambda in_them: in_them[1] and not in_them[0]) is None


def overlap(union: Iterable[Levels], other: Iterable[Levels]) -> bool:
    """Is there a topic that both match? Raises `TooComplex`."""
    return example([union, other], all) is not None


def _levels(rests: Sequence[_Rest], of_filters: bool) -> Iterator[str]:
    """The levels to try next: those named, one more, and for filters `+`."""
    heads = {filter[0] for rest in rests for filter in rest if filter}
    named = heads - {"+", "#"}
    yield from sorted(named)
    if named != heads:
        other = "x"
        while other in named:
            other += "x"
        yield other
        if of_filters:
            yield "+"


def _after(rest: _Rest, level: str, *, first: bool) -> _Rest:
    """`rest` one level further. No wildcard stands for a first level with `$`. [MQTT5-4.7.2-1]"""
    wild = not (first and level.startswith("$"))
    left: set[Levels] = set()
    for filter in rest:
        head = filter[0] if filter else None
        if head == "#":
            if wild:
                left.add(filter)
        elif head == level or (head == "+" and wild):
            left.add(filter[1:])
    return frozenset(left)
