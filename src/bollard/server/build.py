"""Which Bollard this is: its version, and whether the hot modules run compiled."""

import importlib.util

from bollard import __version__

#: A module that every installation with compiled modules has compiled.
_WITNESS = "bollard.wire.framer"


def is_compiled() -> bool:
    """Whether the hot modules come from compiled files. Imports none of them."""
    spec = importlib.util.find_spec(_WITNESS)
    return spec is not None and not (spec.origin or "").endswith(".py")


def version_line() -> str:
    """Name, version and variant, for `--version` and the log."""
    return f"bollard {__version__} ({'compiled' if is_compiled() else 'pure Python'})"
