"""Sets of topics as unions of filters, and exact questions about them.

Topics are endless, but filters tell them apart only by the texts that stand in them: at each level, a text
that no filter names behaves like any other such text. So a walk that tries the named texts and one more finds
every case there is. What the sets mean, rights or denies, is for the callers.

Filters are tuples of levels, variables filled in or left as texts of their own.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest

from bollard.base.errors import LocalError

Levels = tuple[str, ...]

#: What is left of the filters of a union after the levels walked so far.
_Rest = frozenset[Levels]
_Heads = dict[str, set[Levels]]

_ALL: Levels = ("#",)
_WILD = {"+", "#"}

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
    must be false where the first union does not match. Raises `TooComplex`.
    """
    start = tuple(frozenset(union) for union in unions)
    seen = {start}
    waiting: deque[tuple[Levels, tuple[_Rest, ...]]] = deque([((), start)])
    while waiting:
        walked, rests = waiting.popleft()
        heads = [_by_head(rest) for rest in rests]
        for level in _levels(heads, of_filters):
            path = (*walked, level)
            after = tuple(_after(head, level, first=not walked) for head in heads)
            if path != ("",) and wanted([() in rest or _ALL in rest for rest in after]):
                return path
            if of_filters and wanted([_ALL in rest for rest in after]):
                return _ALL if path == ("+",) else (*path, "#")
            if after[0] and after not in seen:
                if len(seen) >= MAX_STEPS:
                    raise TooComplex
                seen.add(after)
                waiting.append((path, after))
    return None


def covers(union: Iterable[Levels], other: Iterable[Levels]) -> bool:
    """Is every topic that `other` matches also matched by `union`? Raises `TooComplex`."""
    return example([other, union], lambda in_them: in_them[0] and not in_them[1]) is None


def overlap(union: Iterable[Levels], other: Iterable[Levels]) -> bool:
    """Is there a topic that both match?"""
    others = list(other)
    return any(meet(one, two) is not None for one in union for two in others)


def meet(one: Levels, other: Levels) -> Levels | None:
    """The filter that matches just the topics that both match; None if there are none."""
    first = {one[0], other[0]}
    if first & _WILD and any(level.startswith("$") for level in first):
        return None
    met: list[str] = []
    for left, right in zip_longest(one, other):
        if "#" in (left, right):
            met += (other if left == "#" else one)[len(met) :]
            break
        if left is None or right is None or (left != right and "+" not in (left, right)):
            return None
        met.append(right if left == "+" else left)
    return tuple(met) if met != [""] else None


def _levels(heads: Sequence[_Heads], of_filters: bool) -> Iterator[str]:
    """The levels to try next: those that the first union names, or with a wildcard, all that are named and more."""
    if not heads[0].keys() & _WILD:
        yield from sorted(heads[0])
        return
    named = {level for head in heads for level in head} - _WILD
    yield from sorted(named)
    other = "x"
    while other in named:
        other += "x"
    yield other
    if of_filters:
        yield "+"


def _by_head(rest: _Rest) -> _Heads:
    """What follows after each first level."""
    heads: _Heads = {}
    for filter in rest:
        if filter:
            heads.setdefault(filter[0], set()).add(filter[1:])
    return heads


def _after(heads: _Heads, level: str, *, first: bool) -> _Rest:
    """What is left one level further. No wildcard stands for a first level with `$`. [MQTT5-4.7.2-1]"""
    left = set(heads.get(level, ()))
    if not (first and level.startswith("$")):
        left |= heads.get("+", set())
        if "#" in heads:
            left.add(_ALL)
    return frozenset(left)
