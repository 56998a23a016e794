"""The traits of RabbitMQ with its MQTT plugin: rabbitmq.conf. Permissions live in its database, not in files."""

from pathlib import Path

from bollard.assess.configs import common
from bollard.assess.configs.cuttlefish import read_cuttlefish
from bollard.assess.configs.setup import Setup
from bollard.assess.configs.source import Setting, shown
from bollard.assess.configs.weak import weak_ciphers

VERSIONS = ("3.13", "4.0")
_MIB = 1_048_576
_LARGE = 16 * _MIB
KNOWN = (
    "mqtt.allow_anonymous", "anonymous_login_user", "anonymous_login_pass", "mqtt.listeners.tcp.default",
    "mqtt.listeners.ssl.default", "mqtt.listeners.tcp", "mqtt.listeners.ssl", "mqtt.ssl_cert_login",
    "mqtt.ssl_cert_client_id_from", "mqtt.max_session_expiry_interval_seconds", "mqtt.max_packet_size_authenticated",
    "mqtt.max_packet_size_unauthenticated", "mqtt.proxy_protocol", "mqtt.vhost", "mqtt.exchange", "mqtt.prefetch",
    "mqtt.topic_alias_maximum", "loopback_users.guest", "loopback_users", "default_user", "default_pass",
    "management.tcp.ip", "management.tcp.port", "management.ssl.ip", "management.ssl.port", "ssl_options.verify",
    "ssl_options.fail_if_no_peer_cert", "ssl_options.cacertfile", "ssl_options.certfile", "ssl_options.keyfile",
    "log.file", "log.file.level", "log.console", "log.console.level", "web_mqtt.tcp.port", "web_mqtt.ssl.port",
    "load_definitions", "definitions.import_backend",
)  # fmt: skip


def audit_rabbitmq(path: Path, version: str = "") -> Setup:
    """The traits of the rabbitmq.conf at `path`."""
    return _Reader(read_cuttlefish(path), version or VERSIONS[-1]).read()


