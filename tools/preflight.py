"""Tells, before anything is installed, what the machine lacks and how to get it.

Runs on the bare interpreter of the system, so it imports only the standard library.
"""

import importlib.util
import shutil
import sys
import sysconfig
from pathlib import Path

OLDEST = (3, 11)


def missing(variant: str) -> list[str]:
    """One sentence for each thing that is not there."""
    found: list[str] = []
    if sys.version_info < OLDEST:
        have = ".".join(map(str, sys.version_info[:2]))
        found.append(
            f"Python {have} is too old: 3.11 or newer is needed. Choose one: make PYTHON=python3.12 ..."
        )
    if importlib.util.find_spec("ensurepip") is None:
        found.append("Python's venv module is incomplete. Debian and Ubuntu: apt install python3-venv")
    if variant == "compiled":
        if not Path(sysconfig.get_path("include"), "Python.h").exists():
            found.append("Python's headers are missing. Debian and Ubuntu: apt install python3-dev")
        compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
        if shutil.which(compiler) is None and shutil.which("gcc") is None:
            found.append("There is no C compiler. Debian and Ubuntu: apt install gcc")
    return found


def main() -> int:
    variant = sys.argv[1] if len(sys.argv) > 1 else "compiled"
    problems = missing(variant)
    for problem in problems:
        sys.stderr.write(f"bollard: {problem}\n")
    if problems and variant == "compiled":
        sys.stderr.write("Without compiler and headers: BOLLARD_PURE=1 make up (the same broker, slower)\n")
    return 2 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
