"""Which products' configurations are understood, and how a file tells whose it is."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

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


PRODUCTS: dict[str, Product] = {
    "mosquitto": Product(audit_mosquitto, _mosquitto, MOSQUITTO_VERSIONS),
}


def recognise(path: Path, text: str) -> str:
    """The product whose configuration `text` is, "" if none is likely."""
    scores = {name: product.knows(path.name.lower(), text) for name, product in PRODUCTS.items()}
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] >= 3 else ""
