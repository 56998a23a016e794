"""Mosquitto's access rules as a policy of ours: who could do what still can, as far as the language goes.

Mosquitto knows read and write. Write becomes publish, retain and will; read becomes subscribe. A user's own rules
become a grant and a deny, patterns become the template that every enrolled identity has. Where one user's rules
differ between listeners nobody can say which are meant, so none are carried over. What could not be carried over
is never wider here: it is left out and told.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from bollard.assess.configs import mosquitto_roles
from bollard.assess.configs.adoption import Access, Adoption, Enrolment, Kind, Names, array, quoted
from bollard.assess.configs.dynsec import DynamicSecurity
from bollard.assess.configs.mosquitto_access import NOTHING, AclFile, AclRule
from bollard.assess.configs.mosquitto_effective import Mosquitto, Security
from bollard.assess.configs.source import Place, shown
from bollard.base.errors import LocalError, PeerError
from bollard.base.types import ANONYMOUS, Secret
from bollard.identity.passwords import check_stored
from bollard.policy.model import ID
from bollard.policy.space import overlap
from bollard.wire.topics import check_filter

MAX_USERS = 20_000

#: A client without a name, among names of users.
_NOBODY = ""

_HEAD = """\
# Who may do what. Made by `bollard import` from {source}.
# Everything that no rule here grants is denied; a deny wins over everything that grants.
# Look before you change it: bollard policy check. Ask why: bollard why NAME publish TOPIC

