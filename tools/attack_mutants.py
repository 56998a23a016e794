"""Turn off one defence after another and show that its test notices.

    tools/attack_mutants.py [--only NAME]

Reads tests/attack/mutants.toml. Each edit is made in a copy of the source, in a directory of its own that is
gone afterwards; then its tests are run on the copy. Prints a line each: "noticed" where at least one of the tests
failed, which is as it should be. Ends with 1 if a defence could be taken away unnoticed, with 2 if an edit does
not fit the source any more.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HOME = Path(__file__).parents[1]
MUTANTS = HOME / "tests" / "attack" / "mutants.toml"
#: What pytest says when tests ran and some of them failed.
FAILED = 1


def run(source: Path, tests: list[str]) -> subprocess.CompletedProcess[str]:
    """The tests on the plain source in `source`."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-x"]
    return subprocess.run(  # noqa: S603 - our own command
        [*command, *(f"tests/{test}" for test in tests)],
        cwd=HOME,
        env={**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def attempt(source: Path, name: str, mutant: dict[str, str | list[str]]) -> str:
    """What became of one mutant: "noticed", or what is wrong."""
    file = source / "bollard" / str(mutant["file"])
    whole = file.read_text()
    if whole.count(str(mutant["old"])) != 1:
        return "does not fit"
    file.write_text(whole.replace(str(mutant["old"]), str(mutant["new"])))
    try:
        done = run(source, list(mutant["tests"]))
    finally:
        file.write_text(whole)
    if done.returncode == FAILED:
        return "noticed"
    return (
        "NOT NOTICED" if done.returncode == 0 else f"could not run: {done.stdout[-500:]}{done.stderr[-500:]}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="", help="those with this in their name")
    options = parser.parse_args()
    mutants = {n: m for n, m in tomllib.loads(MUTANTS.read_text()).items() if options.only in n}
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="bollard-mutants-") as folder:
        source = Path(folder)
        ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.c")
        shutil.copytree(HOME / "src" / "bollard", source / "bollard", ignore=ignored)
        for name, mutant in mutants.items():
            found[name] = attempt(source, name, mutant)
            sys.stdout.write(f"{name:36} {found[name]}\n")
            sys.stdout.flush()
    noticed = sum(result == "noticed" for result in found.values())
    sys.stdout.write(f"{noticed} of {len(found)} noticed\n")
    if any(result not in ("noticed", "NOT NOTICED") for result in found.values()):
        return 2
    return 0 if noticed == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
