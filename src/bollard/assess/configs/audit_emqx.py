"""The traits of an EMQX configuration: emqx.conf, cluster.hocon where it lies, and the ACL file."""

import re
from pathlib import Path

from bollard.assess.configs import common
from bollard.assess.configs.emqx_acl import acl_setting, read_emqx_acl
from bollard.assess.configs.hocon import read_hocon
from bollard.assess.configs.setup import Setup
from bollard.assess.configs.source import Place, Setting, shown
from bollard.assess.configs.weak import is_administrator, is_everything, weak_ciphers
from bollard.assess.model import Severity

VERSIONS = ("5", "6")
_KINDS = {"tcp": ("1883", False), "ssl": ("8883", True), "ws": ("8083", False), "wss": ("8084", True)}
_COOKIES = ("emqxsecretcookie", "emqx50elixir")
_LARGE = 16
KNOWN = (
    "authentication", "authorization.no_match", "authorization.deny_action", "authorization.cache.enable", "node.cookie",
    "node.name", "node.data_dir", "cluster.name", "cluster.proto_dist", "rpc.protocol", "dashboard.default_username",
    "dashboard.default_password", "dashboard.listeners.http.bind", "dashboard.listeners.https.bind",
    "mqtt.max_packet_size", "mqtt.session_expiry_interval", "mqtt.max_topic_levels", "log.console.enable",
    "log.console.level", "log.file.enable", "log.file.level", "listeners.tcp.default.bind",
    "listeners.tcp.default.enable", "listeners.tcp.default.enable_authn", "listeners.ssl.default.bind",
    "listeners.ssl.default.ssl_options.verify", "listeners.ssl.default.ssl_options.fail_if_no_peer_cert",
    "listeners.ssl.default.ssl_options.cacertfile", "listeners.ssl.default.ssl_options.enable_crl_check",
)  # fmt: skip


def audit_emqx(path: Path, version: str = "") -> Setup:
    """The traits of the emqx.conf at `path`."""
    return _Reader(read_hocon(path), version or VERSIONS[0]).read()


