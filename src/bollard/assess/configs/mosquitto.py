"""mosquitto.conf and what it includes, as sections of settings with file and line.

Parses only: what the sections mean together is in mosquitto_effective.py. A directive belongs to the listener or
bridge above it, which is why order matters. An included file begins without a listener of its own.
"""

import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path

from bollard.assess.configs.mosquitto_keys import DIRECTIVES, HIDDEN, SAME, VERSIONS, Directive
from bollard.assess.configs.source import NOWHERE, Place, Reading, Setting, lines, word

MAX_FILES = 256
MAX_SECTIONS = 1_024

_PLUGIN_OPTION = re.compile(r"(?:plugin|auth)_opt_(.+)")
_SECRET_OPTION = re.compile(r"pass|secret|token|key|credential|dsn|uri", re.IGNORECASE)
_DURATION = re.compile(r"(\d{1,9})([shdwmy])")
_SECONDS = {"s": 1, "h": 3_600, "d": 86_400, "w": 604_800, "m": 2_592_000, "y": 31_536_000}
_NUMBER = re.compile(r"[+-]?(0[xX][0-9a-fA-F]{1,8}|\d{1,18})")
#: What lines of ACL files begin with, which are not mosquitto.conf.
_ELSEWHERE_TOO = ("user", "topic", "pattern")
_FLAGS = {"true": "true", "1": "true", "false": "false", "0": "false"}


@dataclass(slots=True)
class Plugin:
    """A plugin and its options; those that look like secrets are hidden."""

    path: str
    place: Place
    options: dict[str, Setting] = field(default_factory=dict)
    name: str = ""


@dataclass(slots=True)
class Section:
    """The settings of the broker, of one listener or of one bridge, in the order in which they were written.

    `name` is the port and address of a listener, or the name of a bridge. `implied` is a listener that nobody
    wrote down: one of its directives stood before any `listener`.
    """

    kind: str
    name: str = ""
    place: Place = NOWHERE
    implied: bool = False
    settings: dict[str, list[Setting]] = field(default_factory=dict)
    plugins: list[Plugin] = field(default_factory=list)

    def all(self, key: str) -> list[Setting]:
        return self.settings.get(key, [])

    def last(self, key: str) -> Setting | None:
        """The one that counts of a directive that may stand once."""
        found = self.settings.get(key)
        return found[-1] if found else None


class MosquittoFile:
    """A whole mosquitto.conf with its includes, as written. `version` is as given, or what the directives need."""

    def __init__(self, path: Path, version: str = "") -> None:
        """Read `path` and its includes. Raises nothing: see `reading.unread`."""
        self.path = path
        self.reading = Reading()
        self.general = Section("general", place=Place(str(path)))
        self.listeners: list[Section] = []
        self.bridges: list[Section] = []
        self.per_listener = False
        self._needs = VERSIONS[0]
        self._named_plugins: dict[str, Plugin] = {}
        self._security_seen = False
        self._default_listener: Section | None = None
        self._understood = False
        self._file(path, None, 0)
        self.version = version if version in VERSIONS else self._needs

    @property
    def foreign(self) -> Place | None:
        """The first line that is no directive, if the file is no mosquitto.conf at all: nothing in it is one
        but what other files of Mosquitto begin lines with as well."""
        places = [each.place for each in self.reading.unread]
        wrong = [place for place in places if place.line and place.file == str(self.path)]
        return wrong[0] if wrong and not self._understood else None

    @property
    def sections(self) -> list[Section]:
        return [self.general, *self.listeners, *self.bridges]

    def _file(self, path: Path, asked: Place | None, depth: int) -> None:
        if len(self.reading.files) >= MAX_FILES:
            self.reading.missed(asked or Place(str(path)), str(path), f"more than {MAX_FILES} files")
            return
        text = self.reading.text(path, asked)
        if text is not None:
            _FileReader(self, path, depth).read(text)

    def _directory(self, text: str, base: Path, place: Place) -> None:
        """Read the files of an include_dir in Mosquitto's order: by name, without regard to case."""
        folder = base / text
        try:
            names = sorted(
                (p for p in folder.iterdir() if p.name.endswith(".conf")), key=lambda p: p.name.lower()
            )
        except (OSError, ValueError):
            self.reading.missed(place, text, "this folder cannot be read")
            return
        for name in names:
            self._file(name, place, 1)

    def _listener_for(self, current: Section | None, place: Place) -> Section:
        """The listener that a directive belongs to; without one above it, the default listener."""
        if current is not None:
            return current
        if self._default_listener is None:
            self._default_listener = Section("listener", "1883", place, implied=True)
            self.listeners.append(self._default_listener)
        return self._default_listener


