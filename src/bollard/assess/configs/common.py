"""Judgements that the readers of several products make in the same way."""

import re
from pathlib import Path

from bollard.assess.configs.flat import Flat
from bollard.assess.configs.mosquitto_access import AclFile
from bollard.assess.configs.setup import Setup, Traits
from bollard.assess.configs.source import Place, Setting, shown
from bollard.assess.configs.weak import host_and_port, is_administrator, is_everything, is_loopback
from bollard.assess.model import Severity

_SECRET = re.compile(
    r"(.*[._-])?(password|passwd|default_pass|secret|token|passphrase|api_key|bearer)", re.IGNORECASE
)
#: Values that name a secret elsewhere rather than being one.
_ELSEWHERE = re.compile(r"file://.*|\$\{.*\}|\$[A-Z_]+|encrypted:.*|", re.IGNORECASE)


class FlatReader:
    """What the readers of products with flat settings share: the settings, the version whose defaults
    count, and the traits that they gather."""

    def __init__(self, flat: Flat, version: str) -> None:
        self._flat = flat
        self._version = version
        self._traits = Traits(str(flat.path))

    def _setup(self, product: str) -> Setup:
        """What was gathered, with the files that were read and what in them was not understood."""
        reading = self._flat.reading
        return self._traits.setup(product, self._version, reading.files, reading.unread)


def listens(traits: Traits, setting: Setting, what: str, *, secure: bool, write: str) -> None:
    """Whether a listener that `setting` binds speaks without TLS to other machines."""
    host, port = host_and_port(setting.value)
    name = f"{what} on {shown(host) or 'every address'}, port {shown(port)}"
    if secure:
        traits.add("04", False, f"{name}, speaks TLS", setting)
    elif is_loopback(host):
        traits.add("04", False, f"{name}, is for this machine only", setting)
    else:
        traits.add("04", True, f"{name}, speaks without TLS", setting, write=write)


def administers(
    traits: Traits, setting: Setting, what: str, *, secure: bool, login: bool, write: str
) -> None:
    """Whether administration can be reached from elsewhere, without TLS or without a login."""
    host, _ = host_and_port(setting.value)
    if is_loopback(host):
        traits.add("28", False, f"{what} is for this machine only", setting)
        return
    missing = " and ".join(name for name, there in (("TLS", secure), ("a login", login)) if not there)
    said = f"{what} can be reached from elsewhere" + (f", without {missing}" if missing else "")
    traits.add("28", True, said, setting, write=write, severity=None if missing else Severity.MEDIUM)


def secrets(traits: Traits, flat: Flat) -> None:
    """Passwords and the like that stand in the file itself. Their values go nowhere."""
    found = [
        setting
        for setting in flat.settings.values()
        if _SECRET.fullmatch(setting.key) and not _ELSEWHERE.fullmatch(setting.value)
    ]
    for setting in found:
        hidden = Setting(setting.key, "(hidden)", setting.place)
        traits.add("23", True, f"{shown(setting.key)} stands in the file", hidden)
    if not found:
        traits.add("23", False, "no password stands in the file")


def rules(traits: Traits, acl: AclFile, anonymous: bool) -> None:
    """Rules of an ACL file of Mosquitto's form: who may use everything, who the broker's own topics."""
    wide = own = False
    groups = [
        ("everybody", acl.patterns),
        *((f"the user {shown(user)}", each) for user, each in acl.users.items()),
    ]
    if anonymous:
        groups.append(("a client without a name", acl.anonymous))
    for who, found in groups:
        for rule in found:
            if rule.denies or is_administrator(who):
                continue
            if is_everything(rule.topic):
                wide = True
                write = "pattern readwrite devices/%u/#"
                traits.add("05", True, f"{who} may {rule.access} every topic", place=rule.place, write=write)
            if rule.topic.startswith("$"):
                own = True
                traits.add("06", True, f"{who} may {rule.access} {shown(rule.topic)}", place=rule.place)
    if not wide:
        traits.add("05", False, "no rule grants every topic to somebody who is no administrator")
    if not own:
        traits.add("06", False, "only administrators may use topics of the broker itself")


def key_files(traits: Traits, flat: Flat) -> None:
    """Key files that the settings name."""
    for setting in flat.matching(r"(.*[._])?keyfile"):
        traits.private(flat.path.parent / setting.value, setting)


def finish(traits: Traits, flat: Flat) -> None:
    """Repeated settings, and everything that was not understood."""
    for old in flat.repeated:
        traits.add(
            "26", True, f"{shown(old.key)} stands more than once; the last one counts", place=old.place
        )
    traits.unread(flat.reading.unread)


def beside(flat: Flat, name: str, reason: str) -> None:
    """List a file beside the configuration that also counts and is not read."""
    other = flat.path.parent / name
    if _exists(other):
        flat.reading.missed(Place(str(flat.path)), str(other), reason)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
