"""The traits of a VerneMQ configuration: vernemq.conf, and the ACL file that it names."""

from pathlib import Path

from bollard.assess.configs import common
from bollard.assess.configs.cuttlefish import read_cuttlefish
from bollard.assess.configs.mosquitto_access import read_acl
from bollard.assess.configs.setup import Setup
from bollard.assess.configs.source import Setting, shown
from bollard.assess.configs.weak import weak_ciphers

VERSIONS = ("1.13", "2.0")
_KINDS = {"tcp": False, "ws": False, "ssl": True, "wss": True}
_NOT_NAMES = {
    "max_connections", "nr_of_acceptors", "mountpoint", "proxy_protocol", "allowed_protocol_versions", "cafile",
    "certfile", "keyfile", "ciphers", "tls_version", "require_certificate", "use_identity_as_username", "crlfile",
    "depth", "eccs", "buffer_sizes", "allow_anonymous_override", "proxy_protocol_use_cn_as_username",
    "support_elliptic_curves", "pskfile", "psk_support", "tcp_listen_options", "forward_connection_opts",
}  # fmt: skip
KNOWN = (
    "allow_anonymous", "max_message_size", "persistent_client_expiration", "max_online_messages",
    "max_offline_messages", "max_last_will_delay", "distributed_cookie", "plugins.vmq_acl", "plugins.vmq_passwd",
    "vmq_acl.acl_file", "vmq_passwd.password_file", "log.console", "log.console.level", "listener.max_connections",
    "listener.tcp.default", "listener.ssl.default", "listener.ssl.require_certificate", "listener.ssl.tls_version",
    "listener.ssl.use_identity_as_username", "listener.http.default", "listener.vmq.clustering",
    "listener.vmqs.clustering", "listener.ws.default", "listener.wss.default", "nodename", "max_client_id_size",
    "plugins.vmq_diversity", "plugins.vmq_webhooks", "plugins.vmq_bridge", "listener.https.default",
)  # fmt: skip


def audit_vernemq(path: Path, version: str = "") -> Setup:
    """The traits of the vernemq.conf at `path`."""
    return _Reader(read_cuttlefish(path), version or VERSIONS[-1]).read()


