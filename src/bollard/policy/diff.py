"""Who gains and who loses when one policy takes the place of another, in sentences.

Compares what the rules let people do, not how they are written: each right of each subject is a set of
topics, allowed less denied, and the sets are compared exactly. Subjects are the identities that are known and,
for all others, one that stands for whoever has a template or a name like a pattern.
"""

import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bollard.base.allowance import BOUNDS
from bollard.base.types import ANONYMOUS
from bollard.policy.bounds import generosity, in_force
from bollard.policy.compile import Applied, Policy
from bollard.policy.model import ID, IDENTITY, RIGHTS, Rules, Subjects
from bollard.policy.space import Levels, covers, example, meet

#: Beginnings and ends of grants that are looked at; a policy with more is compared up to there.
MAX_MOMENTS = 50
#: Names that are told before "and N more".
SHOWN_NAMES = 5

#: Beginnings of names for those who stand for many; one of them will be like no pattern of the policy.
_WORDS = ("someone", "other", "q.x", "0", "Z_9")


@dataclass(frozen=True, slots=True)
class Subject:
    """Somebody whose rights are compared. `name` is told, `identity` is asked about.

    One that is `typical` stands for whoever has `template`, or is named like `pattern`.
    """

    name: str
    identity: str
    template: str = ""
    pattern: str = ""

    @property
    def typical(self) -> bool:
        return self.name != self.identity

    def stands_for(self, other: "Subject") -> bool:
        """Is what holds for this typical one expected to hold for `other`, who is not?"""
        if other.name == ANONYMOUS:  # no template, no pattern and no "*" gives it anything
            return False
        if self.template:
            return other.template == self.template
        return fnmatch.fnmatchcase(other.name, self.pattern)


@dataclass(frozen=True, slots=True)
class Change:
    """`who` gains or loses `right` on topics of `filter`.

    `whole`: afterwards it has the right to all of them, or to none of them. Else only some change sides, of
    which `topic` is one. `besides` are those for whom it does not hold, although it is told of all their kind.
    `since` and `until` are there if it begins later, or ends again. With `right` "filter", the topics are the
    same and it is the subscription with this filter that is accepted or refused. With `limit`, the name of one,
    it is its value that becomes wider or narrower: `filter` says from what to what.
    """

    who: str
    gains: bool
    right: str
    filter: str
    whole: bool
    topic: str
    besides: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    limit: str = ""

    def __str__(self) -> str:
        verb = "gain" if self.gains else "lose"
        if ", " not in self.who:
            verb += "s"
        what = f"{self.right} on {self.filter}" + (
            "" if self.whole else f", in part: for example {self.topic}"
        )
        if self.right == "filter":
            what = f"the subscription {self.filter} as a whole; the topics stay the same"
        if self.limit:
            what = f"room: {self.limit} {self.filter}"
        besides = f" (but not {_listed(self.besides)})" if self.besides else ""
        bounds = [("from", self.since), ("until", self.until)]
        when = "".join(f"{word} {moment.isoformat()}, " for word, moment in bounds if moment)
        return f"{when}{self.who}{besides} {verb} {what}"


def diff(old: Rules, new: Rules, at: datetime, enrolled: Mapping[str, str] | None = None) -> list[Change]:
    """What changes for whom when `new` takes the place of `old` at `at`, and later as grants begin and end.

    `enrolled` maps identities to templates, if they are known: then they are compared one by one as well.
    Raises `TooComplex` for filters that nobody could compare.
    """
    subjects = _subjects(old, new, enrolled or {})
    templates = {subject.identity: subject.template for subject in subjects if subject.template}
    found: list[Change] = []
    lasting: dict[Change, int] = {}
    for moment in [at, *_moments(old, new, at)]:
        policies = Policy(old, templates, moment), Policy(new, templates, moment)
        told = _told({subject: list(_changes(subject, *policies)) for subject in subjects})
        for change in lasting.keys() - set(told):
            place = lasting.pop(change)
            found[place] = replace(found[place], until=moment)
        for change in told:
            if change not in lasting:
                lasting[change] = len(found)
                found.append(replace(change, since=None if moment == at else moment))
    return found


def _moments(old: Rules, new: Rules, at: datetime) -> list[datetime]:
    """When grants that one of the two alone has begin or end, after `at`."""
    bounds = {
        moment
        for rules, others in ((old, new), (new, old))
        for name, grant in rules.grants.items()
        if name not in others.grants or replace(others.grants[name], line=0) != replace(grant, line=0)
        for moment in (grant.starts, grant.ends)
        if moment is not None and moment > at
    }
    return sorted(bounds)[:MAX_MOMENTS]


# --- who is compared -------------------------------------------------------------------------------------