version = 1
"""


@dataclass(slots=True)
class Realm:
    """Users to whom the same access rules apply, whichever listener they come by."""

    acl: AclFile | None
    dynamic: DynamicSecurity | None
    open: bool
    users: dict[str, None] = field(default_factory=dict)
    anonymous: bool = False

    @property
    def key(self) -> tuple[str, str, bool]:
        return (self.acl.path if self.acl else "", self.dynamic.path if self.dynamic else "", self.open)


class PolicyMaker:
    """Makes the policy of `broker`, and notes in `adoption` what is different."""

    def __init__(self, broker: Mosquitto, adoption: Adoption, *, passwords: bool) -> None:
        """`passwords` says whether those that can be carried over are."""
        self._broker = broker
        self._adoption = adoption
        self._passwords = passwords
        self._realms = self._find_realms()
        users = sorted({user for realm in self._realms for user in realm.users})
        if len(users) > MAX_USERS:
            adoption.note(Kind.BY_HAND, f"More than {MAX_USERS:,} users: only the first are carried over.")
        self._users = users[:MAX_USERS]
        self._names = Names(self._users)
        self._template = Access()
        self._personal: dict[str, Access] = {}
        self._groups: list[tuple[str, Access, list[str]]] = []
        self._pattern_denies = Access()

    def make(self) -> None:
        """Write the policy and the list of enrolments into the adoption."""
        for user in self._users:
            identity = self._names.identity(user)
            if identity != user:
                text = f'The user "{shown(user)}" is called {identity} here: names may hold letters, digits, - _ and full stops.'
                self._adoption.note(Kind.CHANGED, text)
        for number, realm in enumerate(self._realms, 1):
            self._realm(realm, number)
        self._adoption.policy = self._text()
        self._enrol()

    def _find_realms(self) -> list[Realm]:
        found: dict[tuple[str, str, bool], Realm] = {}
        for listener in self._broker.listeners:
            security = listener.security
            realm = _realm_of(security)
            realm = found.setdefault(realm.key, realm)
            for user in _users(security):
                if _is_usable(user):
                    realm.users[user] = None
                else:
                    text = f'The user "{shown(user)}" has a wildcard in its name, with which Mosquitto refuses it every pattern. Choose another name, and write its rules by hand.'
                    self._adoption.note(Kind.BY_HAND, text)
            realm.anonymous = realm.anonymous or security.anonymous.on
            self._tell_about_plugins(security)
        return list(found.values())

    def _tell_about_plugins(self, security: Security) -> None:
        for plugin in security.foreign_plugins:
            text = f"The plugin {shown(plugin.path)} may decide who connects and what they do; nothing of that is carried over."
            self._adoption.note(Kind.BY_HAND, text, plugin.place)
        if security.acl is None and security.acl_setting is not None:
            text = "The ACL file could not be read, so nothing is granted by it."
            self._adoption.note(Kind.BY_HAND, text, security.acl_setting.place)

    def _realm(self, realm: Realm, number: int) -> None:
        everyone = Access()
        if realm.open:
            self._open(realm, everyone)
        elif realm.dynamic is not None:
            mosquitto_roles.convert(realm.dynamic, realm.anonymous, self._adoption, self._give)
        elif realm.acl is not None:
            self._acl(realm, realm.acl, everyone)
        if len(self._realms) == 1:
            self._template = everyone
        elif everyone != Access():
            members = [self._names.identity(user) for user in realm.users if self._only_realm(user, realm)]
            self._groups.append((f"listener-{number}", everyone, members))

    def _only_realm(self, user: str, realm: Realm) -> bool:
        """Do just the rules of `realm` apply to `user`? If not, that is told, and none do."""
        if sum(user in each.users for each in self._realms) == 1:
            return True
        text = f'The user "{shown(user)}" has different rules on different listeners; a policy has one for all, so none were carried over.'
        self._adoption.note(Kind.BY_HAND, text)
        return False

    def _open(self, realm: Realm, everyone: Access) -> None:
        everyone.publish.append("#")
        everyone.subscribe += ["#", "$SYS/#"]
        text = "No ACL file limits anybody, so everybody may still read and write everything. Narrow the rights in policy.toml."
        self._adoption.note(Kind.BY_HAND, text)
        if realm.anonymous and self._only_anonymous_realm():
            self._give(_NOBODY, Access(["#"], ["#", "$SYS/#"]))

    def _only_anonymous_realm(self) -> bool:
        if sum(each.anonymous for each in self._realms) == 1:
            return True
        text = "Clients without a name have different rules on different listeners; none were carried over."
        self._adoption.note(Kind.BY_HAND, text)
        return False

    def _acl(self, realm: Realm, acl: AclFile, everyone: Access) -> None:
        mixed = self._by_client_id(acl)
        for rule in acl.patterns:
            self._pattern(rule, realm, acl, everyone, mixed)
        for user, rules in acl.users.items():
            if user in realm.users and self._only_realm(user, realm):
                self._give(user, self._own(rules))
        self._anonymous(realm, acl)
        self._tell_about_order(acl)

    def _own(self, rules: Iterable[AclRule]) -> Access:
        """A user's own rules: %u and %c mean nothing in them."""
        found = Access()
        for rule in rules:
            if self._sayable(rule.topic, rule.place):
                _put(found, rule, rule.topic)
        return found

    def _sayable(self, topic: str, place: Place) -> bool:
        """Can the policy language say `topic`? If not, that is told."""
        if topic.startswith("$CONTROL"):
            self._adoption.note(
                Kind.CHANGED,
                f"{shown(topic)}: there is no $CONTROL here; the command line administers.",
                place,
            )
            return False
        if topic.startswith("$share/"):
            self._adoption.note(
                Kind.CHANGED,
                f"{shown(topic)} matches no message; a shared subscription needs the right to its inner filter.",
                place,
            )
            return False
        if "${" in topic or not topic.isprintable():
            self._adoption.note(Kind.BY_HAND, f"{shown(topic)} cannot be written in a policy.", place)
            return False
        return True

    def _by_client_id(self, acl: AclFile) -> bool:
        """Tell about patterns with the client id, which anybody can choose. Returns whether there are any."""
        with_client = [rule for rule in acl.patterns if "%c" in rule.topic]
        same = all(each.get("use_username_as_clientid").on for each in self._broker.listeners)
        if with_client and not same:
            text = (
                "%c, the client id that a client chooses itself, became ${id}, the name it is enrolled with: nobody can "
                "take another's topics by calling himself so. Clients whose client id is not their user name use other "
                "topics now, or need a grant."
            )
            self._adoption.note(Kind.SAFER, text, with_client[0].place)
        return bool(with_client)

    def _pattern(self, rule: AclRule, realm: Realm, acl: AclFile, everyone: Access, mixed: bool) -> None:
        if not self._sayable(rule.topic, rule.place):
            return
        levels = [ID if level in ("%u", "%c") else level for level in rule.topic.split("/")]
        if not any("%u" in level or "%c" in level for level in levels):
            if rule.denies:
                _put(self._pattern_denies, rule, "/".join(levels))
            else:
                _put(everyone, rule, "/".join(levels))
        else:
            text = f"{shown(rule.topic)}: a variable fills a whole level here, so there is one rule for each user that is known now; later ones need theirs."
            self._adoption.note(Kind.CHANGED, text, rule.place)
        for user in realm.users:
            spelled = rule.topic.replace("%u", user).replace("%c", user)
            if self._needs_own(user, rule, levels) and _is_filter(spelled) and self._only_realm(user, realm):
                personal = Access()
                _put(personal, rule, spelled)
                self._give(user, personal)

    def _needs_own(self, user: str, rule: AclRule, levels: Sequence[str]) -> bool:
        """Must the pattern be spelled out for `user`, since ${id} does not say it?"""
        if not user.isprintable() or "${" in user:
            return False
        partly = any("%u" in level or "%c" in level for level in levels)
        return partly or (ID in levels and self._names.identity(user) != user)

    def _anonymous(self, realm: Realm, acl: AclFile) -> None:
        if not realm.anonymous:
            if acl.anonymous:
                text = "Rules before the first user are for clients without a name, whom no listener lets in; they were left out."
                self._adoption.note(Kind.CHANGED, text, acl.anonymous[0].place)
            return
        if not self._only_anonymous_realm():
            return
        self._give(_NOBODY, self._own(acl.anonymous))
        for rule in acl.patterns:
            if "%c" in rule.topic:
                text = f"{shown(rule.topic)}: clients without a name had topics by their client id. They have none here, as anybody could take them: enroll them."
                self._adoption.note(Kind.BY_HAND, text, rule.place)
            elif "%u" not in rule.topic and not rule.denies:
                self._give(_NOBODY, self._own([rule]))

    def _tell_about_order(self, acl: AclFile) -> None:
        """In Mosquitto a user's own allow comes before a pattern's deny; here the deny wins."""
        denied = [rule for rule in acl.patterns if rule.denies]
        for user, rules in [(_NOBODY, acl.anonymous), *acl.users.items()]:
            for own in (rule for rule in rules if not rule.denies):
                for deny in denied:
                    pattern = deny.topic.replace("%u", user).replace("%c", user)
                    if overlap([tuple(pattern.split("/"))], [tuple(own.topic.split("/"))]):
                        text = f'"{shown(user)}" could use topics of {shown(own.topic)} in spite of the pattern deny {shown(deny.topic)}; here the deny wins.'
                        self._adoption.note(Kind.SAFER, text, own.place)

    def _give(self, user: str, access: Access) -> None:
        if not _is_usable(user):
            return
        self._personal.setdefault(user, Access()).add(access)

    def _text(self) -> str:
        return _HEAD.format(source=shown(self._adoption.source)) + "".join(self._tables())

    def _tables(self) -> Iterator[str]:
        yield "\n# What `bollard enroll NAME` gives: what applied to everybody.\n"
        yield _table("template.device", "", self._template)
        for name, access, members in self._groups:
            yield "\n# What applied to everybody on one of the listeners.\n"
            yield _table(f"template.{name}", "", access)
            yield f"\n[group.{name}]\nmembers = {array(members)}\napply = [{quoted(name)}]\n"
        for user, access in sorted(self._personal.items()):
            identity = self._names.identity(user) if user else ANONYMOUS
            yield _rules(identity, quoted(identity), access)
        name = "patterns"
        while name in map(self._names.identity, self._users):
            name += "-"
        yield _rules(name, '"*"', self._pattern_denies)

    def _enrol(self) -> None:
        certificates = any(listener.named_by_certificate for listener in self._broker.listeners)
        dynamic = {
            user: each
            for realm in self._realms
            if realm.dynamic
            for user, each in realm.dynamic.clients.items()
        }
        for user in self._users:
            identity = self._names.identity(user)
            reason = _why_enrol(user, self._realms, self._broker)
            if user in dynamic and dynamic[user].disabled:
                self._adoption.note(Kind.CHANGED, f'"{shown(user)}" is disabled, so it needs no enrolment.')
                continue
            kind = "certificate" if certificates and not reason else "password"
            reason = reason or "known by its certificate, or by an authority that this broker does not know"
            hashes = _hashes(user, self._broker) if kind == "password" else set()
            stored = _usable(hashes)
            if stored and not self._passwords:
                stored, reason = NOTHING, "no passwords were to be carried over"
            elif stored and identity != user:
                stored = NOTHING
                reason = "a password is carried over only under the same name, and this name had to change"
            elif len(hashes) > 1:
                reason = "it has different passwords on different listeners, so it gets a new one"
            self._adoption.enrolments.append(Enrolment(identity, user, kind, reason, stored))


