"""From a recipe and what a client needs to the text to paste. Reads the recipes of this folder, nothing else.

A recipe is a TOML file: `title`, `tested` (run in our tests, or only reviewed), `language` of its text,
`notes` for the owner, the policy `preset` that fits it, `limits` of the client, and the texts `password`
and `certificate`; one that is missing means that the client cannot do it. In a text, `{{name}}` stands for
a fact and `{{name|filter}}` for the fact as that language writes it: whatever a host name or a path holds,
the result is one string of that language.
"""

import base64
import functools
import json
import re
import shlex
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bollard.base.errors import LocalError

NAMES = (
    "bollard",
    "paho",
    "aiomqtt",
    "mqtt.js",
    "mosquitto",
    "home-assistant",
    "zigbee2mqtt",
    "tasmota",
    "esphome",
    "shelly",
    "esp-idf",
    "arduino",
    "openssl",
)
#: What this broker offers: keys of its two chains, and versions of TLS.
OFFERED_KEYS = frozenset({"ec-p256", "rsa-2048"})
OFFERED_TLS = frozenset({"1.2", "1.3"})
#: The keys that it makes for devices.
DEVICE_KEY = "ec-p256"

Fact = str | int | bytes
Facts = Mapping[str, Fact]

_PLACE = re.compile(r"\{\{([a-z0-9_]+)(?:\|([a-z0-9_]+))?\}\}")


@dataclass(frozen=True, slots=True)
class Limits:
    """What the client can do. `verifies` is how it knows the server: "ca" or "fingerprint".

    `max_client_certificate_bytes` bounds the DER of its certificate; 0 for no bound that matters.
    """

    server_keys: frozenset[str]
    client_keys: frozenset[str]
    tls: frozenset[str]
    verifies: str
    max_client_certificate_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Recipe:
    """One client. `texts` and `notes` by credential, "password" or "certificate"."""

    name: str
    title: str
    tested: bool
    language: str
    preset: str
    limits: Limits
    texts: Mapping[str, str]
    notes: Mapping[str, tuple[str, ...]]

    def check(self, credential: str, host: str) -> None:
        """Before anything is enrolled: can this client use such a credential with this broker at all?

        Raises LocalError with what it can do instead.
        """
        if credential not in self.texts:
            other = next(iter(self.texts))
            raise LocalError(f"{self.title} cannot use a {credential}", f"Enroll it with --{other}.")
        if not self.limits.server_keys & OFFERED_KEYS or not self.limits.tls & OFFERED_TLS:
            raise LocalError(f"{self.title} and this broker have no key type or TLS version in common")
        if credential == "certificate" and DEVICE_KEY not in self.limits.client_keys:
            raise LocalError(f"{self.title} cannot use a {DEVICE_KEY} key", "Enroll it with --password.")
        if host in ("localhost", "127.0.0.1", "::1") and not self.tested:
            raise LocalError(
                f"{self.title} runs elsewhere and is told to connect to {host}",
                'Set public_name = "…" in bollard.toml to the name or address that it can reach.',
            )

    def text(self, credential: str, facts: Facts) -> str:
        """What to paste. Raises LocalError if the client's bounds do not let it use these facts."""
        bound = self.limits.max_client_certificate_bytes
        certificate = facts.get("cert_der", b"")
        if bound and isinstance(certificate, bytes) and len(certificate) > bound:
            raise LocalError(
                f"{self.title} takes certificates of {bound} bytes at most; this one has {len(certificate)}"
            )
        return fill(self.texts[credential], facts)


@functools.cache
def recipe(name: str) -> Recipe:
    """The recipe called `name`, one of `NAMES`."""
    data = tomllib.loads((Path(__file__).parent / f"{name}.toml").read_text("utf-8"))
    limits: dict[str, Any] = {
        key: frozenset(value) if isinstance(value, list) else value for key, value in data["limits"].items()
    }
    kinds: dict[str, Any] = {kind: data[kind] for kind in ("password", "certificate") if kind in data}
    return Recipe(
        name=name,
        title=data["title"],
        tested=data["tested"],
        language=data["language"],
        preset=data.get("preset", ""),
        limits=Limits(**limits),
        texts={kind: table["text"] for kind, table in kinds.items()},
        notes={kind: (*data["notes"], *table.get("notes", ())) for kind, table in kinds.items()},
    )


def fill(text: str, facts: Facts) -> str:
    """`text` with every place filled in. KeyError for a fact or filter that does not exist."""

    def one(place: re.Match[str]) -> str:
        value = facts[place[1]]
        if place[2]:
            return FILTERS[place[2]](value)
        return value.hex() if isinstance(value, bytes) else str(value)

    return _PLACE.sub(one, text)


def _shell(value: Fact) -> str:
    return shlex.quote(_text(value))


def _json(value: Fact) -> str:
    """A double-quoted string, the same in Python, JavaScript, C and YAML; ASCII."""
    return json.dumps(_text(value))


def _indent(value: Fact) -> str:
    """Lines of a YAML block below a key that is indented by two."""
    return "\n".join(f"    {line}" for line in _text(value).strip().splitlines())


def _c_lines(value: Fact) -> str:
    """One C string in as many lines as the text has, each with its end of line."""
    return "\n".join(f"    {json.dumps(line + chr(10))}" for line in _text(value).strip().splitlines())


def _octal(value: Fact) -> str:
    """Bytes for the shell's `printf`, in a form that every shell understands."""
    return "'" + "".join(f"\\{byte:03o}" for byte in _bytes(value)) + "'"


def _base64(value: Fact) -> str:
    return base64.b64encode(_bytes(value)).decode()


def _text(value: Fact) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _bytes(value: Fact) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


FILTERS: Mapping[str, Callable[[Fact], str]] = {
    "shell": _shell,
    "json": _json,
    "indent": _indent,
    "c_lines": _c_lines,
    "octal": _octal,
    "base64": _base64,
}
