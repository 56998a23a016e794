"""The names that an identity may have. Names of hosts live in `hosts.py`.

An identity's name is put into topics by policy variables, into file names by enrollment and into the
common name of certificates, so its characters are bounded here, once, before anything is stored.
"""

import re

from bollard.base.errors import LocalError
from bollard.base.types import ANONYMOUS

#: No `+ # / $`: inside a topic they would widen what a policy variable grants. No leading `.` or `-`:
#: the name becomes a file name and a command line argument.
_IDENTITY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", re.ASCII)

#: Names that authentication hands out itself; enrolling one would give its rights to a device.
RESERVED = frozenset({ANONYMOUS})


def is_identity(name: str) -> bool:
    """Whether `name` may be enrolled: 1 to 64 of `A-Z a-z 0-9 _ . -`, not reserved."""
    return _IDENTITY.fullmatch(name) is not None and name.lower() not in RESERVED


def check_identity(name: str) -> str:
    """`name` itself, or `LocalError` that says what an identity may look like."""
    if name.lower() in RESERVED:
        raise LocalError(
            f"the identity {name!r} is reserved: it stands for clients that present no credentials",
            "Choose another name.",
        )
    if not is_identity(name):
        raise LocalError(
            f"{name[:80]!r} cannot be an identity",
            "Use 1 to 64 of the characters A-Z a-z 0-9 _ . - and begin with a letter, a digit or _.",
        )
    return name
