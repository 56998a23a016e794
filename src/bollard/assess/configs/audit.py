"""From configuration files to a report: whose they are, their traits, the CFG checks over them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bollard.assess import catalogue
from bollard.assess.checks.config import CHECKS
from bollard.assess.configs.products import PRODUCTS, recognise
from bollard.assess.configs.setup import Setup
from bollard.assess.configs.source import read_text
from bollard.assess.envelope import enclose, timestamp
from bollard.assess.model import Attempt, Check, Facts, Report, Result, Status, Target, judge
from bollard.base.errors import LocalError


def checks(only: frozenset[str] = frozenset()) -> tuple[Check, ...]:
    """The CFG checks, or those of them named in `only`, with the standards that they are relevant to."""
    mine = {each.definition.id for each in CHECKS}
    return tuple(each for each in catalogue.checks() if each.definition.id in (only & mine if only else mine))


def read_setup(path: Path, product: str = "", version: str = "") -> Setup:
    """The traits of the file at `path`. Raises LocalError if it cannot be read or nobody knows whose it is."""
    text, reason = read_text(path)
    if text is None:
        raise LocalError(f"{path}: {reason}", "Name the configuration file of a broker.")
    product = product or recognise(path, text)
    if not product:
        names = ", ".join(PRODUCTS)
        raise LocalError(f"{path}: of which broker is this?", f"Say so with --product: {names}.")
    return PRODUCTS[product].audit(path, _known(product, version))


def _known(product: str, version: str) -> str:
    """The version whose defaults are those of `version`, such as "2.0" for "2.0.18"; "" for "". Raises LocalError."""
    versions = PRODUCTS[product].versions
    found = next((each for each in versions if f"{version}.".startswith(f"{each}.")), "")
    if version and not found:
        known = ", ".join(versions) or "none; leave --version out"
        raise LocalError(f"the defaults of {product} {version[:40]!a} are not known", f"Known are: {known}.")
    return found


def audit(
    paths: Sequence[Path], product: str = "", version: str = "", only: frozenset[str] = frozenset()
) -> Report:
    """The report about all `paths`. Raises LocalError as `read_setup` does."""
    started = datetime.now(UTC)
    setups = [read_setup(path, product, version) for path in paths]
    made = checks(only)
    return enclose(
        "audit",
        (result for setup in setups for result in _results(setup, made)),
        timestamp(started),
        targets=tuple(
            Target(name=each.file, kind="configuration", product=f"{each.product} {each.version}".strip())
            for each in setups
        ),
        attempts=tuple(
            Attempt(
                probe="configuration",
                target=each.file,
                status=Status.OK,
                kind=Setup.__name__,
                evidence=msgspec.to_builtins(each),
            )
            for each in setups
        ),
        notes=tuple(f"not understood: {line}" for each in setups for line in each.unread),
    )


def _results(setup: Setup, made: Sequence[Check]) -> list[Result]:
    facts = Facts([setup])
    return [judge(each, setup.file, facts) for each in made]