class _Reader(common.FlatReader):
    def read(self) -> Setup:
        flat, traits = self._flat, self._traits
        traits.absent("EMQX has no such setting", "14", "19", "21", "24", "27")
        traits.absent("nothing binds client ids here; rules of authentication may", "12")
        traits.absent("there is no connector to another broker", "15")
        traits.absent("no listener with TLS", "10", "11", "13")
        traits.absent("no built-in database of passwords is configured", "16")
        traits.absent("the files that it names are not on this machine", "17")
        traits.absent("there is no ACL file", "05", "06")
        self._beside()
        self._entrance()
        for kind, (port, secure) in _KINDS.items():
            for name in dict.fromkeys(["default", *flat.names(f"listeners.{kind}")]):
                self._listener(f"listeners.{kind}.{name}", name, port, secure)
        self._access()
        self._cluster()
        self._connectors()
        self._limits()
        self._administration()
        common.secrets(traits, flat)
        common.key_files(traits, flat)
        flat.misspelt(
            (*KNOWN, *(key for key in flat.settings if key.startswith(("listeners.", "authentication."))))
        )
        common.finish(traits, flat)
        return self._setup("emqx")

    def _beside(self) -> None:
        """What was set by the dashboard lies elsewhere, and counts less than what is written in emqx.conf."""
        folder = self._flat.path.parent
        for path in (folder / "cluster.hocon", folder.parent / "data" / "configs" / "cluster.hocon"):
            if path != self._flat.path and path.is_file():
                other = read_hocon(path)
                self._flat.reading.files += other.reading.files
                self._flat.reading.unread += other.reading.unread
                for key, setting in other.settings.items():
                    self._flat.settings.setdefault(key, setting)
                return

    def _entrance(self) -> None:
        flat = self._flat
        entries = [f"authentication.{name}" for name in flat.names("authentication") if name.isdigit()]
        if flat.get("authentication.mechanism").written:
            entries.append("authentication")
        active = [each for each in entries if flat.get(f"{each}.enable", "true").on]
        written = flat.get(f"{active[0]}.mechanism") if active else flat.get("authentication", "[]")
        write = "authentication = [{mechanism = password_based, backend = built_in_database, user_id_type = username}]"
        if active:
            self._traits.add("01", False, "clients have to authenticate", written)
        else:
            said = (
                "no authentication is configured here: everybody is let in, unless the dashboard has set it"
            )
            self._traits.add("01", True, said, written, write=write)
        for entry in active:
            self._hash(entry)

    def _hash(self, entry: str) -> None:
        backend = self._flat.get(f"{entry}.backend")
        name = self._flat.get(f"{entry}.password_hash_algorithm.name", "sha256")
        if backend.value not in ("built_in_database", "mysql", "postgresql", "mongodb", "redis"):
            return
        weak = name.value in ("plain", "md5", "sha", "sha256", "sha512")
        write = f"{entry}.password_hash_algorithm = {{name = pbkdf2, mac_fun = sha256, iterations = 600000}}"
        severity = None if name.value in ("plain", "md5", "sha") else Severity.MEDIUM
        said = f"passwords are kept as {shown(name.value)}"
        self._traits.add(
            "16", weak, said, name, write=write if weak else "", severity=severity if weak else None
        )

    def _listener(self, key: str, name: str, port: str, secure: bool) -> None:
        flat, traits = self._flat, self._traits
        enabled = flat.get(f"{key}.enable", flat.get(f"{key}.enabled", "true").value)
        bind = flat.get(f"{key}.bind", f"0.0.0.0:{port}")
        if not enabled.on or (name != "default" and not bind.written):
            return
        kind = key.split(".")[1]
        common.listens(
            traits,
            bind,
            f"the listener {shown(f'{kind}.{name}')}",
            secure=secure,
            write=f"{key}.enable = false",
        )
        authn = flat.get(f"{key}.enable_authn", "true")
        if authn.value == "false":
            said = f"the listener {kind}.{shown(name)} lets everybody in"
            traits.add("01", True, said, authn, write=f"{authn.key} = true")
        proxy = flat.get(f"{key}.proxy_protocol", "false")
        said = (
            "the PROXY protocol of whoever connects is believed"
            if proxy.on
            else "addresses are those of connections"
        )
        traits.add("25", proxy.on, f"on {kind}.{shown(name)} {said}", proxy)
        most = flat.get(f"{key}.max_connections", "infinity")
        weak = most.value == "infinity"
        said = f"{kind}.{shown(name)} takes {'any number of' if weak else 'a bounded number of'} connections"
        traits.add("18", weak, said, most, write=f"{most.key} = 10000" if weak else "")
        if secure:
            self._tls(f"{key}.ssl_options", f"{kind}.{name}")

    def _tls(self, key: str, name: str) -> None:
        flat, traits = self._flat, self._traits
        versions = list(flat.matching(rf"{re.escape(key)}\.versions\.\d+"))
        old = [each for each in versions if each.value in ("tlsv1", "tlsv1.1", "sslv3")]
        chosen = (old or versions or [Setting(f"{key}.versions", "tlsv1.3, tlsv1.2")])[0]
        write = f'{key}.versions = ["tlsv1.3", "tlsv1.2"]' if old else ""
        traits.add(
            "10", bool(old), f"the listener {shown(name)} takes {shown(chosen.value)}", chosen, write=write
        )
        for each in flat.matching(rf"{re.escape(key)}\.ciphers\.\d+"):
            if weak_ciphers(each.value):
                traits.add("10", True, f"the suite {shown(each.value)} is weak", each, write="# remove it")
        verify = flat.get(f"{key}.verify", "verify_none")
        required = flat.get(f"{key}.fail_if_no_peer_cert", "false")
        both = verify.value == "verify_peer" and required.on
        if verify.written or required.written:
            said = f"the listener {shown(name)} {'requires' if both else 'does not require'} a verified certificate"
            write = f"{key}.verify = verify_peer\n{key}.fail_if_no_peer_cert = true"
            setting = required if verify.value == "verify_peer" and required.written else verify
            traits.add("11", not both, said, setting, write="" if both else write)
        if both:
            crl = flat.get(f"{key}.enable_crl_check", "false")
            said = f"revocation is {'checked' if crl.on else 'not checked'}"
            traits.add("13", not crl.on, said, crl, write="" if crl.on else f"{crl.key} = true")

    def _access(self) -> None:
        flat, traits = self._flat, self._traits
        default = "allow" if self._version.startswith("5") else "deny"
        match = flat.get("authorization.no_match", default)
        weak = match.value == "allow"
        said = f"what no rule settles is {'allowed' if weak else 'denied'}"
        traits.add("02", weak, said, match, write="authorization.no_match = deny" if weak else "")
        profile = "EMQX_SECURITY_PROFILE in the environment decides whether errors end in permission; it is not in this file"
        traits.add("03", None, profile, write="EMQX_SECURITY_PROFILE=hardened")
        sources = [f"authorization.sources.{name}" for name in flat.names("authorization.sources")]
        for source in sources:
            kind, path = flat.get(f"{source}.type"), flat.get(f"{source}.path")
            if flat.get(f"{source}.enable", "true").on and kind.value == "file" and path.written:
                self._rules(path)

    def _rules(self, path: Setting) -> None:
        flat, traits = self._flat, self._traits
        named = flat.path.parent / path.value
        file = named if named.exists() else flat.path.parent / Path(path.value).name
        rules = read_emqx_acl(file, flat.reading, path.place)
        wide = own = False
        for rule in rules or ():
            if not rule.allows:
                continue
            setting = acl_setting(rule.place, rule)
            if rule.everybody and not rule.topics:
                traits.add("02", True, "everybody may do everything", setting, write="{deny, all}.")
            elif rule.who.startswith("{security_profile"):
                traits.add(
                    "02",
                    True,
                    "under the legacy profile everybody may do everything",
                    setting,
                    write="{deny, all}.",
                )
            local = "127.0.0.1" in rule.who or is_administrator(rule.who)
            if any(map(is_everything, rule.topics)) and not local:
                wide = True
                traits.add("05", True, f"{shown(rule.who)} may use every topic", setting)
            if rule.everybody and any(topic.startswith("$SYS") for topic in rule.topics):
                own = True
                traits.add("06", True, "everybody may use $SYS", setting, write="# remove this rule")
        if rules is not None and not wide:
            traits.add("05", False, "no rule grants every topic by name", place=Place(str(file)))
        if rules is not None and not own:
            traits.add("06", False, "no rule grants $SYS to everybody", place=Place(str(file)))

    def _cluster(self) -> None:
        flat, traits = self._flat, self._traits
        cookie = flat.get("node.cookie", _COOKIES[0])
        default = cookie.value in _COOKIES
        hidden = Setting(cookie.key, cookie.value if default else "(hidden)", cookie.place)
        said = "the cookie of the cluster is " + ("the vendor's" if default else "one of your own")
        traits.add("08", default, said, hidden, write='node.cookie = "LONG-RANDOM-TEXT"' if default else "")
        if flat.get("cluster.discovery_strategy", "manual").written or flat.get("cluster.proto_dist").written:
            dist = flat.get("cluster.proto_dist", "inet_tcp")
            weak = "tls" not in dist.value
            said = f"nodes talk {'without' if weak else 'with'} TLS"
            traits.add("09", weak, said, dist, write="cluster.proto_dist = inet_tls" if weak else "")
        else:
            traits.absent("it does not say that it is part of a cluster", "09")

    def _connectors(self) -> None:
        for setting in list(self._flat.matching(r"(connectors|bridges)\..+\.server")):
            key = setting.key.removesuffix(".server")
            enabled = self._flat.get(f"{key}.ssl.enable", "false")
            verify = self._flat.get(f"{key}.ssl.verify", "verify_none")
            weak = not enabled.on or verify.value != "verify_peer"
            said = f"{shown(key)} {'does not use TLS' if not enabled.on else 'does not verify' if weak else 'verifies'}"
            said += "" if not enabled.on else " the server"
            write = f"{key}.ssl.enable = true\n{key}.ssl.verify = verify_peer"
            self._traits.add(
                "15", weak, said, verify if verify.written else setting, write=write if weak else ""
            )

    def _limits(self) -> None:
        packet = self._flat.get("mqtt.max_packet_size", "1MB")
        size = packet.value.upper().removesuffix("MB")
        weak = size.isdigit() and packet.value.upper().endswith("MB") and int(size[:9]) > _LARGE
        self._traits.add(
            "18",
            weak,
            f"packets may have {shown(packet.value)}",
            packet,
            write="mqtt.max_packet_size = 1MB" if weak else "",
        )
        expiry = self._flat.get("mqtt.session_expiry_interval", "2h")
        weak = expiry.value == "infinity"
        said = "sessions are kept for ever" if weak else "sessions end some time after the client has left"
        self._traits.add("20", weak, said, expiry, write="mqtt.session_expiry_interval = 2h" if weak else "")
        console, file = (
            self._flat.get("log.console.enable", "true"),
            self._flat.get("log.file.enable", "true"),
        )
        off = not console.on and not file.on
        said = "nothing is logged" if off else "connections and errors are logged"
        self._traits.add("22", off, said, console, write="log.console.enable = true" if off else "")

    def _administration(self) -> None:
        flat, traits = self._flat, self._traits
        name = flat.get("dashboard.default_username", "admin")
        secret = flat.get("dashboard.default_password", "public")
        weak = secret.value == "public"
        said = f"the dashboard opens to {shown(name.value)} with " + (
            "the vendor's password" if weak else "a password of your own"
        )
        hidden = Setting(secret.key, "public" if weak else "(hidden)", secret.place)
        traits.add(
            "07",
            weak,
            said,
            hidden,
            write='dashboard.default_password = "file:///etc/emqx/secrets/dashboard"' if weak else "",
        )
        for kind, default in (("http", "18083"), ("https", "")):
            bind = flat.get(f"dashboard.listeners.{kind}.bind", default)
            if bind.value not in ("", "0"):
                write = f'{bind.key} = "127.0.0.1:18083"'
                common.administers(
                    traits, bind, "the dashboard", secure=kind == "https", login=True, write=write
                )
        traits.absent("the dashboard is off", "28")
