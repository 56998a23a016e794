"""From a TOML file to the frozen tree of `config.py`, or to one error with file, line and remedy.

Everything is judged here, before anything starts: unknown keys, types, bounds, and combinations that
would weaken the broker without saying so. Nothing is opened, bound or created.
"""

import platform
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from bollard.base.toml import Document, Key, kind, load_toml
from bollard.engine.limits import Limits
from bollard.identity.unlock import TokenSettings, Unlock
from bollard.net.gate import TransportLimits
from bollard.net.psk import is_available
from bollard.server import settings, units
from bollard.server.config import (
    Address,
    AuditConfig,
    Config,
    EstConfig,
    ListenerConfig,
    LogConfig,
    MetricsConfig,
    Network,
    StoreConfig,
)
from bollard.server.settings import Setting

DEFAULT_LISTENER = ListenerConfig(bind=Address(host="0.0.0.0", port=8883))  # noqa: S104  # TLS, by design
POLICY_FILE = "policy.toml"
MAX_LISTENERS = 64


def load_config(path: Path) -> Config:
    """Read and judge the configuration at `path`. Raises ConfigError; has no other effect."""
    document = load_toml(path)
    base = path.absolute().parent
    root = _Table(document, (), settings.ROOT, base)
    limits = _Table(document, ("limits",), settings.LIMITS, base).values()
    config = Config(
        file=path.absolute(),
        state_dir=root.value("state_dir", base),
        policy=root.value("policy", base / POLICY_FILE),
        listeners=_listeners(document, base),
        public_name=root.value("public_name", ""),
        names=root.value("names", ()),
        response_information=root.value("response_information", ""),
        server_reference=root.value("server_reference", ""),
        sys_interval_s=root.value("sys_interval_s", 10.0),
        allow_human_passwords=root.value("allow_human_passwords", False),
        limits=_engine_limits(limits),
        transport_limits=TransportLimits(**_only(TransportLimits, limits)),
        metrics=_metrics(document, base),
        est=_est(document, base),
        log=LogConfig(**_Table(document, ("log",), settings.LOG, base).values()),
        store=StoreConfig(**_Table(document, ("store",), settings.STORE, base).values()),
        audit=AuditConfig(**_Table(document, ("audit",), settings.AUDIT, base).values()),
        unlock=_unlock(document, base),
    )
    if config.limits.max_connect_bytes > config.limits.max_packet_bytes:
        raise document.error(
            "max_connect_bytes is larger than max_packet_bytes",
            "limits",
            "max_connect_bytes",
            remedy="What is allowed before authentication must not exceed what is allowed after it.",
        )
    return config


class _Table:
    """One table of the document, read by its rows of `settings`."""

    def __init__(
        self, document: Document, at: tuple[Key, ...], rows: tuple[Setting, ...], base: Path
    ) -> None:
        self._document = document
        self._at = at
        self._base = base
        self._rows = {row.key: row for row in rows}
        self._data = self._find()
        if self._data:
            document.check_keys(at, self._rows)

    def _find(self) -> dict[str, object]:
        value: Any = self._document.data
        for step in self._at:
            if isinstance(step, str) and step not in value:
                return {}
            value = value[step]
        if not isinstance(value, dict):
            raise self._document.error(f"expected a table, found {kind(value)}", *self._at)
        return value

    def value(self, key: str, default: Any) -> Any:
        """The value of `key`, converted and judged, or `default` if the file does not have it."""
        if key not in self._data:
            return default
        row, raw = self._rows[key], self._data[key]
        try:
            value = _READERS[row.kind](raw, row, self._base)
        except ValueError as error:
            shown = f"{raw!r:.60}" if isinstance(raw, str | int | float) else kind(raw)
            # In [authorities] somebody may have written a passphrase or a PIN where its place belongs.
            told = f"a value of {key}" if self._at == ("authorities",) else f"{key} = {_toml(raw) or shown}"
            raise self.error(key, told, f"Expected {error}.") from None
        return value

    def values(self) -> dict[str, Any]:
        """All values that the file has."""
        return {key: self.value(key, None) for key in self._data}

    def error(self, key: str, message: str, remedy: str) -> Exception:
        return self._document.error(message, *self._at, key, remedy=remedy)


