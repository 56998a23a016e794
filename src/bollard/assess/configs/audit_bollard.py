"""The traits of our own configuration: bollard.toml and the policy that it names.

Whether the files are valid at all is for `bollard check`, which refuses unknown keys; here they are judged as any
other product's are.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bollard.assess.configs import common
from bollard.assess.configs.setup import Setup, Traits
from bollard.assess.configs.source import Place, Reading, Setting, shown
from bollard.assess.configs.weak import host_and_port, is_administrator, is_everything, is_loopback
from bollard.assess.model import Severity
from bollard.base.errors import ConfigError
from bollard.base.toml import Document, Key, load_toml
from bollard.base.types import ANONYMOUS
from bollard.policy.model import Pattern, Rights, Rules
from bollard.policy.rules import parse_policy

_SIZE = re.compile(r"(\d{1,12})(?:\.\d+)? ?([A-Za-z]*)")
_UNITS = {"": 1, "s": 1, "B": 1, "KiB": 1024, "kB": 1000, "MiB": 1024**2, "MB": 10**6, "GiB": 1024**3, "GB": 10**9,
          "m": 60, "h": 3600, "d": 86_400}  # fmt: skip
#: Above these a limit is as good as none.
_CEILINGS = {
    "max_packet_bytes": 16 * 1024**2,
    "max_connect_bytes": 1024**2,
    "keepalive_max_s": 4 * 3600,
    "session_expiry_max_s": 90 * 86_400,
    "max_will_delay_s": 30 * 86_400,
    "max_sessions": 100_000,
}
_CHECK_OF = {"session_expiry_max_s": "20", "max_will_delay_s": "21"}


def audit_bollard(path: Path, version: str = "") -> Setup:
    """The traits of the bollard.toml at `path`."""
    return _Reader(path).read()


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._reading = Reading()
        self._traits = Traits(str(path))
        self._document: Document | None = None
        try:
            self._document = load_toml(path)
            self._reading.files.append(str(path))
        except ConfigError as error:
            self._missed(error)

    def _missed(self, error: ConfigError) -> None:
        self._reading.missed(Place(error.file or str(self._path), error.line), "", error.message)

    def read(self) -> Setup:
        traits = self._traits
        traits.absent(
            "Bollard has no such setting", "03", "07", "08", "09", "11", "15", "23", "24", "25", "27"
        )
        traits.absent("the files in its state directory are not on this machine", "17")
        if self._document is not None:
            for said, check in (
                ("TLS 1.2 and 1.3 with forward secrecy is all that there is", "10"),
                ("a session belongs to identity and client id together", "12"),
                ("revocation ends sessions at once", "13"),
                ("dates of certificates are always checked", "14"),
                ("only verifiers of generated secrets are kept", "16"),
                ("the author's right is asked again at every delivery", "19"),
            ):
                traits.add(check, False, said)
            self._listeners(self._document)
            self._limits(self._document)
            self._operation(self._document)
            self._policy(self._document)
            self._files(self._document)
        traits.unread(self._reading.unread)
        return traits.setup("bollard", "", self._reading.files, self._reading.unread)

    def _setting(self, *keys: Key, default: str = "") -> Setting:
        """What is in effect at `keys`, as text."""
        document = self._document
        assert document is not None
        value: Any = document.data
        for key in keys:
            inside = (
                key in value if isinstance(value, dict) else isinstance(value, list) and isinstance(key, int)
            )
            if not inside:
                return Setting(str(keys[-1]), default)
            value = value[key]
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return Setting(str(keys[-1]), text, Place(str(self._path), document.line(*keys)))

    def _listeners(self, document: Document) -> None:
        traits = self._traits
        tables = document.data.get("listener")
        if not isinstance(tables, list):
            traits.add("01", False, "the one listener takes nobody without a name")
            traits.add("04", False, "the one listener speaks TLS")
            return
        for index in range(len(tables)):
            bind = self._setting("listener", index, "bind")
            plain = self._setting("listener", index, "allow_plaintext", default="false")
            unix = bind.value.startswith("unix:")
            common.listens(traits, Setting(bind.key, "127.0.0.1" if unix else bind.value, bind.place), "the listener",
                           secure=not plain.on, write="# remove allow_plaintext")  # fmt: skip
            nameless = self._setting("listener", index, "allow_anonymous", default="false")
            said = (
                f"clients without a name are {'let in' if nameless.on else 'refused'} on {shown(bind.value)}"
            )
            mild = (
                Severity.LOW if nameless.on else None
            )  # rights come from the policy alone: see CFG-02 and CFG-05
            traits.add(
                "01",
                nameless.on,
                said,
                nameless,
                write="# remove allow_anonymous" if nameless.on else "",
                severity=mild,
            )

    def _limits(self, document: Document) -> None:
        for key, ceiling in _CEILINGS.items():
            setting = self._setting("limits", key)
            found = _SIZE.fullmatch(setting.value)
            value = int(found[1]) * _UNITS.get(found[2], 1) if found else 0
            weak = value > ceiling
            check = _CHECK_OF.get(key, "18")
            self._traits.add(
                check,
                weak,
                f"{key} is {'very large' if weak else 'bounded'}",
                setting,
                write="# remove this line" if weak else "",
            )

    def _operation(self, document: Document) -> None:
        level = self._setting("log", "level", default="info")
        weak = level.value == "error"
        self._traits.add(
            "22",
            weak,
            f"the log level is {shown(level.value)}",
            level,
            write='level = "info"' if weak else "",
        )
        bind = self._setting("metrics", "bind")
        weak = bind.written and not is_loopback(host_and_port(bind.value)[0])
        said = (
            "metrics can be read from elsewhere without a password"
            if weak
            else "nothing but MQTT can be reached from elsewhere"
        )
        self._traits.add(
            "28",
            weak,
            said,
            bind,
            write='bind = "127.0.0.1:9464"' if weak else "",
            severity=Severity.MEDIUM if weak else None,
        )

    def _policy(self, document: Document) -> None:
        named = self._setting("policy", default="policy.toml")
        path = self._path.parent / named.value
        try:
            rules = parse_policy(path)
        except ConfigError as error:
            self._missed(error)
            self._traits.absent("the policy could not be read", "02", "05", "06")
            return
        self._reading.files.append(str(path))
        self._rights(rules, path)

    def _rights(self, rules: Rules, path: Path) -> None:
        traits = self._traits
        found = {"02": False, "05": False, "06": False}
        for who, everybody, pattern in _granted(rules):
            place = Place(str(path), pattern.line)
            if is_everything(pattern.text) and (everybody or not is_administrator(who)):
                check = "02" if everybody else "05"
                found[check] = True
                traits.add(
                    check, True, f"{who} may use every topic", place=place, write='["devices/${id}/#"]'
                )
            elif pattern.text.startswith("$SYS") and not is_administrator(who) and everybody:
                found["06"] = True
                traits.add("06", True, f"{who} may use {shown(pattern.text)}", place=place)
        for check, weak in found.items():
            if not weak:
                traits.add(
                    check,
                    False,
                    "what no rule grants is denied, and no rule grants this",
                    place=Place(str(path)),
                )

    def _files(self, document: Document) -> None:
        state = self._path.parent / self._setting("state_dir", default=".").value
        for name in ("pepper", "registry.db", "sessions.db"):
            self._traits.private(state / name, Setting("state_dir", name))


def _granted(rules: Rules) -> Iterator[tuple[str, bool, Pattern]]:
    """Every filter that is granted: to whom, and whether that is everybody."""
    for template in rules.templates.values():
        groups = [group for group in rules.groups.values() if template.name in group.apply]
        wide = any(member in ("*", ANONYMOUS) for group in groups for member in group.members)
        yield from ((f"the template {template.name}", wide, each) for each in _patterns(template.rights))
    for grant in rules.grants.values():
        wide = grant.who.everyone or ANONYMOUS in grant.who.identities
        yield from ((f"the grant {grant.name}", wide, each) for each in _patterns(grant.rights))


def _patterns(rights: Rights) -> Iterator[Pattern]:
    yield from (*rights.publish, *rights.subscribe)