class _Reader(common.FlatReader):
    def read(self) -> Setup:
        flat, traits = self._flat, self._traits
        traits.absent(
            "RabbitMQ keeps users and permissions in its database: export its definitions and look",
            "02",
            "05",
            "06",
            "16",
        )
        traits.absent("RabbitMQ has no such setting in this file", "03", "08", "14", "19", "21", "24", "27")
        traits.absent("this is set by arguments of the Erlang runtime, which are elsewhere", "09")
        traits.absent("bridges (shovels, federation) are in its database", "15")
        traits.absent("the files that it names are not on this machine", "17")
        traits.absent("no listener with TLS", "10", "11", "12", "13")
        self._entrance()
        self._listeners()
        self._tls()
        self._logins()
        self._limits()
        self._administration()
        common.secrets(traits, flat)
        common.key_files(traits, flat)
        for key in ("load_definitions", "definitions.import_backend"):
            if key in flat.settings:
                flat.reading.missed(
                    flat.get(key).place, key, "users and permissions come from there; look at them"
                )
        common.beside(flat, "advanced.config", "this file also counts and was not read")
        common.beside(flat, "conf.d", "files in it also count and were not read")
        flat.misspelt(
            (*KNOWN, *(key for key in flat.settings if key.startswith(("mqtt.listeners.", "ssl_options."))))
        )
        common.finish(traits, flat)
        return self._setup("rabbitmq")

    def _entrance(self) -> None:
        allowed = self._flat.get("mqtt.allow_anonymous", "true")
        user = self._flat.get("anonymous_login_user", "guest")
        closed = user.written and user.value == "none"
        weak = allowed.on and not closed
        said = "clients without a name are " + ("let in" if weak else "refused")
        self._traits.add(
            "01",
            weak,
            said,
            user if closed else allowed,
            write="mqtt.allow_anonymous = false" if weak else "",
        )

    def _bindings(self, kind: str, default: str) -> list[Setting]:
        """Where a kind of listener is bound; nowhere if that is said, at the default if nothing is."""
        found = list(self._flat.matching(rf"mqtt\.listeners\.{kind}\..+"))
        whole = self._flat.get(f"mqtt.listeners.{kind}")
        if whole.value == "none":
            return []
        return found or ([Setting(f"mqtt.listeners.{kind}.default", default)] if default else [])

    def _listeners(self) -> None:
        write = "mqtt.listeners.tcp = none\nmqtt.listeners.ssl.default = 8883"
        for bind in self._bindings("tcp", "1883"):
            common.listens(self._traits, bind, "the listener", secure=False, write=write)
        for bind in self._bindings("ssl", ""):
            common.listens(self._traits, bind, "the listener", secure=True, write="")
        web = self._flat.get("web_mqtt.tcp.port")
        if web.written:
            host = self._flat.get("web_mqtt.tcp.ip").value
            bind = Setting(web.key, f"{host}:{web.value}" if host else web.value, web.place)
            common.listens(
                self._traits, bind, "the WebSocket listener", secure=False, write="web_mqtt.ssl.port = 15676"
            )
        proxy = self._flat.get("mqtt.proxy_protocol", "false")
        said = (
            "the PROXY protocol of whoever connects is believed"
            if proxy.on
            else "addresses are those of connections"
        )
        self._traits.add("25", proxy.on, said, proxy)
        self._traits.absent("there is no listener for MQTT", "04")

    def _tls(self) -> None:
        flat, traits = self._flat, self._traits
        if not self._bindings("ssl", ""):
            return
        versions = list(flat.matching(r"ssl_options\.versions\.\d+"))
        old = [each for each in versions if each.value in ("tlsv1", "tlsv1.1", "sslv3")]
        for each in old or versions[:1] or [Setting("ssl_options.versions", "tlsv1.3, tlsv1.2")]:
            traits.add(
                "10",
                bool(old),
                f"TLS listeners take {shown(each.value)}",
                each,
                write="# remove this line" if old else "",
            )
        for each in flat.matching(r"ssl_options\.ciphers\.\d+"):
            if weak_ciphers(each.value):
                traits.add(
                    "10", True, f"the suite {shown(each.value)} is weak", each, write="# remove this line"
                )
        verify = flat.get("ssl_options.verify", "verify_none")
        required = flat.get("ssl_options.fail_if_no_peer_cert", "false")
        both = verify.value == "verify_peer" and required.on
        if flat.get("ssl_options.cacertfile").written:
            write = "ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true"
            said = (
                f"client certificates are {'required and verified' if both else 'not required and verified'}"
            )
            traits.add(
                "11",
                not both,
                said,
                required if verify.value == "verify_peer" else verify,
                write="" if both else write,
            )
        if both:
            bound = flat.get("mqtt.ssl_cert_client_id_from", "none")
            weak = bound.value == "none"
            said = "client ids are " + ("free to choose" if weak else "bound to certificates")
            traits.add(
                "12",
                weak,
                said,
                bound,
                write="mqtt.ssl_cert_client_id_from = distinguished_name" if weak else "",
            )

    def _logins(self) -> None:
        flat = self._flat
        guest = flat.get("loopback_users.guest", "true")
        if flat.get("loopback_users").value == "none":
            guest = flat.get("loopback_users")
        away = guest.value in ("false", "none")
        same = (
            flat.get("default_user", "guest").value == "guest"
            and flat.get("default_pass", "guest").value == "guest"
        )
        weak = away and same
        said = "guest with the password guest may come from " + ("anywhere" if away else "this machine only")
        said = said if same else "the first user is one of your own"
        self._traits.add("07", weak, said, guest, write="loopback_users.guest = true" if weak else "")

    def _limits(self) -> None:
        flat, traits = self._flat, self._traits
        default = "268435455" if self._version.startswith("3") else "16777216"
        packet = flat.get("mqtt.max_packet_size_authenticated", default)
        weak = packet.number(_LARGE + 1) > _LARGE
        said = f"packets may have {shown(packet.value)} bytes"
        traits.add(
            "18", weak, said, packet, write="mqtt.max_packet_size_authenticated = 1048576" if weak else ""
        )
        before = flat.get("mqtt.max_packet_size_unauthenticated", "65536")
        weak = before.number(_MIB + 1) > _MIB
        traits.add(
            "18",
            weak,
            f"the first packet may have {shown(before.value)} bytes",
            before,
            write="mqtt.max_packet_size_unauthenticated = 65536" if weak else "",
        )
        expiry = flat.get("mqtt.max_session_expiry_interval_seconds", "86400")
        weak = expiry.value == "infinity"
        said = "sessions are kept for ever" if weak else "sessions end some time after the client has left"
        traits.add("20", weak, said, expiry, write=f"{expiry.key} = 86400" if weak else "")
        off = [each for key in ("log.file", "log.console") if (each := flat.get(key)).value == "false"]
        quiet = [
            each
            for key in ("log.file.level", "log.console.level")
            if (each := flat.get(key)).value in ("none", "critical")
        ]
        lone = len(off) == 2 or (
            len(off) == 1 and off[0].key == "log.file" and not flat.get("log.console").on
        )
        for each in (off if lone else []) + quiet:
            traits.add("22", True, "nothing is logged", each, write="log.file.level = info")
        if not lone and not quiet:
            traits.add("22", False, "connections and errors are logged")

    def _administration(self) -> None:
        for kind in ("tcp", "ssl"):
            port, address = self._flat.get(f"management.{kind}.port"), self._flat.get(f"management.{kind}.ip")
            if not port.written and not address.written:
                continue
            bind = Setting(
                address.key if address.written else port.key,
                f"{address.value}:{port.value}",
                (address if address.written else port).place,
            )
            common.administers(
                self._traits, bind, "the management plugin", secure=kind == "ssl", login=True,
                write="management.tcp.ip = 127.0.0.1",
            )  # fmt: skip
        self._traits.absent("nothing is written about the management plugin", "28")
