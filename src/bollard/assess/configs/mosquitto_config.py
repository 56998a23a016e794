"""Mosquitto's listeners and limits as a bollard.toml, with a note for everything that is different.

Only what our own configuration knows is written; the rest of the directives is told in `_WITHOUT` or by a note.
"""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass

from bollard.assess.configs.adoption import Adoption, Kind, array, quoted
from bollard.assess.configs.mosquitto import Section
from bollard.assess.configs.mosquitto_effective import Listener, Mosquitto
from bollard.assess.configs.source import Setting, read_text, shown

_TLS_PORT = 8883
_HOST_NAME = re.compile(r"(?=[^a-zA-Z]*[a-zA-Z])[A-Za-z0-9]([A-Za-z0-9-]{0,62}\.?){0,8}")
#: As many listeners as our configuration takes.
MAX_LISTENERS = 64
#: The default of our own max_connect_bytes, which may not exceed max_packet_bytes.
MAX_CONNECT_BYTES = 65_536

#: Directives that have no counterpart because what they are for is done otherwise, and how.
_WITHOUT = {
    "allow_duplicate_messages": "a client gets each message once, as if false",
    "autosave_interval": "what is acknowledged is on disk already",
    "autosave_on_changes": "what is acknowledged is on disk already",
    "persistence": "what is acknowledged is always kept on disk",
    "retained_persistence": "what is acknowledged is always kept on disk",
    "persistence_file": "state lies in the state directory",
    "persistence_location": "state lies in the state directory",
    "check_retain_source": "the author's right is asked again at every delivery",
    "connection_messages": "the log level says what is logged",
    "log_dest": "the log goes to standard error; the service manager keeps it",
    "log_facility": "the log goes to standard error; the service manager keeps it",
    "log_timestamp": "every log line has its time",
    "log_timestamp_format": "every log line has its time",
    "queue_qos0_messages": "messages of QoS 0 are not queued for the absent",
    "set_tcp_nodelay": "always on",
    "upgrade_outgoing_qos": "the lower of both QoS counts",
    "user": "run the service as an unprivileged user",
    "pid_file": "the service manager knows the process",
    "memory_limit": "each bound is set under [limits]; let the service manager bound the process",
    "max_inflight_bytes": "bounded by max_inflight and max_outbox_bytes",
    "websockets_log_level": "the log level counts",
    "websockets_headers_size": "bounded by itself",
    "packet_buffer_size": "chosen by itself",
    "retry_interval": "messages are sent again when a client comes back, as MQTT says",
    "retain_expiry_interval": "publishers set the message expiry",
    "enable_control_api": "the command line administers",
    "packet_max_auth": "bounded by max_connect_bytes",
    "packet_max_connect": "bounded by max_connect_bytes",
    "packet_max_sub": "bounded by max_packet_bytes",
    "packet_max_simple": "bounded by the protocol",
    "allow_zero_length_clientid": "clients without an id get one, as MQTT says",
    "auto_id_prefix": "ids that are assigned are random",
    "listener_auto_id_prefix": "ids that are assigned are random",
    "cafile": "client certificates are those of our own device authority",
    "capath": "client certificates are those of our own device authority",
    "crlfile": "revocation ends sessions at once; no list is needed",
    "ciphers": "TLS 1.2 and 1.3 with forward secrecy only",
    "ciphers_tls1.3": "TLS 1.2 and 1.3 with forward secrecy only",
    "tls_version": "TLS 1.2 and 1.3 with forward secrecy only",
    "dhparamfile": "elliptic curves only",
    "max_topic_alias_broker": "the same bound counts both ways",
    "use_username_as_clientid": "a session belongs to identity and client id together",
    "socket_domain": "the address says whether it is IPv4 or IPv6",
    "global_max_clients": "bounded for each identity by max_sessions",
}
#: Directives that need a person, and what to do.
_BY_HAND = {
    "clientid_prefixes": "client ids are free here; who may connect is a matter of enrolment",
    "bind_interface": "bind to the address of that interface",
    "http_dir": "files are not served; use a web server",
    "mount_point": "topics get no prefix; write it into the rules and the clients",
    "tls_engine": "keys in hardware are not supported",
    "tls_engine_kpass_sha1": "keys in hardware are not supported",
    "tls_keyform": "keys in hardware are not supported",
    "accept_protocol_versions": "MQTT 3.1.1 and 5.0 are always both accepted",
    "enable_proxy_protocol": "the PROXY protocol is not supported; let clients connect directly",
    "proxy_protocol_v2_require_tls": "the PROXY protocol is not supported",
    "psk_hint": "pre-shared keys are not offered; clients get passwords or certificates",
}