def _subjects(old: Rules, new: Rules, enrolled: Mapping[str, str]) -> list[Subject]:
    """Everybody, whoever has a template, whoever is named like a pattern, and each identity that is known."""
    members = {name for rules in (old, new) for group in rules.groups.values() for name in group.members}
    patterns = {name for name in members if "*" in name or "?" in name}
    named = {name for rules in (old, new) for who in _all_subjects(rules) for name in who.identities}
    known = sorted({*enrolled, *named, *members, ANONYMOUS} - patterns)
    taken = {*known}
    subjects = [Subject("everybody", _somebody(patterns, taken), pattern="*")]
    for name in sorted({*old.templates, *new.templates}):
        kind = (new if name in new.templates else old).templates[name].rule.partition(".")[0]
        subjects.append(Subject(f'whoever has {kind} "{name}"', _somebody(patterns, taken), name))
    for pattern in sorted(patterns - {"*"}):
        like = _like(pattern, taken)
        if like:
            subjects.append(Subject(f"whoever is named {pattern}", like, pattern=pattern))
    return subjects + [Subject(name, name, enrolled.get(name, "")) for name in known]


def _all_subjects(rules: Rules) -> Iterator[Subjects]:
    for grant in rules.grants.values():
        yield grant.who
    for deny in rules.denies.values():
        yield deny.who
        yield deny.exempt


def _somebody(patterns: Iterable[str], taken: set[str]) -> str:
    """An identity that is nobody's, added to `taken`, and like none of `patterns`, if one can be found."""
    tries = [f"{word}{number or ''}" for number in range(len(taken) + 1) for word in _WORDS]
    free = [name for name in tries if name not in taken]
    unlike = (name for name in free if not any(_alike(name, pattern) for pattern in patterns))
    name = next(unlike, free[0])
    taken.add(name)
    return name


def _alike(name: str, pattern: str) -> bool:
    return pattern != "*" and fnmatch.fnmatchcase(name, pattern)


def _like(pattern: str, taken: set[str]) -> str:
    """An identity like `pattern` that is nobody's, added to `taken`; "" if all that were tried are somebody's."""
    for filler in ("x", "y", "z", *(f"{letter}{number}" for number in range(100) for letter in "xyz")):
        name = pattern.replace("?", filler[0]).replace("*", filler)
        if name not in taken and IDENTITY.fullmatch(name):
            taken.add(name)
            return name
    return ""


# --- what changes for one --------------------------------------------------------------------------------

#: The filters that are allowed and those that are denied.
_Sets = tuple[list[Levels], list[Levels]]


def _sets(applied: Iterable[Applied], identity: str, right: str) -> _Sets:
    allowed: list[Levels] = []
    denied: list[Levels] = []
    for rule in applied:
        patterns = rule.rights.of(right)
        if right == "will" and not rule.allows:
            patterns += rule.rights.publish
        for pattern in patterns:
            filter = tuple(identity if level == ID else level for level in pattern.levels)
            (allowed if rule.allows else denied).append(filter)
    return allowed, denied


def _changes(subject: Subject, old: Policy, new: Policy) -> Iterator[Change]:
    identity = subject.identity
    applied = old.applied(identity), new.applied(identity)
    for right in RIGHTS:
        before, after = (_sets(rules, identity, right) for rules in applied)
        if sorted(before[0]) == sorted(after[0]) and sorted(before[1]) == sorted(after[1]):
            continue
        if right == "share" and not _speak_of_groups(old, new) and before[1] == after[1]:
            continue  # the right to any group that goes with subscribe is no news beside it
        lost = list(_gained(subject, right, after, before, gains=False))
        gained = list(_gained(subject, right, before, after, gains=True))
        yield from (*gained, *lost)
        if right == "subscribe" and not gained and not lost:
            yield from _filters(subject, before, after)
    yield from _limits(subject, old, new)


def _limits(subject: Subject, old: Policy, new: Policy) -> Iterator[Change]:
    """What becomes of the limits of one. Those of somebody without any right are no news."""
    identity = subject.identity
    if not any(rule.allows for policy in (old, new) for rule in policy.applied(identity)):
        return
    before, after = (in_force(policy.bounds(identity)) for policy in (old, new))
    for name in BOUNDS:
        values = [limits[name][0] if name in limits else None for limits in (before, after)]
        if values[0] == values[1]:
            continue
        was, now = values
        gains = now is None or (was is not None and generosity(now) > generosity(was))
        words = [("no limit" if value is None else str(value)) for value in values]
        yield Change(subject.name, gains, "limit", f"{words[1]}, was {words[0]}", True, "", limit=name)


def _speak_of_groups(*policies: Policy) -> bool:
    return any(policy.rules.grants_groups for policy in policies)


