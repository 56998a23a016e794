"""The file of Mosquitto's dynamic security plugin: clients, groups, roles, and what is allowed by default.

The hash of a password is a `Secret`: it goes nowhere but into a registry that takes it over.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bollard.assess.configs.mosquitto_access import NOTHING
from bollard.assess.configs.source import Place, Reading
from bollard.base.types import Secret

SEND = "publishClientSend"
RECEIVE = "publishClientReceive"
ACL_TYPES = (
    SEND,
    RECEIVE,
    "subscribeLiteral",
    "subscribePattern",
    "unsubscribeLiteral",
    "unsubscribePattern",
)
DEFAULTS = {SEND: False, RECEIVE: True, "subscribe": False, "unsubscribe": True}

_KEYS = {
    "": {"defaultACLAccess", "clients", "groups", "roles", "anonymousGroup", "changeIndex"},
    "client": {
        "username", "clientid", "textname", "textdescription", "disabled", "roles", "groups", "password", "salt",
        "iterations", "encoded_password",
    },
    "group": {"groupname", "textname", "textdescription", "roles", "clients"},
    "role": {"rolename", "textname", "textdescription", "acls", "allowwildcardsubs"},
    "acl": {"acltype", "topic", "priority", "allow"},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class DynAcl:
    """One rule of a role. Among the rules of a role those of higher `priority` come first."""

    kind: str
    topic: str
    allow: bool
    priority: int


@dataclass(slots=True)
class DynClient:
    """A client (a user). `roles` and `groups` are (priority, name), the first to be asked first.

    `stored` is the hash of its password, in the form of a password file.
    """

    username: str
    clientid: str = ""
    disabled: bool = False
    has_password: bool = False
    iterations: int = 0
    stored: Secret = NOTHING
    roles: list[tuple[int, str]] = field(default_factory=list)
    groups: list[tuple[int, str]] = field(default_factory=list)


@dataclass(slots=True)
class DynamicSecurity:
    """The whole file. `groups` has the roles of each group as a client has them."""

    path: str
    defaults: dict[str, bool] = field(default_factory=lambda: dict(DEFAULTS))
    clients: dict[str, DynClient] = field(default_factory=dict)
    groups: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    roles: dict[str, list[DynAcl]] = field(default_factory=dict)
    anonymous_group: str = ""

    def rules(self, username: str) -> Iterator[DynAcl]:
        """The rules for a client in the order in which they are asked; "" is a client without a name."""
        client = self.clients.get(username)
        if username and client is None:
            return
        for _, role in client.roles if client else []:
            yield from self.roles.get(role, [])
        groups = [name for _, name in client.groups] if client else [self.anonymous_group]
        for group in groups:
            for _, role in self.groups.get(group, []):
                yield from self.roles.get(role, [])


def read_dynamic_security(path: Path, reading: Reading, asked: Place) -> DynamicSecurity | None:
    """The file at `path`, None if it cannot be read or is no JSON object."""
    text = reading.text(path, asked)
    if text is None:
        return None
    try:
        data = json.loads(text)
    except RecursionError:
        reading.missed(Place(str(path), 1), "", "nested too deeply")
        return None
    except ValueError as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 1
        reading.missed(Place(str(path), line), "", "this is not JSON")
        return None
    if not isinstance(data, dict):
        reading.missed(Place(str(path), 1), "", "expected an object")
        return None
    return _Reader(path, reading).read(data)


class _Reader:
    """Takes the document apart; what has another shape than expected is listed and left out."""

    def __init__(self, path: Path, reading: Reading) -> None:
        self._place = Place(str(path))
        self._reading = reading
        self._found = DynamicSecurity(str(path))

    def read(self, data: dict[str, Any]) -> DynamicSecurity:
        found = self._found
        self._known(data, "", "the file")
        defaults = data.get("defaultACLAccess", {})
        for key, value in defaults.items() if isinstance(defaults, dict) else ():
            if key in DEFAULTS and isinstance(value, bool):
                found.defaults[key] = value
            else:
                self._missed(f"defaultACLAccess.{key}", "expected a known kind, with true or false")
        anonymous = data.get("anonymousGroup", "")
        found.anonymous_group = anonymous if isinstance(anonymous, str) else ""
        for each in self._objects(data, "roles", "role"):
            found.roles[self._name(each, "rolename")] = self._acls(each)
        for each in self._objects(data, "groups", "group"):
            found.groups[self._name(each, "groupname")] = self._ranked(each, "roles", "rolename")
        for each in self._objects(data, "clients", "client"):
            client = self._client(each)
            found.clients[client.username] = client
        self._join_groups(data)
        return found

    def _missed(self, text: str, reason: str) -> None:
        self._reading.missed(self._place, text, reason)

    def _known(self, data: dict[str, Any], kind: str, where: str) -> None:
        for key in data:
            if key not in _KEYS[kind]:
                self._missed(f"{where}: {key}", "unknown key")

    def _objects(self, data: dict[str, Any], key: str, kind: str) -> Iterator[dict[str, Any]]:
        found = data.get(key, [])
        for index, each in enumerate(found if isinstance(found, list) else [None]):
            if isinstance(each, dict):
                self._known(each, kind, f"{key}[{index}]")
                yield each
            else:
                self._missed(f"{key}[{index}]", "expected an object")

    def _name(self, data: dict[str, Any], key: str) -> str:
        name = data.get(key)
        if isinstance(name, str) and name:
            return name
        self._missed(key, "expected a name")
        return ""

    def _client(self, data: dict[str, Any]) -> DynClient:
        iterations = data.get("iterations", 0)
        clientid = data.get("clientid", "")
        return DynClient(
            self._name(data, "username"),
            clientid if isinstance(clientid, str) else "",
            data.get("disabled") is True,
            bool(data.get("password") or data.get("encoded_password")),
            iterations if isinstance(iterations, int) else 0,
            _stored(data),
            self._ranked(data, "roles", "rolename"),
            self._ranked(data, "groups", "groupname"),
        )

    def _ranked(self, data: dict[str, Any], key: str, name: str) -> list[tuple[int, str]]:
        """The names in a list of {name, priority}, the highest priority first."""
        found = data.get(key, [])
        ranked = []
        for each in found if isinstance(found, list) else [None]:
            if isinstance(each, dict) and isinstance(each.get(name), str):
                ranked.append((_priority(each), each[name]))
            else:
                self._missed(f"{key}", f"expected objects with {name}")
        return sorted(ranked, key=lambda entry: (-entry[0], entry[1]))

    def _acls(self, role: dict[str, Any]) -> list[DynAcl]:
        rules = []
        for each in self._objects(role, "acls", "acl"):
            kind, topic, allow = each.get("acltype"), each.get("topic"), each.get("allow", False)
            if kind in ACL_TYPES and isinstance(topic, str) and topic and isinstance(allow, bool):
                rules.append(DynAcl(str(kind), topic, allow, _priority(each)))
            else:
                self._missed(f"role {role.get('rolename')!r:.60}", "expected acltype, topic and allow")
        return sorted(rules, key=lambda rule: -rule.priority)

    def _join_groups(self, data: dict[str, Any]) -> None:
        """Membership may stand in the group instead of in the client."""
        for group in self._objects_quietly(data.get("groups")):
            name = group.get("groupname")
            for member in self._objects_quietly(group.get("clients")):
                user = member.get("username")
                client = self._found.clients.get(user) if isinstance(user, str) else None
                if client is not None and isinstance(name, str) and name not in [g for _, g in client.groups]:
                    client.groups.append((_priority(member), name))
                    client.groups.sort(key=lambda entry: (-entry[0], entry[1]))

    @staticmethod
    def _objects_quietly(found: object) -> list[dict[str, Any]]:
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _stored(data: dict[str, Any]) -> Secret:
    """The hash of a client as a password file has it: one text since 2.1, three fields before."""
    encoded, parts = data.get("encoded_password"), (data.get("salt"), data.get("password"))
    if isinstance(encoded, str):
        return Secret(encoded.encode(errors="replace"))
    if all(isinstance(part, str) and part for part in parts) and isinstance(data.get("iterations"), int):
        return Secret(f"$7${data['iterations']}${parts[0]}${parts[1]}".encode(errors="replace"))
    return NOTHING


def _priority(data: dict[str, Any]) -> int:
    found = data.get("priority", -1)
    return found if isinstance(found, int) else -1
