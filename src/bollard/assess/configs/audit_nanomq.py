"""The traits of a NanoMQ configuration, nanomq.conf with its includes."""

from pathlib import Path

from bollard.assess.configs import common
from bollard.assess.configs.hocon import read_hocon
from bollard.assess.configs.setup import Setup
from bollard.assess.configs.source import Setting, shown
from bollard.assess.configs.weak import is_administrator, is_everything

VERSIONS = ("0.21",)
_KINDS = {"tcp": False, "ssl": True, "ws": False, "wss": True}
_LARGE_MB = 16
_OLD = r"(listener|tls|websocket|broker|num_taskq_thread|max_packet_size|allow_anonymous).*"
KNOWN = (
    "auth.allow_anonymous", "auth.no_match", "auth.deny_action", "auth.cache.max_size", "listeners.tcp.bind",
    "listeners.ssl.bind", "listeners.ssl.keyfile", "listeners.ssl.certfile", "listeners.ssl.cacertfile",
    "listeners.ssl.verify_peer", "listeners.ssl.fail_if_no_peer_cert", "listeners.ws.bind", "listeners.wss.bind",
    "http_server.port", "http_server.ip_addr", "http_server.username", "http_server.password", "http_server.auth_type",
    "mqtt.max_packet_size", "mqtt.property_size", "mqtt.max_mqueue_len", "log.to", "log.level", "log.dir", "log.file",
)  # fmt: skip


def audit_nanomq(path: Path, version: str = "") -> Setup:
    """The traits of the nanomq.conf at `path`."""
    return _Reader(read_hocon(path), version or VERSIONS[0]).read()