_HEAD = """\
# Made by `bollard import` from {source} (Mosquitto {version}).
# Check it: bollard check --config bollard.toml
# What weakens the broker begins with allow_, is off, and is named at every start.

policy = "policy.toml"
"""


@dataclass(frozen=True, slots=True)
class _Limit:
    """How a directive becomes a key of [limits]: bounds as our configuration has them; 0 there is no limit."""

    key: str
    low: int
    high: int


_LIMITS = {
    "max_inflight_messages": _Limit("max_inflight", 1, 65_535),
    "max_queued_messages": _Limit("max_queue_messages", 1, 10**9),
    "max_queued_bytes": _Limit("max_queue_bytes", 1_024, 2**40),
    "max_keepalive": _Limit("keepalive_max_s", 1, 65_535),
    "persistent_client_expiration": _Limit("session_expiry_max_s", 1, 2**32 - 2),
    "max_packet_size": _Limit("max_packet_bytes", 64, 268_435_460),
    "message_size_limit": _Limit("max_packet_bytes", 64, 268_435_460),
    "global_max_connections": _Limit("max_connections", 1, 1_000_000),
}


class ConfigMaker:
    """Makes the configuration of `broker`, and notes in `adoption` what is different."""

    def __init__(self, broker: Mosquitto, adoption: Adoption) -> None:
        self._broker = broker
        self._adoption = adoption
        self._bound: set[str] = set()

    def make(self) -> None:
        """Write the configuration into the adoption."""
        head = _HEAD.format(source=shown(self._adoption.source), version=self._broker.version)
        blocks = [block for listener in self._broker.listeners for block in self._listener(listener)]
        if not self._bound:
            blocks.append(self._tls_block(_TLS_PORT, "0.0.0.0", "instead of what could not be carried over"))  # noqa: S104
        self._adoption.config = head + self._interval() + "".join(blocks) + self._log() + self._limits()
        self._say_rest()

    def _note(self, kind: Kind, text: str, setting: Setting | None = None) -> None:
        if setting is None:
            self._adoption.note(kind, text)
        else:
            self._adoption.note(kind, text, setting.place)

    def _interval(self) -> str:
        setting = self._broker.general.last("sys_interval")
        if setting is None:
            return ""
        seconds = setting.number()
        if not 0 <= seconds <= 86_400:
            return ""
        return f"sys_interval_s = {seconds}\n"

    def _listener(self, listener: Listener) -> Iterator[str]:
        place = listener.place
        if listener.protocol not in ("mqtt", "websockets"):
            text = (
                f"The listener {listener.name} serves {shown(listener.protocol)}; that is not carried over."
            )
            self._adoption.note(Kind.BY_HAND, text, place)
            return
        if listener.unix:
            yield self._block(listener, f"unix:{listener.address}", "")
            return
        host = self._host(listener)
        if listener.encrypted:
            yield self._encrypted(listener, host)
        elif listener.loopback:
            yield self._block(listener, _bind(host, listener.port), "allow_plaintext = true\n")
        else:
            yield from self._plain(listener, host)

    def _host(self, listener: Listener) -> str:
        if not listener.address:
            return "0.0.0.0"  # noqa: S104  # as the listener that it replaces
        if listener.address == "localhost":
            return "127.0.0.1"
        if _is_host(listener.address):
            return listener.address
        self._adoption.note(
            Kind.BY_HAND, f"{shown(listener.address)} is no address; all are used.", listener.place
        )
        return "0.0.0.0"  # noqa: S104

    def _encrypted(self, listener: Listener, host: str) -> str:
        if listener.certificate:
            text = (
                "Its own authority makes the server certificates here, and renews them. Give devices the new root, "
                "server-root.crt (bollard enroll writes it out), instead of the old one."
            )
            self._adoption.note(Kind.BY_HAND, text)
        if listener.mtls:
            text = "Client certificates are issued by Bollard's own device authority: enroll each device with --certificate. Certificates of the old authority are not accepted."
            self._adoption.note(Kind.BY_HAND, text, listener.place)
        return self._block(listener, _bind(host, listener.port), "")

    def _plain(self, listener: Listener, host: str) -> Iterator[str]:
        port = _TLS_PORT if listener.protocol == "mqtt" else _TLS_PORT + 1
        text = (
            f"The listener {listener.name} had no TLS: everybody on the way could read passwords and messages. It is on "
            f"port {port} with TLS now. Devices that cannot do TLS: see the commented listener in bollard.toml."
        )
        self._adoption.note(Kind.SAFER, text, listener.place)
        taken = any(
            other.encrypted and other.port == port and self._host(other) in (host, "0.0.0.0")  # noqa: S104
            for other in self._broker.listeners
        )
        if _bind(host, port) not in self._bound and not taken:
            yield self._block(listener, _bind(host, port), "")
        yield (
            "\n# For devices that cannot do TLS, from named networks only:\n# [[listener]]\n"
            f"# bind = {quoted(_bind(host, listener.port))}\n# allow_plaintext = true\n"
            '# allow_plaintext_from = ["192.168.1.0/24"]\n'
        )

    def _tls_block(self, port: int, host: str, why: str) -> str:
        return f"\n[[listener]]\nbind = {quoted(_bind(host, port))}  # {why}\n"

    def _block(self, listener: Listener, bind: str, more: str) -> str:
        if bind in self._bound:
            text = f"A second listener on {bind} was left out."
            self._adoption.note(Kind.CHANGED, text, listener.place)
            return ""
        if len(self._bound) >= MAX_LISTENERS:
            self._adoption.note(Kind.BY_HAND, f"{bind}: more listeners than there may be.", listener.place)
            return ""
        if bind.startswith("unix:") and (len(bind.encode()) > 108 or not bind.isprintable()):
            self._adoption.note(Kind.BY_HAND, f"{shown(bind)}: not a usable path.", listener.place)
            return ""
        self._bound.add(bind)
        text = f"\n[[listener]]  # {shown(str(listener.place))}\nbind = {quoted(bind)}\n{more}"
        if listener.protocol == "websockets":
            text += 'transport = "websocket"\n' + self._origins(listener)
        if listener.security.anonymous.on:
            text += 'allow_anonymous = true  # as "anonymous", which has what policy.toml grants it\n'
        return text

    def _origins(self, listener: Listener) -> str:
        origins = [
            each.value for each in listener.section.all("websockets_origin") if each.value.isprintable()
        ]
        if not origins:
            text = f"The WebSocket listener {listener.name} let web pages of any origin in. Name yours: origins = [...]"
            self._adoption.note(Kind.SAFER, text, listener.place)
            return '# origins = ["https://console.example"]   # web pages that may connect\n'
        return f"origins = {array(origins)}\n"

    def _log(self) -> str:
        types = {word for each in self._broker.general.all("log_type") for word in each.value.split(" ")}
        if not types:
            return ""
        level = "error"
        for name, words in (
            ("warning", "warning"),
            ("info", "notice information subscribe unsubscribe"),
            ("debug", "debug all internal websockets"),
        ):
            if types & set(words.split()):
                level = name
        if types == {"none"}:
            self._adoption.note(
                Kind.SAFER,
                "Nothing was logged; errors are now.",
                self._broker.general.all("log_type")[0].place,
            )
        return f'\n[log]\nlevel = "{level}"\n'

    def _limits(self) -> str:
        found: dict[str, str] = {}
        for directive, limit in _LIMITS.items():
            setting = self._broker.general.last(directive)
            if setting is not None:
                self._limit(setting, limit, found)
        self._listener_limits(found)
        retain = self._broker.general.last("retain_available")
        if retain is not None and not retain.on:
            found["retain_available"] = "false"
        return "\n[limits]\n" + "".join(f"{key} = {value}\n" for key, value in found.items()) if found else ""

    def _limit(self, setting: Setting, limit: _Limit, found: dict[str, str]) -> None:
        value = setting.number()
        if value <= 0:
            text = f"{setting.key} {setting.value} set no limit; {limit.key} has its default now, see docs/CONFIGURATION.md."
            self._note(Kind.SAFER, text, setting)
            return
        bounded = min(max(value, limit.low), limit.high)
        if bounded != value:
            self._note(
                Kind.CHANGED,
                f"{setting.key} {value} became {limit.key} {bounded}, the nearest that there is.",
                setting,
            )
        found[limit.key] = str(bounded)
        if limit.key == "max_packet_bytes" and bounded < MAX_CONNECT_BYTES:
            found["max_connect_bytes"] = str(bounded)

    def _listener_limits(self, found: dict[str, str]) -> None:
        """Limits that listeners had for themselves: the largest counts for all here, of QoS the lowest."""
        written = [each.section for each in self._broker.listeners]
        connections = _numbers(written, "max_connections")
        if connections and all(number > 0 for number in connections) and len(connections) == len(written):
            found.setdefault("max_connections", str(min(sum(connections), 1_000_000)))
        aliases = [number for number in _numbers(written, "max_topic_alias") if 0 <= number <= 65_535]
        if aliases:
            found["topic_alias_maximum"] = str(max(aliases))
        qos = [number for number in _numbers(written, "max_qos") if 0 <= number <= 2]
        if qos:
            found["maximum_qos"] = str(min(qos))
        for key, numbers in (
            ("max_topic_alias", aliases),
            ("max_qos", qos),
            ("max_connections", connections),
        ):
            if numbers and len(written) > 1:
                self._adoption.note(Kind.CHANGED, f"{key} counts for all listeners together here.")

    def _say_rest(self) -> None:
        for section in self._broker.file.sections:
            if section.kind == "bridge":
                text = f'The bridge "{shown(section.name)}" is not carried over: messages no longer go to or come from the other broker.'
                self._adoption.note(Kind.BY_HAND, text, section.place)
                continue
            for key, settings in section.settings.items():
                self._say(key, settings[-1])
        if any(listener.section.last("psk_hint") for listener in self._broker.listeners):
            self._adoption.note(Kind.BY_HAND, "Listeners with pre-shared keys have certificates now.")

    def _say(self, key: str, setting: Setting) -> None:
        if key in _WITHOUT:
            self._note(
                Kind.CHANGED, f"{key} has no counterpart: {_WITHOUT[key]}.{self._missing(setting)}", setting
            )
        elif _BY_HAND.get(key):
            self._note(
                Kind.BY_HAND, f"{key} {shown(setting.value)} is not carried over: {_BY_HAND[key]}.", setting
            )

    def _missing(self, setting: Setting) -> str:
        """A remark if `setting` names an authority's file that cannot be read: whom the old broker let in by it
        cannot be told from its own files either."""
        if setting.key != "cafile":
            return ""
        text, reason = read_text(self._broker.file.path.parent / setting.value)
        return "" if text is not None else f" {shown(setting.value)} could not be looked at: {reason}."


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST_NAME.fullmatch(text) is not None and not text.endswith((".", "-"))
    return "%" not in text


def _bind(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _numbers(sections: list[Section], key: str) -> list[int]:
    found = [section.last(key) for section in sections]
    return [setting.number() for setting in found if setting is not None]
