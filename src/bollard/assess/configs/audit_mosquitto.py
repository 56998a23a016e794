"""The traits of a Mosquitto configuration: what is in effect, whether that is weak, and what to write instead."""

import shlex
from pathlib import Path

from bollard.assess.configs.mosquitto import Section
from bollard.assess.configs.mosquitto_access import AclRule
from bollard.assess.configs.mosquitto_effective import Listener, Mosquitto, Security
from bollard.assess.configs.mosquitto_keys import DIRECTIVES, HIDDEN
from bollard.assess.configs.setup import Setup, Traits
from bollard.assess.configs.source import Place, Setting, shown
from bollard.assess.configs.weak import is_administrator, is_everything, weak_ciphers
from bollard.assess.model import Severity

#: Below this many rounds PBKDF2 is quick to guess.
FEW_ROUNDS = 10_000
#: A client may stay silent this long and keep its place.
LONG_KEEPALIVE_S = 3_600

_DEPRECATED = (
    "acl_file",
    "password_file",
    "per_listener_settings",
    "port",
    "bind_address",
    "clientid_prefixes",
)
_EVERYBODY = "everybody"
_NOBODY = ""
_WEAK_TLS = ("tlsv1", "tlsv1.0", "tlsv1.1", "sslv3")


def audit_mosquitto(path: Path, version: str = "") -> Setup:
    """The traits of the mosquitto.conf at `path` with all that it names."""
    return _Reader(Mosquitto(path, version)).read()