def _gained(subject: Subject, right: str, less: _Sets, more: _Sets, *, gains: bool) -> Iterator[Change]:
    """The topics in `more` that are not in `less`, told by as few of the filters that made it so as will do."""
    unions = [*more, *less]
    settled = _is_more if gains else _is_not_less

    def is_open(held: Sequence[bool]) -> bool:
        return held[0] and not settled(held)

    whole: list[Levels] = []
    partial: list[Levels] = []
    for filter in sorted(_candidates(less, more)):
        if example([[filter], *unions], _is_gain) is not None:
            (partial if example([[filter], *unions], is_open) else whole).append(filter)
    told = [filter for filter in whole if not _within_another(filter, whole)]
    for filter in told:
        yield Change(subject.name, gains, right, _text(subject, filter), True, "")
    for filter in sorted(partial, key=lambda filter: (_within_another(filter, partial), filter)):
        topic = example([[filter], *unions, told], lambda held: _is_gain(held) and not held[5])
        if topic is not None:
            told.append(filter)
            yield Change(subject.name, gains, right, _text(subject, filter), False, _text(subject, topic))


def _candidates(less: _Sets, more: _Sets) -> set[Levels]:
    """Filters that match all topics that are in `more` and not in `less`: newly allowed, or denied no longer."""
    undenied = set(less[1]) - set(more[1])
    met = {meet(deny, allow) for deny in undenied for allow in more[0]}
    return (set(more[0]) - set(less[0])) | {filter for filter in met if filter is not None}


def _is_more(held: Sequence[bool]) -> bool:
    """Of [in the filter, allowed, denied in one, allowed, denied in the other]: is the topic in the one?"""
    return held[1] and not held[2]


def _is_not_less(held: Sequence[bool]) -> bool:
    return not held[3] or held[4]


def _is_gain(held: Sequence[bool]) -> bool:
    return held[0] and _is_more(held) and _is_not_less(held)


def _within_another(filter: Levels, filters: Iterable[Levels]) -> bool:
    return any(covers([other], [filter]) and not covers([filter], [other]) for other in filters)


def _filters(subject: Subject, before: _Sets, after: _Sets) -> Iterator[Change]:
    """The same topics, but not by the same filters: one that is accepted by only one of the two."""

    def accepted(allowed: bool, denied: bool) -> bool:
        return allowed and not denied

    for gains in (True, False):
        more, less = (after, before) if gains else (before, after)
        filter = example(
            [*more, *less],
            lambda held: accepted(held[0], held[1]) and not accepted(held[2], held[3]),
            of_filters=True,
        )
        if filter is not None:
            text = _text(subject, filter)
            yield Change(subject.name, gains, "filter", text, True, text)


def _text(subject: Subject, levels: Levels) -> str:
    """`levels` as one writes them; the name of whoever stands for many as `${id}`."""
    return "/".join(ID if subject.typical and level == subject.identity else level for level in levels)


# --- what is told ----------------------------------------------------------------------------------------


def _told(changes: Mapping[Subject, list[Change]]) -> list[Change]:
    """What is worth telling: what is told of many is not told of each, and what some share is told once."""
    plain = {s: {_plain(change, s): change for change in found} for s, found in changes.items()}
    typical = [subject for subject in plain if subject.typical]
    others = [subject for subject in plain if not subject.typical]
    everybody = plain[typical[0]]
    told: list[Change] = []
    for subject in typical:
        meant = [other for other in others if subject.stands_for(other)]
        for general, change in plain[subject].items():
            if subject is typical[0] or general not in everybody:
                besides = tuple(other.name for other in meant if general not in plain[other])
                if subject is typical[0]:
                    besides = tuple(s.name for s in typical if general not in plain[s]) + besides
                told.append(replace(change, besides=besides))
    shared: dict[Change, list[str]] = {}
    for other in others:
        standing = [plain[subject] for subject in typical if subject.stands_for(other)]
        for general in plain[other]:
            if not any(general in known for known in standing):
                shared.setdefault(general, []).append(other.name)
    return told + [_of(general, names) for general, names in shared.items()]


def _of(general: Change, names: Sequence[str]) -> Change:
    """`general` as it is told of `names`; of one alone, with its name filled in."""
    if len(names) > 1:
        return replace(general, who=_listed(names))
    texts = [text.replace(ID, names[0]) for text in (general.filter, general.topic)]
    return replace(general, who=names[0], filter=texts[0], topic=texts[1])


def _plain(change: Change, subject: Subject) -> Change:
    """`change` without whose it is, to compare it with those of others."""

    def general(text: str) -> str:
        return "/".join(ID if level == subject.identity else level for level in text.split("/"))

    return replace(change, who="", filter=general(change.filter), topic=general(change.topic))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN_NAMES])
    return shown if len(names) <= SHOWN_NAMES else f"{shown} and {len(names) - SHOWN_NAMES} more"