class _FileReader:
    """One file, line by line, with the listener, bridge and plugin that stand above the line."""

    def __init__(self, whole: MosquittoFile, path: Path, depth: int) -> None:
        self._whole = whole
        self._path = path
        self._depth = depth
        self._listener: Section | None = None
        self._bridge: Section | None = None
        self._plugin: Plugin | None = None

    def read(self, text: str) -> None:
        for number, line in enumerate(lines(text), 1):
            words = line.lstrip(" ")
            if words.startswith("#") and len(words) < len(line):
                reason = (
                    "unknown directive: a comment begins in the first column, else Mosquitto does not start"
                )
                self._missed(Place(str(self._path), number), "#", reason)
            elif words and not words.startswith("#"):
                key, _, rest = words.partition(" ")
                self._line(key, rest.strip(" "), Place(str(self._path), number))

    def _missed(self, place: Place, text: str, reason: str) -> None:
        self._whole.reading.missed(place, text, reason)

    def _line(self, key: str, rest: str, place: Place) -> None:
        option = _PLUGIN_OPTION.fullmatch(key)
        if option:
            self._plugin_option(option[1], rest, place)
            return
        directive = DIRECTIVES.get(key)
        if directive is None:
            # It may be a secret, or the line of a password file: told is only what is nearly a name of ours.
            near = (
                () if self._whole.reading.full else difflib.get_close_matches(key[:80].lower(), DIRECTIVES, 1)
            )
            hint = f'. Did you mean "{near[0]}"?' if near else ""
            self._missed(place, word(key) if near else "", f"unknown directive{hint}")
            return
        value = _value(directive, rest)
        if value is None:
            shown = HIDDEN if directive.secret else rest
            self._missed(place, f"{key} {shown}".strip(), f"expected {_EXPECTED[directive.kind]}")
            return
        if directive.since != VERSIONS[0]:
            self._whole._needs = directive.since
        setting = Setting(SAME.get(key, key), HIDDEN if directive.secret else value, place)
        self._put(key, directive, setting)

    def _put(self, key: str, directive: Directive, setting: Setting) -> None:
        whole = self._whole
        whole._understood = whole._understood or key not in _ELSEWHERE_TOO
        if key == "include_dir":
            self._include(setting)
        elif key == "listener":
            self._new_listener(setting)
        elif key == "connection":
            self._new_bridge(setting)
        elif directive.scope == "plugin":
            self._plugin_line(key, setting)
        elif directive.scope == "bridge":
            if self._bridge is None:
                self._missed(setting.place, key, "this directive needs a connection (a bridge) above it")
            else:
                _add(self._bridge, setting)
        elif directive.scope == "listener":
            if key == "port" and not 1 <= setting.number() <= 65_535:
                self._missed(setting.place, f"port {setting.value}", "expected a port")
                return
            if key in ("port", "bind_address"):
                self._listener = whole._listener_for(whole._default_listener, setting.place)
                self._listener.implied = False
            _add(whole._listener_for(self._listener, setting.place), setting)
        elif directive.scope == "security":
            whole._security_seen = True
            _add(self._security(setting.place), setting)
        else:
            self._general(key, setting)

    def _security(self, place: Place) -> Section:
        """Whom a security directive concerns: the broker, or under per_listener_settings the listener above."""
        whole = self._whole
        return whole._listener_for(self._listener, place) if whole.per_listener else whole.general

    def _general(self, key: str, setting: Setting) -> None:
        whole = self._whole
        if key == "per_listener_settings" and setting.on:
            if whole._security_seen:
                reason = "must stand before all security directives; Mosquitto does not start"
                self._missed(setting.place, key, reason)
            whole.per_listener = True
        _add(whole.general, setting)

    def _include(self, setting: Setting) -> None:
        if self._depth:
            self._missed(setting.place, setting.value, "include_dir is allowed in the main file only")
            return
        _add(self._whole.general, setting)
        self._whole._directory(setting.value, self._path.parent, setting.place)

    def _new_listener(self, setting: Setting) -> None:
        port, _, address = setting.value.partition(" ")
        address = address.strip(" ").split(" ")[0]
        address = "" if address.startswith("#") else address
        usable = bool(_NUMBER.fullmatch(port)) and 0 <= int(port, 0 if "x" in port.lower() else 10) <= 65_535
        if not usable or (port == "0" and not address):
            self._missed(
                setting.place, f"listener {setting.value}", "expected a port, or 0 and a socket's path"
            )
            return
        if len(self._whole.listeners) >= MAX_SECTIONS:
            self._missed(setting.place, setting.value, "more listeners than are read")
            return
        self._listener = Section("listener", f"{port} {address}".strip(), setting.place)
        self._whole.listeners.append(self._listener)

    def _new_bridge(self, setting: Setting) -> None:
        if len(self._whole.bridges) >= MAX_SECTIONS:
            self._missed(setting.place, setting.value, "more bridges than are read")
            return
        self._bridge = Section("bridge", setting.value.split(" ")[0], setting.place)
        self._whole.bridges.append(self._bridge)

    def _plugin_line(self, key: str, setting: Setting) -> None:
        whole = self._whole
        if key == "auth_plugin_deny_special_chars":
            if self._plugin is None:
                self._missed(setting.place, key, "this directive needs a plugin above it")
            else:
                self._plugin.options[key] = setting
            return
        name, _, path = setting.value.partition(" ")
        if key == "plugin_use":
            loaded = whole._named_plugins.get(name)
            if loaded is None:
                self._missed(setting.place, name, "no plugin_load above has this name")
                return
            self._plugin = loaded
            whole._listener_for(self._listener, setting.place).plugins.append(loaded)
            return
        self._plugin = Plugin(path.strip(" ") if key == "plugin_load" else setting.value, setting.place)
        if key == "plugin_load":
            self._plugin.name = name
            whole._named_plugins[name] = self._plugin
            return
        whole._security_seen = True
        target = whole.general if key == "global_plugin" else self._security(setting.place)
        target.plugins.append(self._plugin)

    def _plugin_option(self, name: str, rest: str, place: Place) -> None:
        if self._plugin is None or not rest:
            reason = "expected a value" if self._plugin else "this option needs a plugin above it"
            self._missed(place, f"plugin_opt_{word(name)}", reason)
            return
        value = HIDDEN if _SECRET_OPTION.search(name) else rest
        self._plugin.options[name] = Setting(f"plugin_opt_{name}", value, place)


def _add(section: Section, setting: Setting) -> None:
    section.settings.setdefault(setting.key, []).append(setting)


_EXPECTED = {
    "flag": "true or false",
    "integer": "a whole number",
    "text": "a value",
    "word": "one word",
    "words": "a value",
    "duration": "a number and one of s h d w m y, such as 14d",
}


def _value(directive: Directive, rest: str) -> str | None:
    """`rest` of a line as `directive` takes it, None if it does not. Durations become seconds."""
    first = rest.split(" ")[0]
    if directive.kind == "flag":
        return _FLAGS.get(first)
    if directive.kind == "integer":
        return str(_integer(first)) if _NUMBER.fullmatch(first) else None
    if directive.kind == "duration":
        found = _DURATION.fullmatch(first)
        return str(int(found[1]) * _SECONDS[found[2]]) if found and int(found[1]) else None
    if directive.kind == "word":
        return first or None
    return rest or None


def _integer(text: str) -> int:
    return int(text, 16) if "x" in text.lower() else int(text)