class _Reader(common.FlatReader):
    def read(self) -> Setup:
        flat, traits = self._flat, self._traits
        traits.absent("VerneMQ has no such setting", "03", "07", "14", "19", "24", "27")
        traits.absent("there is no bridge", "15")
        traits.absent("no listener with TLS", "10", "11", "13")
        traits.absent("the files that it names are not on this machine", "05", "06", "16", "17")
        self._entrance()
        for kind, secure in _KINDS.items():
            for name in flat.names(f"listener.{kind}"):
                if name not in _NOT_NAMES:
                    self._listener(kind, name, secure)
        self._cluster()
        self._access()
        self._bridges()
        self._limits()
        self._administration()
        common.secrets(traits, flat)
        common.key_files(traits, flat)
        flat.misspelt(
            (*KNOWN, *(key for key in flat.settings if key.split(".")[0] in ("listener", "vmq_bridge")))
        )
        common.finish(traits, flat)
        return self._setup("vernemq")

    def _entrance(self) -> None:
        setting = self._flat.get("allow_anonymous", "off")
        overrides = list(self._flat.matching(r"listener\..*\.allow_anonymous_override"))
        for each in [setting, *overrides]:
            said = f"clients without a name are {'let in' if each.on else 'refused'}"
            write = "allow_anonymous = off" if each is setting else f"{each.key} = off"
            self._traits.add("01", each.on, said, each, write=write if each.on else "")

    def _listener(self, kind: str, name: str, secure: bool) -> None:
        flat, traits = self._flat, self._traits
        bind = flat.get(f"listener.{kind}.{name}")
        if not bind.written:
            return
        write = f"listener.ssl.{name} = 0.0.0.0:8883\nlistener.{kind}.{name} = 127.0.0.1:1883"
        common.listens(traits, bind, f"the listener {shown(name)}", secure=secure, write=write)
        proxy = self._of(kind, name, "proxy_protocol")
        said = (
            "the PROXY protocol of whoever connects is believed"
            if proxy.on
            else "addresses are those of connections"
        )
        traits.add("25", proxy.on, f"on {shown(name)} {said}", proxy)
        if secure:
            self._tls(kind, name)

    def _of(self, kind: str, name: str, key: str, default: str = "off") -> Setting:
        """What is in effect of a key of a listener: its own, that of its kind, or the default."""
        for full in (f"listener.{kind}.{name}.{key}", f"listener.{kind}.{key}"):
            if full in self._flat.settings:
                return self._flat.settings[full]
        return Setting(f"listener.{kind}.{key}", default)

    def _tls(self, kind: str, name: str) -> None:
        traits = self._traits
        version = self._of(kind, name, "tls_version", "tlsv1.2")
        old = any(word.strip() in ("tlsv1", "tlsv1.1", "sslv3") for word in version.value.lower().split(","))
        write = f"listener.{kind}.tls_version = tlsv1.2"
        traits.add(
            "10",
            old,
            f"the listener {shown(name)} takes {shown(version.value)}",
            version,
            write=write if old else "",
        )
        ciphers = self._of(kind, name, "ciphers", "")
        if weak_ciphers(ciphers.value):
            traits.add("10", True, f"the listener {shown(name)} takes weak suites", ciphers)
        required = self._of(kind, name, "require_certificate")
        authority = self._of(kind, name, "cafile", "")
        if authority.written:
            write = f"listener.{kind}.require_certificate = on"
            said = f"the listener {shown(name)} {'requires a' if required.on else 'asks for no'} client certificate"
            traits.add("11", not required.on, said, required, write="" if required.on else write)
        if required.on:
            crl = self._of(kind, name, "crlfile", "")
            traits.add(
                "13", not crl.written, f"revocation is {'checked' if crl.written else 'not checked'}", crl
            )
        bound = self._of(kind, name, "use_identity_as_username")
        if required.on:
            said = f"the certificate {'names the client' if bound.on else 'does not name the client'}"
            traits.add("12", not bound.on, said, bound, write="" if bound.on else f"{bound.key} = on")

    def _cluster(self) -> None:
        cookie = self._flat.get("distributed_cookie", "vmq")
        hidden = Setting(cookie.key, cookie.value if cookie.value == "vmq" else "(hidden)", cookie.place)
        default = cookie.value == "vmq"
        said = "the cookie of the cluster is " + ("the vendor's" if default else "one of your own")
        self._traits.add(
            "08", default, said, hidden, write="distributed_cookie = LONG-RANDOM-TEXT" if default else ""
        )
        plain = self._flat.get("listener.vmq.clustering")
        if plain.written:
            clustered = "listener.vmqs.clustering = 0.0.0.0:44053"
            self._traits.add("09", True, "nodes talk without TLS", plain, write=clustered)
        else:
            self._traits.add("09", False, "no listener for nodes without TLS is written", plain)

    def _access(self) -> None:
        flat, traits = self._flat, self._traits
        acl = flat.get("plugins.vmq_acl", "on")
        others = [flat.get(f"plugins.{name}", "off") for name in ("vmq_diversity", "vmq_webhooks")]
        unknown = [each for each in others if each.on]
        if unknown:
            traits.add(
                "02",
                None,
                f"{unknown[0].key} may decide who does what; nothing of it is known here",
                unknown[0],
            )
            flat.reading.missed(unknown[0].place, unknown[0].key, "what this plugin decides was not judged")
        elif acl.on:
            traits.add("02", False, "what no rule in vmq.acl allows is denied", acl)
        else:
            traits.add("02", True, "no plugin limits who does what", acl, write="plugins.vmq_acl = on")
        named = flat.get("vmq_acl.acl_file")
        if named.written and acl.on:
            rules = read_acl(flat.path.parent / named.value, flat.reading, named.place)
            if rules is not None:
                common.rules(traits, rules, flat.get("allow_anonymous", "off").on)
        passwords = flat.get("vmq_passwd.password_file")
        if passwords.written:
            traits.private(flat.path.parent / passwords.value, passwords)

    def _bridges(self) -> None:
        for name in self._flat.names("vmq_bridge.tcp"):
            setting = self._flat.get(f"vmq_bridge.tcp.{name}")
            if setting.written:
                self._traits.add("15", True, f"the bridge {shown(name)} does not use TLS", setting)
        for name in self._flat.names("vmq_bridge.ssl"):
            insecure = self._flat.get(f"vmq_bridge.ssl.{name}.insecure", "off")
            said = f"the bridge {shown(name)} {'does not verify' if insecure.on else 'verifies'} the server"
            self._traits.add(
                "15", insecure.on, said, insecure, write=f"{insecure.key} = off" if insecure.on else ""
            )

    def _limits(self) -> None:
        flat, traits = self._flat, self._traits
        for key, default, none, write in (
            ("max_message_size", "0", "0", "max_message_size = 1048576"),
            ("max_online_messages", "1000", "-1", "max_online_messages = 1000"),
            ("max_offline_messages", "1000", "-1", "max_offline_messages = 1000"),
            ("listener.max_connections", "10000", "infinity", "listener.max_connections = 10000"),
        ):
            setting = flat.get(key, default)
            weak = setting.value == none
            traits.add(
                "18",
                weak,
                f"{key} is {'not bounded' if weak else 'bounded'}",
                setting,
                write=write if weak else "",
            )
        expiry = flat.get("persistent_client_expiration", "never")
        weak = expiry.value == "never"
        said = "sessions are kept for ever" if weak else "sessions end some time after the client has left"
        traits.add("20", weak, said, expiry, write="persistent_client_expiration = 2w" if weak else "")
        will = flat.get("max_last_will_delay", "client")
        weak = will.value in ("client", "4294967295")
        said = "the delay of wills is " + ("what the client asks for" if weak else "bounded")
        traits.add("21", weak, said, will, write="max_last_will_delay = 1h" if weak else "")
        console = flat.get("log.console", "file")
        traits.add(
            "22",
            console.value == "off",
            f"the log goes to {shown(console.value)}",
            console,
            write="log.console = file" if console.value == "off" else "",
        )

    def _administration(self) -> None:
        for kind in ("http", "https"):
            for name in self._flat.names(f"listener.{kind}"):
                bind = self._flat.get(f"listener.{kind}.{name}")
                if not bind.written or name in _NOT_NAMES:
                    continue
                modes = [
                    each
                    for each in self._flat.matching(r"http_module\..*\.auth\.mode")
                    if each.value != "noauth"
                ]
                common.administers(
                    self._traits, bind, f"the HTTP listener {shown(name)}", secure=kind == "https", login=bool(modes),
                    write=f"listener.{kind}.{name} = 127.0.0.1:8888",
                )  # fmt: skip
        self._traits.absent("no listener for administration is written", "28")
