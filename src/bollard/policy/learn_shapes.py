"""What topics of several devices have in common: own names replaced, kindred devices found, levels collapsed.

Only what `learn.py` needs to generalise, and no more general than its rules allow:

    the own name becomes `${id}`
    a level becomes `+` only if three different texts stand there, and two devices of the same kind use
    two of them or more each: no device alone makes the rule of others wider
    never the first level, never in a topic that commands something, never `#`
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import pairwise

from bollard.policy.model import ID

Shape = tuple[str, ...]

#: Texts of a level that make a topic one that commands: whoever may write there makes a device act.
COMMAND_WORDS = frozenset(
    {
        "cmd",
        "cmds",
        "cmnd",
        "cmnds",
        "command",
        "commands",
        "control",
        "dcmd",
        "firmware",
        "fota",
        "install",
        "ncmd",
        "ota",
        "reboot",
        "reset",
        "restart",
        "rpc",
        "set",
        "update",
        "upgrade",
    }
)
#: What it takes to make a level a wildcard.
MIN_VALUES = 3
MIN_VALUES_OF_ONE = 2
MIN_DEVICES = 2
#: A kind has so many members before one that does what no other does is odd.
MIN_SIBLINGS = 4

#: A name and the end of a hardware address, or a name and a number.
_ADDRESSED = re.compile(r"(.+?)[-_.](?=[A-Fa-f]*[0-9])[0-9A-Fa-f]{4,12}\Z")
_NUMBERED = re.compile(r"(.*?[A-Za-z])[-_.]*[0-9]+\Z")


def shape(topic: str, identity: str) -> Shape:
    """The levels of `topic`, `${id}` where the name of its own `identity` stands."""
    return tuple(ID if level == identity else level for level in topic.split("/"))


def commands(levels: Iterable[str]) -> bool:
    """Is a topic with these `levels` one that makes a device act? Whole levels, whatever their case."""
    return any(level.lower() in COMMAND_WORDS for level in levels)


def stem(identity: str) -> str:
    """What the names of devices of one kind have in common: "plug" of "plug-17", "esp" of "esp-3fa81c"."""
    found = _ADDRESSED.match(identity) or _NUMBERED.match(identity)
    return found[1] if found else ""


def kinds(shapes: Mapping[str, Collection[Shape]]) -> list[tuple[str, tuple[str, ...]]]:
    """Identities that are of one kind, each kind with a name: those numbered alike, and those that do the same.

    `shapes` has what each identity does. Whoever is like nobody else is a kind of one.
    """
    by_stem: dict[str, list[str]] = {}
    for identity in sorted(shapes):
        by_stem.setdefault(stem(identity) or identity, []).append(identity)
    found = [(name, tuple(members)) for name, members in by_stem.items() if len(members) > 1]
    alone = [members[0] for members in by_stem.values() if len(members) == 1]
    alike: dict[frozenset[Shape], list[str]] = {}
    for identity in alone:
        alike.setdefault(frozenset(shapes[identity]), []).append(identity)
    for members in alike.values():
        found.append((stem(members[0]) or members[0], tuple(members)))
    return sorted(found, key=lambda kind: kind[1])


def collapse(
    supported: Mapping[Shape, frozenset[str]], acceptable: Callable[[Shape], bool]
) -> dict[Shape, frozenset[Shape]]:
    """`supported` has shapes and the devices that use each. The shapes that take their place, and which each
    stands for: wildcards where the rules allow them and `acceptable` says yes, the others as they are.
    """
    left = set(supported)
    made: dict[Shape, frozenset[Shape]] = {}
    for length in sorted({len(one) for one in supported}):
        for place in range(length - 1, 0, -1):
            for wild, parts in _candidates(left, length, place).items():
                uses = Counter(device for part in parts for device in supported[part])
                varying = sum(count >= MIN_VALUES_OF_ONE for count in uses.values())
                if varying >= MIN_DEVICES and acceptable(wild):
                    made[wild] = frozenset(parts)
                    left -= made[wild]
    return made | {one: frozenset({one}) for one in left}


def _candidates(shapes: Collection[Shape], length: int, place: int) -> dict[Shape, set[Shape]]:
    """Shapes of `length` that differ only at `place`, in enough texts, under the shape with `+` there."""
    found: dict[Shape, set[Shape]] = {}
    for one in shapes:
        if len(one) == length and one[place] not in (ID, "+", "#") and not commands(one):
            found.setdefault((*one[:place], "+", *one[place + 1 :]), set()).add(one)
    return {wild: parts for wild, parts in found.items() if len(parts) >= MIN_VALUES}


def narrowest(shapes: Iterable[Shape]) -> list[Shape]:
    """`shapes` without those that stand there twice, in the order in which people look for them."""
    ordered = sorted(set(shapes))
    return [one for one, after in pairwise([*ordered, ()]) if one != after]
