"""Roles of the dynamic security plugin as rights and denies of each client.

There the first rule that fits decides; here a deny always wins. So where an earlier rule allowed what a later one
denies, the outcome is narrower here, and told.
"""

from collections.abc import Callable, Iterable, Sequence

from bollard.assess.configs.adoption import Access, Adoption, Kind
from bollard.assess.configs.dynsec import RECEIVE, SEND, DynAcl, DynamicSecurity
from bollard.assess.configs.source import Place, shown
from bollard.base.errors import PeerError
from bollard.policy.model import ID
from bollard.policy.space import meet, overlap
from bollard.wire.topics import check_filter

#: Takes a user name, "" for a client without one, and what it may do.
Give = Callable[[str, Access], None]


def convert(dynamic: DynamicSecurity, anonymous: bool, adoption: Adoption, give: Give) -> None:
    """Give every client what its roles say, and clients without a name what the anonymous group has."""
    place = Place(dynamic.path)
    for client in dynamic.clients.values():
        if client.clientid:
            text = f'"{shown(client.username)}" was bound to one client id; here a session belongs to its identity, so no other can take it.'
            adoption.note(Kind.SAFER, text, place)
        if not client.disabled:
            give(client.username, _Rules(dynamic, client.username, adoption).access())
    if anonymous:
        give("", _Rules(dynamic, "", adoption).access())


class _Rules:
    """The rules of one client, in the order in which they are asked."""

    def __init__(self, dynamic: DynamicSecurity, user: str, adoption: Adoption) -> None:
        self._defaults = dynamic.defaults
        self._user = user
        self._adoption = adoption
        self._place = Place(dynamic.path)
        self._rules = [rule for rule in dynamic.rules(user) if self._sayable(rule)]

    def access(self) -> Access:
        publish = self._allowed([SEND], self._defaults[SEND])
        subscribe = self._allowed(["subscribePattern", "subscribeLiteral"], self._defaults["subscribe"])
        receive = self._allowed([RECEIVE], self._defaults[RECEIVE])
        denied = self._denied(["subscribePattern", "subscribeLiteral"]) + self._denied([RECEIVE])
        return Access(publish, _both(subscribe, receive), self._denied([SEND]), list(dict.fromkeys(denied)))

    def _sayable(self, rule: DynAcl) -> bool:
        """Can the policy say this rule? If not, and if it would have mattered, that is told."""
        if rule.kind.startswith("unsubscribe") or rule.topic.startswith("$CONTROL"):
            return False
        try:
            check_filter(rule.topic)
        except PeerError as error:
            self._by_hand(f"{shown(rule.topic)}: {error.text}.")
            return False
        partly = any("%" in level and level not in ("%u", "%c") for level in rule.topic.split("/"))
        unwritable = "${" in rule.topic or not rule.topic.isprintable() or rule.topic.startswith("$share/")
        if unwritable or (partly and ("%u" in rule.topic or "%c" in rule.topic)):
            self._by_hand(f"{shown(rule.topic)} cannot be written in a policy.")
            return False
        if rule.kind == "subscribeLiteral" and not rule.allow and ("#" in rule.topic or "+" in rule.topic):
            text = f"The deny of subscribing to just {shown(rule.topic)} was left out: a filter must lie within what is granted anyway."
            self._adoption.note(Kind.CHANGED, text, self._place)
            return False
        return True

    def _by_hand(self, text: str) -> None:
        self._adoption.note(Kind.BY_HAND, text, self._place)

    def _allowed(self, kinds: Sequence[str], default: bool) -> list[str]:
        found = [_spelled(rule.topic) for rule in self._rules if rule.kind in kinds and rule.allow]
        if default:
            found.append("#")
        self._tell_about_order([rule for rule in self._rules if rule.kind in kinds])
        return list(dict.fromkeys(found))

    def _denied(self, kinds: Sequence[str]) -> list[str]:
        return list(dict.fromkeys(_spelled(r.topic) for r in self._rules if r.kind in kinds and not r.allow))

    def _tell_about_order(self, rules: Sequence[DynAcl]) -> None:
        for index, allow in enumerate(rules):
            for deny in rules[index + 1 :]:
                if allow.allow and not deny.allow and _touch(allow.topic, deny.topic):
                    text = f'"{shown(self._user)}": {shown(allow.topic)} was allowed before {shown(deny.topic)} was denied; here the deny wins.'
                    self._adoption.note(Kind.SAFER, text, self._place)


def _spelled(topic: str) -> str:
    return "/".join(ID if level in ("%u", "%c") else level for level in topic.split("/"))


def _touch(one: str, other: str) -> bool:
    return overlap([tuple(one.split("/"))], [tuple(other.split("/"))])


def _both(subscribe: Iterable[str], receive: Sequence[str]) -> list[str]:
    """The filters that match what both do: one may receive only what one may subscribe to."""
    if "#" in receive:
        return list(subscribe)
    met = [meet(tuple(one.split("/")), tuple(other.split("/"))) for one in subscribe for other in receive]
    return list(dict.fromkeys("/".join(levels) for levels in met if levels))
