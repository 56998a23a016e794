"""Which products' configurations are understood, and how a file tells whose it is."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bollard.assess.configs import (
    audit_amqtt,
    audit_bollard,
    audit_emqx,
    audit_hivemq,
    audit_nanomq,
    audit_rabbitmq,
    audit_vernemq,
)
from bollard.assess.configs.audit_mosquitto import audit_mosquitto
from bollard.assess.configs.mosquitto_keys import DIRECTIVES
from bollard.assess.configs.mosquitto_keys import VERSIONS as MOSQUITTO_VERSIONS
from bollard.assess.configs.setup import Setup


class Product(NamedTuple):
    """`audit` makes the traits of a file; `knows` says how sure a name and a text make that it is this product's."""

    audit: Callable[[Path, str], Setup]
    knows: Callable[[str, str], int]
    versions: tuple[str, ...] = ()


def _mosquitto(name: str, text: str) -> int:
    words = [line.split(" ")[0] for line in text.splitlines() if line and not line.startswith("#")]
    known = sum(word in DIRECTIVES for word in words)
    return 10 * (name == "mosquitto.conf") + (known * 5 // max(len(words), 1)) + (known > 0)


def _named(name: str, *patterns: str) -> Callable[[str, str], int]:
    """Sure by the file's name, and likely by what stands in the text."""
    found = [re.compile(pattern, re.MULTILINE) for pattern in patterns]
    return lambda file, text: (
        10 * (file == name) + 3 * sum(pattern.search(text) is not None for pattern in found)
    )


PRODUCTS: dict[str, Product] = {
    "mosquitto": Product(audit_mosquitto, _mosquitto, MOSQUITTO_VERSIONS),
    "vernemq": Product(
        audit_vernemq.audit_vernemq,
        _named(
            "vernemq.conf", r"^\s*(plugins\.vmq_|distributed_cookie|listener\.(tcp|ssl|ws|wss|vmq)\.\w+ *=)"
        ),
        audit_vernemq.VERSIONS,
    ),
    "rabbitmq": Product(
        audit_rabbitmq.audit_rabbitmq,
        _named(
            "rabbitmq.conf",
            r"^\s*(mqtt\.(listeners|allow)|ssl_options\.|loopback_users|management\.tcp)[\w.]* *=",
        ),
        audit_rabbitmq.VERSIONS,
    ),
    "nanomq": Product(
        audit_nanomq.audit_nanomq,
        _named(
            "nanomq.conf", r"^\s*listeners\.(tcp|ssl|ws|wss) *\{", r"^\s*(http_server|auth|nng_)[\w.]* *[={]"
        ),
        audit_nanomq.VERSIONS,
    ),
    "emqx": Product(
        audit_emqx.audit_emqx,
        _named(
            "emqx.conf",
            r"^\s*node[. ]*\{?\s*(name|cookie)",
            r"^\s*(dashboard|authorization)[\w.]* *[={]",
            r"^\s*listeners\.(tcp|ssl|ws|wss)\.\w+",
        ),
        audit_emqx.VERSIONS,
    ),
    "hivemq": Product(audit_hivemq.audit_hivemq, _named("config.xml", r"<hivemq\b"), audit_hivemq.VERSIONS),
    "bollard": Product(
        audit_bollard.audit_bollard,
        _named(
            "bollard.toml", r"^\[\[listener\]\]", r"^\s*(state_dir|policy|allow_plaintext|public_name) *="
        ),
    ),
    "amqtt": Product(
        audit_amqtt.audit_amqtt,
        _named(
            "amqtt.yaml",
            r"^(listeners|topic-check|auth|plugins):",
            r"^\s+(bind|type|allow-anonymous): ",
            r"amqtt\.plugins",
        ),
        audit_amqtt.VERSIONS,
    ),
}


def recognise(path: Path, text: str) -> str:
    """The product whose configuration `text` is, "" if none is likely."""
    scores = {name: product.knows(path.name.lower(), text) for name, product in PRODUCTS.items()}
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] >= 3 else ""
