"""The traits of HiveMQ: config.xml, and the extensions folder beside it, on which everything about rights depends."""

from pathlib import Path

from bollard.assess.configs import common
from bollard.assess.configs.setup import Setup
from bollard.assess.configs.source import Place, Setting, shown
from bollard.assess.configs.weak import weak_ciphers
from bollard.assess.configs.xmltable import read_xml

VERSIONS = ("4",)
_KINDS = {
    "tcp-listener": False,
    "tls-tcp-listener": True,
    "websocket-listener": False,
    "tls-websocket-listener": True,
}
_ALLOW_ALL = "allow-all"
_LARGE = 16 * 1_048_576
_NEVER = 4_294_967_295


def audit_hivemq(path: Path, version: str = "") -> Setup:
    """The traits of the config.xml at `path`."""
    return _Reader(read_xml(path), version or VERSIONS[0]).read()


class _Reader(common.FlatReader):
    def read(self) -> Setup:
        flat, traits = self._flat, self._traits
        traits.absent(
            "HiveMQ has no such setting in this file",
            "03",
            "07",
            "08",
            "12",
            "13",
            "14",
            "15",
            "16",
            "19",
            "21",
            "22",
            "24",
            "27",
        )
        traits.absent("rights are decided by extensions, which are programs", "05", "06")
        traits.absent("no cluster is configured", "09")
        traits.absent("no listener with TLS", "10", "11")
        traits.absent("no listener is written", "04", "25")
        traits.absent("the files that it names are not on this machine", "17")
        traits.absent("the control center is not configured", "28")
        if flat.settings and not any(key.startswith("hivemq") for key in flat.settings):
            flat.reading.missed(Place(str(flat.path), 1), "", "expected <hivemq> as the outermost element")
        self._extensions()
        for key in self._elements("hivemq.listeners"):
            kind = key.removeprefix("hivemq.listeners.").split(".")[0]
            if kind in _KINDS:
                self._listener(key, kind)
            else:
                flat.reading.missed(self._place(key), kind, "unknown kind of listener")
        self._limits()
        self._cluster()
        self._secrets()
        common.finish(traits, flat)
        return self._setup("hivemq")

    def _elements(self, prefix: str) -> list[str]:
        """The elements directly under `prefix`, numbered ones with their number."""
        found: dict[str, None] = {}
        for key in self._flat.settings:
            if key.startswith(f"{prefix}."):
                names = key[len(prefix) + 1 :].split(".")
                found[".".join([prefix, *names[: 1 + (len(names) > 1 and names[1].isdigit())]])] = None
        return list(found)

    def _place(self, key: str) -> Place:
        places = [
            each.place
            for full, each in self._flat.settings.items()
            if full == key or full.startswith(f"{key}.")
        ]
        return min(places, default=Place(str(self._flat.path)))

    def _extensions(self) -> None:
        """Without an extension for security nobody gets in; with the bundled one everybody does."""
        traits = self._traits
        folder = next(
            (path for path in (self._flat.path.parent / "extensions", self._flat.path.parent.parent / "extensions") if path.is_dir()),
            None,
        )  # fmt: skip
        if folder is None:
            traits.absent("there is no extensions folder beside it: who gets in is decided there", "01", "02")
            return
        active = sorted(
            each.name for each in folder.iterdir() if each.is_dir() and not (each / "DISABLED").exists()
        )
        place = Place(str(folder))
        open_ = [name for name in active if _ALLOW_ALL in name]
        if open_:
            write = f"touch {shown(str(folder / open_[0] / 'DISABLED'))}"
            traits.add(
                "01", True, f"the extension {shown(open_[0])} lets everybody in", place=place, write=write
            )
            traits.add(
                "02", True, f"the extension {shown(open_[0])} allows everything", place=place, write=write
            )
        elif active:
            traits.add(
                "01", None, f"the extensions {shown(', '.join(active))} decide who gets in", place=place
            )
            traits.add(
                "02", None, f"the extensions {shown(', '.join(active))} decide what is allowed", place=place
            )
        else:
            traits.add("01", False, "no extension lets anybody in", place=place)
            traits.add("02", False, "no extension allows anything", place=place)
        for name in active:
            self._flat.reading.missed(place, name, "extensions are programs; look at this one by hand")

    def _listener(self, key: str, kind: str) -> None:
        flat, traits = self._flat, self._traits
        secure = _KINDS[kind]
        port, address = flat.get(f"{key}.port"), flat.get(f"{key}.bind-address", "0.0.0.0")  # noqa: S104
        bind = Setting(
            kind, f"{address.value}:{port.value}", port.place if port.written else self._place(key)
        )
        write = f"<tls-{kind}><port>8883</port><bind-address>0.0.0.0</bind-address><tls>…</tls></tls-{kind}>"
        common.listens(traits, bind, f"the {kind}", secure=secure, write=write)
        proxy = flat.get(f"{key}.proxy-protocol", "false")
        said = (
            "the PROXY protocol of whoever connects is believed"
            if proxy.on
            else "addresses are those of connections"
        )
        traits.add("25", proxy.on, f"on the {kind} {said}", proxy)
        if secure:
            self._tls(f"{key}.tls")

    def _tls(self, key: str) -> None:
        flat, traits = self._flat, self._traits
        versions = [
            each for full, each in flat.settings.items() if full.startswith(f"{key}.protocols.protocol")
        ]
        old = [each for each in versions if each.value.upper() in ("TLSV1", "TLSV1.0", "TLSV1.1", "SSLV3")]
        chosen = (old or versions or [Setting("protocols", "TLSv1.3, TLSv1.2")])[0]
        write = (
            "<protocols><protocol>TLSv1.3</protocol><protocol>TLSv1.2</protocol></protocols>" if old else ""
        )
        traits.add("10", bool(old), f"the listener takes {shown(chosen.value)}", chosen, write=write)
        for full, each in flat.settings.items():
            if full.startswith(f"{key}.cipher-suites.") and weak_ciphers(each.value):
                traits.add(
                    "10", True, f"the suite {shown(each.value)} is weak", each, write="<!-- remove it -->"
                )
        mode = flat.get(f"{key}.client-authentication-mode", "NONE")
        if mode.written:
            weak = mode.value.upper() != "REQUIRED"
            write = "<client-authentication-mode>REQUIRED</client-authentication-mode>" if weak else ""
            traits.add("11", weak, f"client certificates are {shown(mode.value)}", mode, write=write)

    def _limits(self) -> None:
        flat, traits = self._flat, self._traits
        packet = flat.get("hivemq.mqtt.packets.max-packet-size", "268435460")
        weak = packet.number() > _LARGE
        write = "<mqtt><packets><max-packet-size>1048576</max-packet-size></packets></mqtt>" if weak else ""
        traits.add("18", weak, f"packets may have {shown(packet.value)} bytes", packet, write=write)
        most = flat.get("hivemq.restrictions.max-connections", "-1")
        weak = most.number(-1) < 0
        write = "<restrictions><max-connections>10000</max-connections></restrictions>" if weak else ""
        traits.add("18", weak, f"connections are {'not bounded' if weak else 'bounded'}", most, write=write)
        unlimited = flat.get("hivemq.mqtt.keep-alive.allow-unlimited", "true")
        write = (
            "<mqtt><keep-alive><allow-unlimited>false</allow-unlimited></keep-alive></mqtt>"
            if unlimited.on
            else ""
        )
        said = f"clients may {'' if unlimited.on else 'not '}stay silent for ever"
        traits.add("18", unlimited.on, said, unlimited, write=write)
        expiry = flat.get("hivemq.mqtt.session-expiry.max-interval", str(_NEVER))
        weak = expiry.number(_NEVER) >= _NEVER
        write = (
            "<mqtt><session-expiry><max-interval>604800</max-interval></session-expiry></mqtt>"
            if weak
            else ""
        )
        said = "sessions are kept for ever" if weak else "sessions end some time after the client has left"
        traits.add("20", weak, said, expiry, write=write)

    def _cluster(self) -> None:
        enabled = self._flat.get("hivemq.cluster.enabled", "false")
        if enabled.on:
            tls = self._flat.get("hivemq.cluster.transport.tcp.tls.enabled", "false")
            write = "" if tls.on else "<transport><tcp><tls><enabled>true</enabled>…</tls></tcp></transport>"
            self._traits.add(
                "09",
                not tls.on,
                f"nodes talk {'with' if tls.on else 'without'} TLS",
                tls if tls.written else enabled,
                write=write,
            )
        if self._elements("hivemq.control-center.listeners"):
            for key in self._elements("hivemq.control-center.listeners"):
                address = self._flat.get(f"{key}.bind-address", "0.0.0.0")  # noqa: S104
                bind = Setting(
                    address.key, f"{address.value}:{self._flat.get(f'{key}.port').value}", self._place(key)
                )
                common.administers(self._traits, bind, "the control center", secure="https" in key, login=True,
                                   write="<bind-address>127.0.0.1</bind-address>")  # fmt: skip

    def _secrets(self) -> None:
        found = [each for key, each in self._flat.settings.items() if "password" in key.split(".")[-1]]
        plain = [each for each in found if not each.value.startswith("${") and each.value]
        for each in plain:
            self._traits.add(
                "23",
                True,
                f"{shown(each.key)} stands in the file",
                Setting(each.key, "(hidden)", each.place),
                write="${ENV:NAME}",
            )
        if not plain:
            self._traits.add("23", False, "no password stands in the file")
