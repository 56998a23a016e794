"""Mosquitto's access rules, naively: what its own code decides, written down again without any of ours."""

from pathlib import Path
from typing import Any


def matches(filter: str, topic: str) -> bool:
    """Does the filter match, as MQTT says, topics with $ only by name?"""
    if topic.startswith("$") and not filter.startswith("$"):
        return False
    wanted, levels = filter.split("/"), topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)


class AclReference:
    """Own rules first, denies before allows; then the patterns in the same way; then no."""

    def __init__(self, path: Path) -> None:
        self.own: dict[str | None, list[tuple[str, str]]] = {None: []}
        self.patterns: list[tuple[str, str]] = []
        user: str | None = None
        for line in path.read_text().splitlines():
            if line.startswith("#") or not line.strip():
                continue
            word, rest = line.strip().split(" ", 1)
            if word == "user":
                user = rest
                self.own.setdefault(user, [])
                continue
            first, _, topic = rest.partition(" ")
            rule = (first, topic) if topic else ("readwrite", first)
            (self.patterns if word == "pattern" else self.own[user]).append(rule)

    def allowed(self, user: str | None, client: str, access: str, topic: str) -> bool:
        for kind in ("deny", "allow"):
            for rule, filter in self.own.get(user, []):
                if (rule == "deny") == (kind == "deny") and matches(filter, topic):
                    if kind == "deny":
                        return False
                    if access in rule:
                        return True
        if any(sign in (user or "") + client for sign in "+#"):
            return False
        for kind in ("deny", "allow"):
            for rule, filter in self.spelled(user, client):
                if (rule == "deny") == (kind == "deny") and matches(filter, topic):
                    if kind == "deny":
                        return False
                    if access in rule:
                        return True
        return False

    def spelled(self, user: str | None, client: str) -> list[tuple[str, str]]:
        """The patterns that apply, with the names in them."""
        return [
            (rule, filter.replace("%u", user or "").replace("%c", client))
            for rule, filter in self.patterns
            if user is not None or "%u" not in filter
        ]

    def pattern_denies(self, user: str | None, client: str, topic: str) -> bool:
        return any(rule == "deny" and matches(filter, topic) for rule, filter in self.spelled(user, client))

    def topics(self) -> list[str]:
        own = [filter for rules in self.own.values() for _, filter in rules]
        return own + [filter for _, filter in self.patterns]


class RolesReference:
    """Dynamic security: the client's roles by priority, then its groups'; the first rule that fits decides."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data
        self.roles = {role["rolename"]: role["acls"] for role in data["roles"]}
        self.groups = {group["groupname"]: group for group in data["groups"]}
        self.clients = {client["username"]: client for client in data["clients"]}

    def rules(self, user: str | None) -> list[dict[str, Any]]:
        client = self.clients[user] if user else {"groups": [{"groupname": self.data["anonymousGroup"]}]}
        holders = [client, *(self.groups[each["groupname"]] for each in _ranked(client.get("groups", [])))]
        names = [role["rolename"] for holder in holders for role in _ranked(holder.get("roles", []))]
        return [acl for name in names for acl in _ranked(self.roles[name])]

    def allowed(self, user: str | None, kind: str, topic: str) -> bool:
        if user and self.clients[user].get("disabled"):
            return False
        for rule in self.rules(user):
            if rule["acltype"] == kind and matches(rule["topic"], topic):
                return bool(rule["allow"])
        return bool(self.data["defaultACLAccess"][kind])

    def subscribed(self, user: str | None, topic: str) -> bool:
        """May there be a subscription, to just this topic, by which messages on it come?"""
        if user and self.clients[user].get("disabled"):
            return False
        for rule in self.rules(user):
            literal = rule["acltype"] == "subscribeLiteral" and rule["topic"] == topic
            if literal or (rule["acltype"] == "subscribePattern" and matches(rule["topic"], topic)):
                return bool(rule["allow"])
        return bool(self.data["defaultACLAccess"]["subscribe"])


def _ranked(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(found, key=lambda each: -each.get("priority", -1))