def _is_usable(user: str) -> bool:
    """May patterns apply to `user`? Attack: a name such as "+", which would stand for every name in them."""
    return "+" not in user and "#" not in user


def _realm_of(security: Security) -> Realm:
    unlimited = not security.limits_topics and not security.foreign_plugins
    return Realm(security.acl, security.dynamic, unlimited)


def _users(security: Security) -> list[str]:
    found: dict[str, None] = {}
    for names in (
        security.passwords.users if security.passwords else (),
        security.psk or (),
        security.dynamic.clients if security.dynamic else (),
        security.acl.users if security.acl else (),
    ):
        found.update((name, None) for name in names if name)
    return list(found)


def _why_enrol(user: str, realms: Sequence[Realm], broker: Mosquitto) -> str:
    """How `user` proved itself until now, "" if no file says."""
    for listener in broker.listeners:
        security = listener.security
        if security.passwords and user in security.passwords.users:
            kind = security.passwords.users[user].kind
            return f"its password is kept as {kind}, in a form or at a cost that is not carried over, so it gets a new one"
        if security.dynamic and user in security.dynamic.clients:
            return "its password in the dynamic security file cannot be carried over, so it gets a new one"
        if security.psk and user in security.psk:
            return "it used a pre-shared key, which is not offered here"
    return ""


