"""The one catalogue: every check, from one place, with the standards that its evidence is relevant to.

Adding a check means writing it in a file under `checks` and, for a new file, naming that file here.
"""

import tomllib
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from bollard.assess.checks import (
    access,
    bounds,
    certificates,
    config,
    device,
    entrance,
    installation,
    listening,
    surroundings,
    tls,
    traffic,
    traffic_tls,
)
from bollard.assess.model import Check, Definition

#: What the letters of a definition's `group` mean.
GROUPS = {
    "AU": "authentication",
    "AZ": "authorization",
    "SE": "sessions",
    "TC": "transport confidentiality",
    "SV": "server verification",
    "CY": "cryptography",
    "AV": "availability",
    "IV": "input validation",
    "SU": "exposure and set-up",
    "UP": "updates",
    "LM": "logging and monitoring",
    "SS": "secrets",
    "PR": "privacy",
    "AM": "asset management",
}
#: What the kinds of evidence mean.
EVIDENCE = {
    "e1": "bytes and times of packets",
    "e2": "a canary of our own, on both of its ways",
    "e3": "names of topics, counts, lengths",
    "e4": "TLS messages and certificates",
    "e5": "file, line, effective value and where a default comes from",
    "e6": "frames and flows, secrets masked",
    "e7": "ClientHello, alert, and what came after the handshake",
    "e8": "mode and owner of a file",
}
_MODULES = (
    entrance,
    listening,
    access,
    bounds,
    surroundings,
    tls,
    certificates,
    config,
    installation,
    traffic,
    traffic_tls,
    device,
)


class Standard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A standard, and for each group of checks the provisions that its evidence is relevant to."""

    name: str
    note: str = ""
    groups: dict[str, tuple[str, ...]]


@cache
def standards() -> tuple[Standard, ...]:
    """All mapping files, in the order of their names."""
    folder = resources.files("bollard.assess.checks").joinpath("standards")
    files = sorted(
        (each for each in folder.iterdir() if each.name.endswith(".toml")), key=lambda each: each.name
    )
    return tuple(msgspec.convert(tomllib.loads(each.read_text("utf-8")), Standard) for each in files)


@cache
def checks() -> tuple[Check, ...]:
    """Every check, in the order of their ids, each with its standards."""
    found = [check for module in _MODULES for check in module.CHECKS]
    return tuple(
        Check(_with_standards(each.definition), each.judge)
        for each in sorted(found, key=lambda each: each.definition.id)
    )


def _with_standards(definition: Definition) -> Definition:
    relevant = {
        each.name: each.groups[definition.group] for each in standards() if definition.group in each.groups
    }
    changes: dict[str, Any] = {"relevant": relevant}
    return msgspec.structs.replace(definition, **changes)