def _toml(value: object) -> str:
    """A short value as the file spells it, "" for a long or structured one."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str) and len(value) <= 60 and value.isprintable():
        return f'"{value}"'
    return ""


def _text(value: object, row: Setting, base: Path) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError(f"text, found {kind(value)}" if not isinstance(value, str) else "printable text")
    return value


def _flag(value: object, row: Setting, base: Path) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _bounded(value: float, row: Setting) -> None:
    if not row.low <= value <= row.high:
        unit = _UNITS.get(row.kind, "")
        top = f" to {_plain(row.high)}{unit}" if row.high != float("inf") else f"{unit} or more"
        raise ValueError(f"a value of {_plain(row.low)}{top}")


#: What the bounds of these kinds of settings count.
_UNITS = {"size": " bytes", "duration": " seconds"}


def _plain(number: float) -> str:
    """`number` as one would write it: no exponent, no zeros behind the point."""
    return str(int(number)) if number == int(number) else str(number)


def _integer(value: object, row: Setting, base: Path) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"a whole number, found {kind(value)}")
    _bounded(value, row)
    return value


def _size(value: object, row: Setting, base: Path) -> int:
    size = units.parse_size(value)
    _bounded(size, row)
    return size


def _duration(value: object, row: Setting, base: Path) -> float:
    seconds = units.parse_duration(value)
    _bounded(seconds, row)
    return seconds


def _choice(value: object, row: Setting, base: Path) -> str:
    if value not in row.choices:
        raise ValueError(" or ".join(f'"{choice}"' for choice in row.choices))
    return str(value)


def _path(value: object, row: Setting, base: Path) -> Path:
    return base / _text(value, row, base)


def _host(value: object, row: Setting, base: Path) -> str:
    return units.parse_host(_text(value, row, base))


def _address(value: object, row: Setting, base: Path) -> Address:
    return units.parse_address(value, base)


def _list_of(
    read: Callable[[object, Setting, Path], Any],
) -> Callable[[object, Setting, Path], tuple[Any, ...]]:
    def read_list(value: object, row: Setting, base: Path) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError(f"a list in [ ], found {kind(value)}")
        return tuple(read(item, row, base) for item in value)

    return read_list


def _network(value: object, row: Setting, base: Path) -> Network:
    network = units.parse_network(value)
    if network.prefixlen == 0:
        raise ValueError(f"networks by name; {network} is everybody")
    return network


def _structure(value: object, row: Setting, base: Path) -> object:
    return value  # read as a table of its own


_READERS: dict[str, Callable[[object, Setting, Path], Any]] = {
    "text": _text,
    "texts": _list_of(_text),
    "flag": _flag,
    "integer": _integer,
    "size": _size,
    "duration": _duration,
    "choice": _choice,
    "path": _path,
    "host": _host,
    "hosts": _list_of(_host),
    "address": _address,
    "networks": _list_of(_network),
    "table": _structure,
    "tables": _structure,
}


def _listeners(document: Document, base: Path) -> tuple[ListenerConfig, ...]:
    tables = document.data.get("listener")
    if tables is None:
        return (DEFAULT_LISTENER,)
    if not isinstance(tables, list):
        raise document.error(
            "listener is one table", "listener", remedy="Write [[listener]], in double brackets."
        )
    if not 1 <= len(tables) <= MAX_LISTENERS:
        raise document.error(f"{len(tables)} listeners", "listener", remedy=f"Expected 1 to {MAX_LISTENERS}.")
    listeners: list[ListenerConfig] = []
    for index in range(len(tables)):
        table = _Table(document, ("listener", index), settings.LISTENER, base)
        listener = _listener(table)
        if any(other.bind == listener.bind and listener.bind.port for other in listeners):
            raise table.error(
                "bind", f"a second listener on {listener.bind}", "Give each its own address or port."
            )
        listeners.append(listener)
    return tuple(listeners)


def _listener(table: _Table) -> ListenerConfig:
    if table.value("bind", None) is None:
        raise table.error("bind", "a listener without bind", 'Add where it listens: bind = "0.0.0.0:8883"')
    listener = ListenerConfig(**table.values())
    if listener.origins and not listener.websocket:
        raise table.error(
            "origins", "origins without WebSocket", 'Add transport = "websocket", or remove origins.'
        )
    if listener.unix and listener.allow_plaintext:
        raise table.error(
            "allow_plaintext",
            "allow_plaintext on a Unix socket",
            "Remove it: nothing leaves the machine there.",
        )
    if listener.psk and (not listener.encrypted or listener.websocket or listener.allow_anonymous):
        raise table.error(
            "psk",
            "psk on a listener that is not plain MQTT inside TLS, or that takes anonymous clients",
            "Give pre-shared keys a listener of their own: bind and psk, nothing else.",
        )
    if listener.psk and not is_available():
        raise table.error(
            "psk",
            "TLS with pre-shared keys needs Python 3.13 or newer",
            f"This is Python {platform.python_version()}. Remove psk, or run a newer one.",
        )
    if listener.allow_plaintext_from and not listener.allow_plaintext:
        raise table.error(
            "allow_plaintext_from",
            "allow_plaintext_from without allow_plaintext",
            "Add allow_plaintext = true.",
        )
    reachable = not listener.unix and not units.is_loopback(listener.bind.host)
    if listener.allow_plaintext and reachable and not listener.allow_plaintext_from:
        raise table.error(
            "allow_plaintext",
            f"plaintext on {listener.bind}, which other machines can reach",
            'Bind it to 127.0.0.1, or list who may use it: allow_plaintext_from = ["192.168.1.0/24"]',
        )
    return listener


def _metrics(document: Document, base: Path) -> MetricsConfig:
    table = _Table(document, ("metrics",), settings.METRICS, base)
    metrics = MetricsConfig(**table.values())
    if metrics.bind is None:
        return metrics
    if metrics.bind.path is not None:
        raise table.error("bind", "metrics on a Unix socket", 'Write an address: bind = "127.0.0.1:9464"')
    if not units.is_loopback(metrics.bind.host) and not metrics.allow_remote:
        raise table.error(
            "bind",
            f"metrics on {metrics.bind}, which other machines can read without a password",
            "Bind it to 127.0.0.1, or add allow_remote = true.",
        )
    return metrics


def _unlock(document: Document, base: Path) -> Unlock:
    table = _Table(document, ("authorities",), settings.AUTHORITIES, base)
    values = table.values()
    way, pass_file = values.get("unlock", "file"), values.get("pass_file")
    if way != "file" and pass_file is not None:
        raise table.error("pass_file", "pass_file with a passphrase from elsewhere", "Remove one of the two.")
    return Unlock(way=way, pass_file=pass_file, token=_token(table, values, wanted=way == "pkcs11"))


def _token(table: _Table, values: dict[str, Any], *, wanted: bool) -> TokenSettings | None:
    """Where the token is, if its keys are given and belong together."""
    given = [key for key in ("pkcs11_module", "pkcs11_token", "pin_from", "pin_file") if key in values]
    if not wanted and given:
        raise table.error(
            given[0], f'{given[0]} without unlock = "pkcs11"', "Add the one or remove the other."
        )
    if not wanted:
        return None
    module, label, pin = (
        values.get("pkcs11_module"),
        values.get("pkcs11_token"),
        values.get("pin_from", "prompt"),
    )
    if module is None or not label:
        raise table.error(
            "unlock", 'unlock = "pkcs11" without a token', "Add pkcs11_module and pkcs11_token, its label."
        )
    if (pin == "file") != ("pin_file" in values):
        at = "pin_file" if "pin_file" in values else "pin_from"
        raise table.error(
            at, 'pin_from = "file" and pin_file belong together', "Add the one or remove the other."
        )
    return TokenSettings(module, label, pin, values.get("pin_file"))


def _est(document: Document, base: Path) -> EstConfig:
    table = _Table(document, ("est",), settings.EST, base)
    est = EstConfig(**table.values())
    if est.bind is not None and est.bind.path is not None:
        raise table.error("bind", "EST on a Unix socket", 'Write an address: bind = "0.0.0.0:8443"')
    return est


def _engine_limits(values: dict[str, Any]) -> Limits:
    """The limits of the engine; its whole-second fields get whole seconds."""
    taken = _only(Limits, values)
    for entry in fields(Limits):
        if entry.name in taken and isinstance(entry.default, int) and not isinstance(entry.default, bool):
            taken[entry.name] = int(taken[entry.name])
    return Limits(**taken)


def _only(holder: type[Limits] | type[TransportLimits], values: dict[str, Any]) -> dict[str, Any]:
    names = {entry.name for entry in fields(holder)}
    return {key: value for key, value in values.items() if key in names}