class _Reader(common.FlatReader):
    def read(self) -> Setup:
        flat, traits = self._flat, self._traits
        traits.absent(
            "NanoMQ has no such setting",
            "03",
            "08",
            "09",
            "10",
            "12",
            "13",
            "14",
            "19",
            "20",
            "21",
            "24",
            "25",
        )
        traits.absent("there is no bridge", "15")
        traits.absent("no listener with TLS", "11")
        traits.absent("no rules are written", "05", "06")
        traits.absent("no passwords are written", "16")
        traits.absent("the files that it names are not on this machine", "17")
        self._entrance()
        for kind, secure in _KINDS.items():
            bind = flat.get(f"listeners.{kind}.bind")
            if bind.written and flat.get(f"listeners.{kind}.enable", "true").on:
                write = f'listeners.ssl.bind = "0.0.0.0:8883"\nlisteners.{kind}.bind = "127.0.0.1:1883"'
                common.listens(traits, bind, f"the listener {kind}", secure=secure, write=write)
                if secure:
                    self._tls(f"listeners.{kind}")
        traits.absent("no listener is written", "04")
        self._rules()
        self._bridges()
        self._limits()
        self._administration()
        common.secrets(traits, flat)
        common.key_files(traits, flat)
        for setting in list(flat.matching(_OLD))[:1]:
            if not flat.names("listeners"):
                traits.add("27", True, "this is the older format", setting)
                flat.reading.missed(setting.place, setting.key, "the older format of NanoMQ is not judged")
        flat.misspelt(KNOWN)
        common.finish(traits, flat)
        return self._setup("nanomq")

    def _entrance(self) -> None:
        flat, traits = self._flat, self._traits
        allowed = flat.get("auth.allow_anonymous", "true")
        said = f"clients without a name are {'let in' if allowed.on else 'refused'}"
        traits.add(
            "01", allowed.on, said, allowed, write="auth.allow_anonymous = false" if allowed.on else ""
        )
        match = flat.get("auth.no_match", "allow")
        weak = match.value == "allow"
        said = f"what no rule settles is {'allowed' if weak else 'denied'}"
        traits.add("02", weak, said, match, write="auth.no_match = deny" if weak else "")
        for name in flat.names("auth.password"):
            setting = flat.get(f"auth.password.{name}")
            hidden = Setting(f"auth.password.{name}", "(hidden)", setting.place)
            traits.add("16", True, f"the password of {shown(name)} is kept in the clear", hidden)

    def _tls(self, key: str) -> None:
        verify, required = (
            self._flat.get(f"{key}.{name}", "false") for name in ("verify_peer", "fail_if_no_peer_cert")
        )
        if verify.written or required.written or self._flat.get(f"{key}.cacertfile").written:
            both = verify.on and required.on
            write = f"{key}.verify_peer = true\n{key}.fail_if_no_peer_cert = true"
            said = f"the listener {'requires' if both else 'does not require'} a verified client certificate"
            self._traits.add(
                "11", not both, said, required if verify.on else verify, write="" if both else write
            )

    def _rules(self) -> None:
        flat, traits = self._flat, self._traits
        start = "auth.acl.rules" if flat.names("auth.acl.rules") else "auth.acl"
        numbers = [name for name in flat.names(start) if name.isdigit()]
        wide = own = False
        for number in numbers:
            key = f"{start}.{number}"
            permit = flat.get(f"{key}.permit")
            topics = [each.value for each in flat.matching(rf"{start}\.{number}\.topics\.\d+")]
            who = flat.get(f"{key}.username", flat.get(f"{key}.clientid", "#").value).value
            if permit.value != "allow" or is_administrator(who):
                continue
            if any(map(is_everything, topics)):
                wide = True
                traits.add("05", True, f"{_named(who)} may use every topic", permit)
            if not topics and who in ("#", "*"):
                traits.add(
                    "02", True, "a rule allows everybody everything", permit, write='{"permit": "deny"}'
                )
            if any(topic.startswith("$SYS") for topic in topics):
                own = True
                traits.add("06", True, f"{_named(who)} may use $SYS", permit)
        if numbers and not wide:
            traits.add("05", False, "no rule grants every topic")
        if numbers and not own:
            traits.add("06", False, "no rule grants $SYS")

    def _bridges(self) -> None:
        for setting in list(self._flat.matching(r"bridges\.mqtt\..+\.server")):
            name = setting.key.removesuffix(".server")
            secure = setting.value.startswith(("tls", "mqtts", "wss", "mqtt-quic"))
            trusted = bool(self._flat.get(f"{name}.ssl.cacertfile").value)
            said = (
                "verifies the server"
                if secure and trusted
                else "does not verify the server"
                if secure
                else "does not use TLS"
            )
            server = Setting(setting.key, setting.value.rpartition("@")[2], setting.place)
            self._traits.add("15", not (secure and trusted), f"the bridge {shown(name)} {said}", server)

    def _limits(self) -> None:
        packet = self._flat.get("mqtt.max_packet_size", "260MB")
        text = packet.value.upper().removesuffix("MB")
        weak = packet.value.upper().endswith("GB") or (
            text != packet.value.upper() and text.isdigit() and int(text[:9]) > _LARGE_MB
        )
        write = "mqtt.max_packet_size = 1MB" if weak else ""
        self._traits.add("18", weak, f"packets may have {shown(packet.value)}", packet, write=write)
        level = self._flat.get("log.level", "warn")
        weak = level.value in ("off", "none", "fatal")
        self._traits.add(
            "22",
            weak,
            f"the log level is {shown(level.value)}",
            level,
            write="log.level = warn" if weak else "",
        )

    def _administration(self) -> None:
        flat, traits = self._flat, self._traits
        if not flat.names("http_server"):
            traits.absent("there is no HTTP server", "07", "28")
            return
        name, secret = flat.get("http_server.username", "admin"), flat.get("http_server.password", "public")
        weak = name.value == "admin" and secret.value == "public"
        said = "the HTTP server opens with " + ("the vendor's password" if weak else "a password of your own")
        hidden = Setting(secret.key, "public" if weak else "(hidden)", secret.place)
        traits.add("07", weak, said, hidden, write="http_server.password = SOMETHING-ELSE" if weak else "")
        address, port = flat.get("http_server.ip_addr", "0.0.0.0"), flat.get("http_server.port", "8081")  # noqa: S104
        bind = Setting(
            address.key, f"{address.value}:{port.value}", address.place if address.written else port.place
        )
        common.administers(
            traits,
            bind,
            "the HTTP server",
            secure=False,
            login=True,
            write='http_server.ip_addr = "127.0.0.1"',
        )


def _named(who: str) -> str:
    return "everybody" if who in ("#", "*") else shown(who)