def _hashes(user: str, broker: Mosquitto) -> set[bytes]:
    """The hashes of the password of `user` on all listeners."""
    found: set[bytes] = set()
    for listener in broker.listeners:
        security = listener.security
        if security.passwords and user in security.passwords.users:
            found.add(security.passwords.users[user].stored.reveal())
        if security.dynamic and user in security.dynamic.clients:
            found.add(security.dynamic.clients[user].stored.reveal())
    return found


def _usable(hashes: set[bytes]) -> Secret:
    """The one of `hashes`, if it can be checked here."""
    if len(hashes) != 1:
        return NOTHING
    (stored,) = hashes
    try:
        check_stored(stored.decode())
    except (LocalError, UnicodeDecodeError):
        return NOTHING
    return Secret(stored)


def _put(access: Access, rule: AclRule, topic: str) -> None:
    if rule.denies:
        access.add(Access(deny_publish=[topic], deny_subscribe=[topic]))
    else:
        access.add(Access([topic] if rule.writes else [], [topic] if rule.reads else []))


def _is_filter(text: str) -> bool:
    try:
        check_filter(text)
    except PeerError:
        return False
    return True


def _table(name: str, who: str, access: Access) -> str:
    lines = [f"[{name}]"] + ([f"who = {who}"] if who else [])
    for right in ("publish", "retain", "will"):
        if access.publish:
            lines.append(f"{right} = {array(access.publish)}")
    if access.subscribe:
        lines.append(f"subscribe = {array(access.subscribe)}")
    return "\n".join(lines) + "\n"


def _rules(name: str, who: str, access: Access) -> str:
    """The grant and the deny called `name`, as far as they hold anything."""
    text = ""
    key = name if "." not in name else quoted(name)
    if access.publish or access.subscribe:
        text += "\n" + _table(f"grant.{key}", who, access)
    if access.deny_publish or access.deny_subscribe:
        text += f"\n[deny.{key}]\nwho = {who}\n"
        text += f"publish = {array(access.deny_publish)}\n" if access.deny_publish else ""
        text += f"subscribe = {array(access.deny_subscribe)}\n" if access.deny_subscribe else ""
    return text
