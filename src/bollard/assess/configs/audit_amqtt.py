"""The traits of an amqtt configuration, in the form with plugins and in the older one with auth and topic-check."""

from pathlib import Path

from bollard.assess.configs import common
from bollard.assess.configs.flat import Flat
from bollard.assess.configs.mosquitto_access import read_passwords
from bollard.assess.configs.setup import Setup
from bollard.assess.configs.source import Place, Setting, shown
from bollard.assess.configs.weak import is_administrator, is_everything
from bollard.assess.configs.yamltable import read_yaml

VERSIONS = ("0.11",)
_OURS = "amqtt.plugins."
KNOWN = (
    "auth.allow-anonymous", "auth.password-file", "topic-check.enabled", "sys_interval", "timeout-disconnect-delay",
    "listeners.default.type", "listeners.default.bind", "listeners.default.ssl", "listeners.default.certfile",
    "listeners.default.keyfile", "listeners.default.cafile", "listeners.default.max-connections",
)  # fmt: skip


def audit_amqtt(path: Path, version: str = "") -> Setup:
    """The traits of the YAML file at `path`."""
    return _Reader(read_yaml(path), version or VERSIONS[0]).read()


class _Reader(common.FlatReader):
    def __init__(self, flat: Flat, version: str) -> None:
        super().__init__(flat, version)
        self._plugins = self._find_plugins()

    def read(self) -> Setup:
        flat, traits = self._flat, self._traits
        traits.absent(
            "amqtt has no such setting",
            "03",
            "07",
            "08",
            "09",
            "10",
            "11",
            "12",
            "13",
            "14",
            "15",
            "19",
            "20",
            "21",
            "22",
            "24",
            "25",
            "28",
        )
        traits.absent("no rules are written", "05")
        traits.absent("no password file is named", "16")
        traits.absent("the files that it names are not on this machine", "17")
        for name, place in self._plugins.items():
            if not name.startswith(_OURS):
                flat.reading.missed(place, name, "this plugin may be any program; look at it by hand")
        self._entrance()
        self._listeners()
        self._rights()
        self._passwords()
        common.secrets(traits, flat)
        common.key_files(traits, flat)
        for key in ("auth", "topic-check"):
            for setting in list(flat.matching(rf"{key}\..+"))[:1]:
                traits.add("27", True, f"{key} is the older form; plugins take its place", setting)
        flat.misspelt((*KNOWN, *(key for key in flat.settings if key.startswith(("listeners.", "plugins.")))))
        common.finish(traits, flat)
        return self._setup("amqtt")

    def _find_plugins(self) -> dict[str, Place]:
        """The names of the plugins and where they stand: keys of a mapping, or items of a list."""
        found: dict[str, Place] = {}
        for key, setting in self._flat.settings.items():
            if not key.startswith("plugins."):
                continue
            rest = key.removeprefix("plugins.")
            first, _, more = rest.partition(".")
            rest = (more or setting.value) if first.isdigit() else rest
            words = rest.split(".")
            # A plugin's name has dots itself; it ends with the class, which begins with a capital letter.
            end = next((index for index, word in enumerate(words) if word[:1].isupper()), len(words) - 1)
            found.setdefault(".".join(words[: end + 1]), setting.place)
        return found

    def _option(self, plugin: str, option: str) -> Setting | None:
        for key, setting in self._flat.settings.items():
            if key.startswith("plugins.") and f".{plugin}." in f".{key}." and key.endswith(f".{option}"):
                return setting
        return None

    def _has(self, plugin: str) -> bool:
        return any(name.endswith(plugin) for name in self._plugins)

    def _entrance(self) -> None:
        if self._plugins:
            written = self._option("AnonymousAuthPlugin", "allow_anonymous")
            if self._has("AnonymousAuthPlugin"):
                setting = written or Setting("allow_anonymous", "true")
            else:
                setting = Setting("AnonymousAuthPlugin", "false" if self._authenticates() else "true")
        else:
            setting = self._flat.get("auth.allow-anonymous", "true")
        said = f"clients without a name are {'let in' if setting.on else 'refused'}"
        write = "plugins:\n  amqtt.plugins.authentication.FileAuthPlugin:\n    password_file: passwords"
        self._traits.add("01", setting.on, said, setting, write=write if setting.on else "")

    def _authenticates(self) -> bool:
        return any("auth" in name.lower() for name in self._plugins)

    def _listeners(self) -> None:
        flat, traits = self._flat, self._traits
        default_type = flat.get("listeners.default.type", "tcp").value
        for name in flat.names("listeners") or ["default"]:
            key = f"listeners.{name}"
            bind = flat.get(f"{key}.bind", "0.0.0.0:1883" if name == "default" else "")
            if not bind.value:
                continue
            secure = flat.get(f"{key}.ssl", flat.get("listeners.default.ssl", "off").value).on
            what = f"the listener {shown(name)} ({shown(flat.get(f'{key}.type', default_type).value)})"
            common.listens(
                traits, bind, what, secure=secure, write="ssl: on\ncertfile: server.crt\nkeyfile: server.key"
            )
            most = flat.get(
                f"{key}.max-connections", flat.get("listeners.default.max-connections", "-1").value
            )
            if not most.written:
                most = flat.get(f"{key}.max_connections", most.value)
            weak = most.number(-1) < 0
            said = f"{shown(name)} takes {'any number of' if weak else 'a bounded number of'} connections"
            traits.add("18", weak, said, most, write="max-connections: 1000" if weak else "")

    def _rights(self) -> None:
        flat, traits = self._flat, self._traits
        limited = self._has("TopicAccessControlListPlugin") or flat.get("topic-check.enabled", "off").on
        topics = list(
            flat.matching(
                r"(.*TopicAccessControlListPlugin|topic-check)\.((publish|subscribe|receive)[-_])?acl\..+"
            )
        )
        setting = topics[0] if topics else flat.get("topic-check.enabled", "off")
        others = [name for name in self._plugins if not name.startswith(_OURS)]
        if limited:
            traits.add("02", False, "what no rule allows is denied", setting)
        elif others:
            traits.add(
                "02",
                None,
                f"the plugin {shown(others[0])} may decide who does what",
                place=self._plugins[others[0]],
            )
        else:
            write = "plugins:\n  amqtt.plugins.topic_checking.TopicAccessControlListPlugin:\n    acl:\n      NAME: [devices/NAME/#]"
            traits.add("02", True, "no rules limit anybody", setting, write=write)
        wide = own = False
        for each in topics:
            user = each.key.split("acl.", 1)[1].rsplit(".", 1)[0]
            if is_everything(each.value) and not is_administrator(user):
                wide = True
                traits.add(
                    "05", True, f"the user {shown(user)} may use every topic", each, write="[devices/NAME/#]"
                )
            if each.value.startswith("$SYS") and not is_administrator(user):
                own = True
                traits.add("06", True, f"the user {shown(user)} may use {shown(each.value)}", each)
        if limited and not wide:
            traits.add("05", False, "no rule grants every topic to somebody who is no administrator")
        if not own:
            open_ = not limited and (self._has("BrokerSysPlugin") or not self._plugins)
            said = "$SYS is published and open to everybody" if open_ else "only administrators may use $SYS"
            traits.add("06", open_, said)

    def _passwords(self) -> None:
        named = self._option("FileAuthPlugin", "password_file") or self._flat.get("auth.password-file")
        if not named.written:
            return
        path = self._flat.path.parent / named.value
        self._traits.private(path, named)
        found = read_passwords(path, self._flat.reading, named.place)
        for user in found.users.values() if found else ():
            weak = user.kind in ("plain", "unknown")
            said = f"the password of {shown(user.user)} is kept as {user.kind}"
            self._traits.add("16", weak, said, place=user.place)
