"""What a mosquitto.conf means: its listeners with everything that is in effect on them, defaults included.

Reads the ACL, password, PSK and dynamic-security files that it names. Judges nothing.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from bollard.assess.configs.dynsec import DynamicSecurity, read_dynamic_security
from bollard.assess.configs.mosquitto import MosquittoFile, Plugin, Section
from bollard.assess.configs.mosquitto_access import AclFile, PasswordFile, read_acl, read_passwords, read_psk
from bollard.assess.configs.mosquitto_keys import default
from bollard.assess.configs.source import Place, Reading, Setting

_T = TypeVar("_T")

#: Names of plugins whose files are understood here.
_DYNAMIC = "dynamic_security"
_ACL_PLUGIN = "acl_file"
_PASSWORD_PLUGIN = "password_file"  # noqa: S105  # the name of a plugin
_KNOWN_PLUGINS = (_DYNAMIC, _ACL_PLUGIN, _PASSWORD_PLUGIN, "persist_sqlite", "sparkplug_aware")


@dataclass(frozen=True, slots=True)
class Security:
    """Who may connect, and what they may do then. `acl` None without `acl_setting` means: everything."""

    anonymous: Setting
    acl_setting: Setting | None
    acl: AclFile | None
    password_setting: Setting | None
    passwords: PasswordFile | None
    psk_setting: Setting | None
    psk: dict[str, Place] | None
    dynamic: DynamicSecurity | None
    plugins: tuple[Plugin, ...]

    @property
    def foreign_plugins(self) -> list[Plugin]:
        """Plugins that may decide anything, as nothing is known of them here."""
        return [each for each in self.plugins if not any(name in each.path for name in _KNOWN_PLUGINS)]

    @property
    def limits_topics(self) -> bool:
        """Does anything known limit what a client may do?"""
        return self.acl_setting is not None or self.dynamic is not None

    @property
    def authenticates(self) -> bool:
        return bool(self.password_setting or self.psk_setting or self.dynamic or self.foreign_plugins)


class Listener:
    """One listener in effect. `port` 0 is a Unix socket at `address`; `address` "" is every address."""

    def __init__(
        self, whole: "Mosquitto", section: Section, security: Security, *, local: bool = False
    ) -> None:
        self._whole = whole
        self.section = section
        self.security = security
        port, _, address = section.name.partition(" ")
        bind, written_port = section.last("bind_address"), section.last("port")
        self.port = written_port.number() if written_port else int(port, 16 if "x" in port.lower() else 10)
        self.address = "localhost" if local else bind.value.split(" ")[0] if bind else address
        self.local_only = local

    @property
    def place(self) -> Place:
        return self.section.place

    @property
    def name(self) -> str:
        if self.unix:
            return f"unix:{self.address}"
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address or '*'}:{self.port}"

    def get(self, key: str) -> Setting:
        """What is in effect of a listener's directive."""
        return self.section.last(key) or Setting(key, default(key, self._whole.version))

    @property
    def unix(self) -> bool:
        return self.port == 0

    @property
    def loopback(self) -> bool:
        """Can only this machine reach it?"""
        if self.unix or self.address == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.address).is_loopback
        except ValueError:
            return False

    @property
    def certificate(self) -> bool:
        return self.section.last("certfile") is not None

    @property
    def psk(self) -> bool:
        return self.section.last("psk_hint") is not None

    @property
    def encrypted(self) -> bool:
        return self.certificate or self.psk

    @property
    def protocol(self) -> str:
        return self.get("protocol").value

    @property
    def mtls(self) -> bool:
        """Does it insist on a client certificate?"""
        return self.certificate and self.get("require_certificate").on

    @property
    def named_by_certificate(self) -> Setting | None:
        """The directive by which a certificate names the client, if one is on."""
        for key in ("use_identity_as_username", "use_subject_as_username"):
            found = self.section.last(key)
            if found and found.on:
                return found
        return None


class Mosquitto:
    """A Mosquitto broker as its configuration makes it; reading it raises nothing."""

    def __init__(self, path: Path, version: str = "") -> None:
        self.file = MosquittoFile(path, version)
        self.version = self.file.version
        self.reading: Reading = self.file.reading
        self._acls: dict[str, AclFile | None] = {}
        self._passwords: dict[str, PasswordFile | None] = {}
        self._psks: dict[str, dict[str, Place] | None] = {}
        self._dynamics: dict[str, DynamicSecurity | None] = {}
        self.listeners = self._listeners()

    @property
    def general(self) -> Section:
        return self.file.general

    @property
    def bridges(self) -> list[Section]:
        return self.file.bridges

    def get(self, key: str) -> Setting:
        """What is in effect of a directive of the broker."""
        return self.general.last(key) or Setting(key, default(key, self.version))

    @cached_property
    def local_only(self) -> bool:
        """Nothing is written about listeners: one on loopback, open to everybody there."""
        return not self.file.listeners

    def _listeners(self) -> list[Listener]:
        if self.local_only:
            section = Section("listener", "1883 localhost", self.general.place, implied=True)
            return [Listener(self, section, self._security(section), local=True)]
        return [Listener(self, each, self._security(each)) for each in self.file.listeners]

    def _security(self, listener: Section) -> Security:
        source = listener if self.file.per_listener else self.general
        both = (*self.general.plugins, *listener.plugins)
        used = tuple({id(each): each for each in both}.values())
        acl = source.last("acl_file") or _option(used, _ACL_PLUGIN, "acl_file")
        passwords = source.last("password_file") or _option(used, _PASSWORD_PLUGIN, "password_file")
        psk = source.last("psk_file")
        return Security(
            self._anonymous(source, listener),
            acl,
            self._load(acl, self._acls, read_acl),
            passwords,
            self._load(passwords, self._passwords, read_passwords),
            psk,
            self._load(psk, self._psks, read_psk),
            self._load(_option(used, _DYNAMIC, "config_file"), self._dynamics, read_dynamic_security),
            used,
        )

    def _anonymous(self, source: Section, listener: Section) -> Setting:
        """May clients come without a name? Where nothing is written: only if nothing is said of listeners.

        A listener that only an option before it has brought about was open in versions before 2.0.12.
        """
        written = listener.last("listener_allow_anonymous") or source.last("allow_anonymous")
        if written is not None:
            return written
        implied = self.version == "2.0" and not any(not each.implied for each in self.file.listeners)
        return Setting("allow_anonymous", "true" if self.local_only or implied else "false")

    def _load(
        self,
        setting: Setting | None,
        known: dict[str, _T | None],
        read: Callable[[Path, Reading, Place], _T | None],
    ) -> _T | None:
        """What `read` makes of the file that `setting` names; each file is read once."""
        if setting is None:
            return None
        if setting.value not in known:
            known[setting.value] = read(self.file.path.parent / setting.value, self.reading, setting.place)
        return known[setting.value]


def _option(plugins: tuple[Plugin, ...], name: str, option: str) -> Setting | None:
    """The setting of an option of the plugin called `name`."""
    for plugin in plugins:
        if name in plugin.path:
            return plugin.options.get(option)
    return None