class _Reader:
    def __init__(self, broker: Mosquitto) -> None:
        self._broker = broker
        self._folder = broker.file.path.parent
        self._traits = Traits(str(broker.file.path))
        self._add = self._traits.add

    def read(self) -> Setup:
        broker = self._broker
        seen: set[int] = set()
        for listener in broker.listeners:
            self._entrance(listener)
            self._tls(listener)
            self._binding(listener)
            self._administration(listener)
            security = listener.security
            if id(security.acl) not in seen or security.acl is None:
                self._rights(listener, security)
                seen.add(id(security.acl))
        self._passwords()
        self._bridges()
        self._files()
        self._limits()
        self._operation()
        self._sections()
        self._traits.unread(broker.reading.unread)
        self._traits.absent("Mosquitto has no such setting", "03", "07", "08", "09", "21")
        self._traits.absent("no listener asks for client certificates", "11", "13", "14")
        self._traits.absent("there is no bridge", "15")
        self._traits.absent("the files that it names are not on this machine", "16", "17")
        return self._traits.setup("mosquitto", broker.version, broker.reading.files, broker.reading.unread)

    def _entrance(self, listener: Listener) -> None:
        anonymous = listener.security.anonymous
        where = f"the listener {shown(listener.name)}"
        if anonymous.on:
            write = "allow_anonymous false\npassword_file /etc/mosquitto/passwords"
            mild = Severity.MEDIUM if listener.loopback else None
            self._add(
                "01", True, f"{where} lets in clients without a name", anonymous, write=write, severity=mild
            )
        else:
            self._add("01", False, f"{where} lets in nobody without a name", anonymous)
        if listener.loopback:
            self._add("04", False, f"{where} is for this machine only", place=listener.place)
        elif listener.encrypted:
            self._add("04", False, f"{where} speaks TLS", place=listener.place)
        else:
            write = "listener 8883\ncertfile /etc/mosquitto/certs/server.crt\nkeyfile /etc/mosquitto/certs/server.key"
            self._add("04", True, f"{where} speaks without TLS", place=listener.place, write=write)

    def _rights(self, listener: Listener, security: Security) -> None:
        where = f"the listener {shown(listener.name)}"
        if security.foreign_plugins:
            plugin = security.foreign_plugins[0]
            said = f"the plugin {shown(plugin.path)} may decide who does what; nothing is known of it here"
            self._add("02", None, said, place=plugin.place)
            self._add("29", True, said, place=plugin.place)
        elif not security.limits_topics:
            mild = Severity.MEDIUM if listener.loopback else None if security.anonymous.on else Severity.HIGH
            write = "acl_file /etc/mosquitto/acl\n# and in that file:\npattern readwrite devices/%u/#"
            said = f"no rules apply to {where}: everybody who is let in may do everything"
            self._add("02", True, said, place=listener.place, write=write, severity=mild)
            self._add(
                "06", True, f"no rules apply to {where}: $SYS/# is open", place=listener.place, write=write
            )
        elif security.acl is not None:
            self._add("02", False, f"what no rule allows on {where} is denied", security.acl_setting)
            self._acl(security)
        elif security.dynamic is not None:
            self._dynamic(security)

    def _acl(self, security: Security) -> None:
        acl = security.acl
        assert acl is not None
        groups: list[tuple[str, list[AclRule]]] = [(_EVERYBODY, acl.patterns), *acl.users.items()]
        if security.anonymous.on:
            groups.append((_NOBODY, acl.anonymous))
        wide = False
        own = False
        for who, rules in groups:
            for rule in (rule for rule in rules if not rule.denies):
                if is_everything(rule.topic) and not is_administrator(who):
                    wide = True
                    mild = (
                        Severity.MEDIUM if rules is not acl.patterns and rules is not acl.anonymous else None
                    )
                    said = f"{_named(who)} may {rule.access} every topic ({shown(rule.topic)})"
                    self._add("05", True, said, place=rule.place, write=_narrow(who), severity=mild)
                if rule.topic.startswith(("$SYS", "$CONTROL")) and not is_administrator(who):
                    own = True
                    said = f"{_named(who)} may {rule.access} {shown(rule.topic)}"
                    self._add("06", True, said, place=rule.place, write="# remove this line")
        if not wide:
            self._add(
                "05",
                False,
                "no rule grants every topic to somebody who is no administrator",
                security.acl_setting,
            )
        if not own:
            self._add("06", False, "only administrators may use $SYS and $CONTROL", security.acl_setting)

    def _dynamic(self, security: Security) -> None:
        dynamic = security.dynamic
        assert dynamic is not None
        place = Place(dynamic.path)
        for kind in ("publishClientSend", "subscribe"):
            allowed = dynamic.defaults[kind]
            said = f"by default {kind} is {'allowed' if allowed else 'denied'}"
            write = f"mosquitto_ctrl dynsec setDefaultACLAccess {kind} deny"
            self._add("02", allowed, said, place=place, write=write if allowed else "")
        wide = False
        for user in ["", *dynamic.clients]:
            for rule in dynamic.rules(user):
                if (
                    rule.allow
                    and is_everything(rule.topic)
                    and not is_administrator(user)
                    and rule.kind[:2] != "un"
                ):
                    wide = True
                    self._add(
                        "05",
                        True,
                        f"{_named(user)} has {rule.kind} on {rule.topic}",
                        place=place,
                    )
        if not wide:
            self._add(
                "05", False, "no role grants every topic to somebody who is no administrator", place=place
            )

    def _tls(self, listener: Listener) -> None:
        if not listener.certificate:
            return
        name = shown(listener.name)
        version = listener.get("tls_version")
        weak = version.value.lower() in _WEAK_TLS
        self._add(
            "10", weak, f"{name} takes {version.value}", version, write="tls_version tlsv1.2" if weak else ""
        )
        ciphers = listener.section.last("ciphers")
        found = weak_ciphers(ciphers.value) if ciphers else []
        if found:
            write = "ciphers ECDHE+AESGCM:ECDHE+CHACHA20"
            self._add("10", True, f"{name} takes weak suites ({', '.join(found)})", ciphers, write=write)
        authority = listener.section.last("cafile") or listener.section.last("capath")
        required = listener.get("require_certificate")
        if authority:
            weak = not required.on
            setting = required if required.written else authority
            said = f"{name} {'asks for no' if weak else 'requires a'} client certificate"
            self._add("11", weak, said, setting, write="require_certificate true" if weak else "")
        if not listener.mtls:
            return
        crl = listener.section.last("crlfile")
        said = f"{name} {'checks a revocation list' if crl else 'checks no revocation list'}"
        self._add(
            "13",
            crl is None,
            said,
            crl or required,
            write="" if crl else "crlfile /etc/mosquitto/revoked.pem",
        )
        dates = listener.get("disable_client_cert_date_checks")
        write = "# remove this line" if dates.on else ""
        said = f"{name} {'does not check' if dates.on else 'checks'} the dates of certificates"
        self._add("14", dates.on, said, dates, write=write)

    def _binding(self, listener: Listener) -> None:
        name = shown(listener.name)
        if listener.mtls:
            named = listener.named_by_certificate
            said = f"on {name} the certificate {'names the client' if named else 'does not name the client'}"
            write = "" if named else "use_identity_as_username true"
            self._add("12", named is None, said, named or listener.get("require_certificate"), write=write)
        elif listener.security.authenticates:
            bound = listener.get("use_username_as_clientid")
            said = f"on {name} a client id {'is the user name' if bound.on else 'is free to choose'}"
            write = "" if bound.on else "use_username_as_clientid true"
            self._add("12", not bound.on, said, bound, write=write)

    def _administration(self, listener: Listener) -> None:
        name = shown(listener.name)
        if listener.protocol == "http_api":
            weak = not listener.loopback
            write = f"listener {listener.port} 127.0.0.1\nprotocol http_api" if weak else ""
            self._add("28", weak, f"{name} serves the HTTP API", listener.get("protocol"), write=write)
        else:
            self._add("28", False, f"{name} serves MQTT only", place=listener.place)
        proxy = listener.section.last("enable_proxy_protocol")
        if proxy is not None:
            weak = not listener.loopback
            write = f"listener {listener.port} 127.0.0.1" if weak else ""
            self._add(
                "25", weak, f"{name} believes the PROXY protocol of whoever connects", proxy, write=write
            )
        else:
            self._add("25", False, f"{name} takes addresses from the connection", place=listener.place)

    def _passwords(self) -> None:
        for security in {
            id(each.security.passwords): each.security for each in self._broker.listeners
        }.values():
            passwords = security.passwords
            for user in passwords.users.values() if passwords else ():
                file = shown(passwords.path if passwords else "")
                write = shlex.join(("mosquitto_passwd", file, shown(user.user)))
                if user.kind in ("plain", "unknown"):
                    self._add(
                        "16",
                        True,
                        f"the password of {shown(user.user)} is kept as {user.kind}",
                        place=user.place,
                        write=write,
                    )
                elif user.kind == "sha512" or (user.kind == "pbkdf2" and user.iterations < FEW_ROUNDS):
                    said = (
                        f"the password of {shown(user.user)} is hashed {user.iterations} times by {user.kind}"
                    )
                    mild = Severity.MEDIUM if user.kind == "sha512" else Severity.LOW
                    self._add("16", True, said, place=user.place, write=write, severity=mild)
                else:
                    self._add(
                        "16",
                        False,
                        f"the password of {shown(user.user)} is kept as {user.kind}",
                        place=user.place,
                    )

    def _bridges(self) -> None:
        for bridge in self._broker.bridges:
            name = shown(bridge.name)
            insecure = bridge.last("bridge_insecure")
            trust = next((bridge.last(key) for key in _BRIDGE_TRUST if bridge.last(key)), None)
            if insecure is not None and insecure.on:
                self._add(
                    "15",
                    True,
                    f"the bridge {name} does not verify the name of the server",
                    insecure,
                    write="bridge_insecure false",
                )
            elif trust is None or trust.value == "false":
                write = "bridge_cafile /etc/mosquitto/ca.crt"
                self._add("15", True, f"the bridge {name} does not use TLS", place=bridge.place, write=write)
            else:
                self._add("15", False, f"the bridge {name} verifies the server", trust)

    def _files(self) -> None:
        for section in self._broker.file.sections:
            for key in ("keyfile", "password_file", "psk_file", "bridge_keyfile"):
                for setting in section.all(key):
                    self._traits.private(self._folder / setting.value, setting)
            for plugin in section.plugins:
                option = plugin.options.get("config_file")
                if option is not None and option.value != HIDDEN:
                    self._traits.private(self._folder / option.value, option)

    def _limits(self) -> None:
        get = self._broker.get
        packet = get("max_packet_size")
        size = (
            packet if packet.number() or not get("message_size_limit").number() else get("message_size_limit")
        )
        self._bound(
            size, size.number() == 0, "packets may be as large as MQTT allows", "max_packet_size 1048576"
        )
        keepalive = get("max_keepalive")
        long = not 0 < keepalive.number() <= LONG_KEEPALIVE_S
        self._bound(keepalive, long, "silent clients keep their place for hours", "max_keepalive 3600")
        queued, messages = get("max_queued_bytes"), get("max_queued_messages")
        self._bound(
            messages,
            messages.number() == 0 == queued.number(),
            "queues have no bound",
            "max_queued_messages 1000",
        )
        total = self._broker.general.last("global_max_connections")
        for listener in self._broker.listeners:
            most = listener.get("max_connections")
            open_ = most.number(-1) < 0 and total is None and not listener.loopback
            self._bound(
                most, open_, f"{shown(listener.name)} takes any number of connections", "max_connections 1000"
            )
        expiry = self._broker.general.last("persistent_client_expiration")
        said = "sessions end some time after the client has left" if expiry else "sessions are kept for ever"
        self._add(
            "20", expiry is None, said, expiry, write="" if expiry else "persistent_client_expiration 14d"
        )

    def _bound(self, setting: Setting, weak: bool, said: str, write: str) -> None:
        self._add(
            "18", weak, said if weak else f"{setting.key} is bounded", setting, write=write if weak else ""
        )

    def _operation(self) -> None:
        get = self._broker.get
        retain = get("check_retain_source")
        write = "" if retain.on else "check_retain_source true"
        self._add(
            "19",
            not retain.on,
            "the author of a retained message is " + ("checked" if retain.on else "not checked"),
            retain,
            write=write,
        )
        user = get("user")
        self._add(
            "24",
            user.value == "root",
            f"it runs as {shown(user.value)}",
            user,
            write="user mosquitto" if user.value == "root" else "",
        )
        silent = [
            each
            for key in ("log_type", "log_dest")
            for each in self._broker.general.all(key)
            if each.value == "none"
        ]
        quiet = self._broker.general.last("connection_messages")
        if quiet is not None and not quiet.on:
            silent.append(quiet)
        for setting in silent:
            write = (
                "connection_messages true"
                if setting is quiet
                else "# remove this line\nlog_type error\nlog_type notice"
            )
            self._add(
                "22",
                True,
                f"{setting.key} {setting.value} leaves out who comes and goes",
                setting,
                write=write,
            )
        if not silent:
            self._add("22", False, "connections and errors are logged", self._broker.general.last("log_type"))

    def _sections(self) -> None:
        secret = False
        for section in self._broker.file.sections:
            options = [option for plugin in section.plugins for option in plugin.options.values()]
            for setting in [*(each for found in section.settings.values() for each in found), *options]:
                if setting.value == HIDDEN:
                    secret = True
                    self._add("23", True, f"{setting.key} stands in the file", setting)
            self._repeated(section)
            for key in _DEPRECATED:
                found = section.last(key)
                if found is not None:
                    self._add("27", True, f"{key} will go away", found)
        if not secret:
            self._add("23", False, "no secret stands in the file")

    def _repeated(self, section: Section) -> None:
        for key, found in section.settings.items():
            if len(found) > 1 and key in DIRECTIVES and not DIRECTIVES[key].many:
                said = f"{key} stands {len(found)} times in one place; the last one, {shown(found[-1].value)}, counts"
                self._add("26", True, said, found[0], write="# remove this line")


_BRIDGE_TRUST = ("bridge_cafile", "bridge_capath", "bridge_tls_use_os_certs", "bridge_psk")


def _named(who: str) -> str:
    return who if who == _EVERYBODY else f"the user {shown(who)}" if who else "a client without a name"


def _narrow(who: str) -> str:
    """What to write in place of a rule that grants everything."""
    return "pattern readwrite devices/%u/#" if who == _EVERYBODY else "topic readwrite devices/NAME/#"
