"""Which policy a command means, and the identities that it is about: of an installation, or of a file alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bollard.cli.target import find_config, target_options

if TYPE_CHECKING:
    from bollard.policy.compile import Policy
    from bollard.policy.lint import Remark
    from bollard.policy.model import Rules
    from bollard.server.policy_operations import Known

Command = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class PolicyTarget:
    """A policy file. `known` has the identities of the registry, None if the file stands for itself.

    `anonymous` says whether a listener admits clients without credentials.
    """

    path: Path
    known: "Mapping[str, Known] | None"
    anonymous: bool = False

    @property
    def enrolled(self) -> dict[str, str]:
        """Identity to template, as far as known."""
        return {name: one.template for name, one in (self.known or {}).items()}

    def notes(self, rules: "Rules") -> "list[Remark]":
        """What in `rules` means nobody who is enrolled; nothing where it is not known who is."""
        from bollard.base.types import ANONYMOUS
        from bollard.policy.absent import absent

        if self.known is None:
            return []
        present = {name: one.template for name, one in self.known.items() if one.state != "revoked"}
        templates = set(present.values())
        return absent(rules, templates, {*present, *([ANONYMOUS] if self.anonymous else [])})

    def policy(self, also: Mapping[str, str] | None = None) -> "Policy":
        """The policy as of now, with the templates of the registry and those in `also`. Raises ConfigError."""
        from bollard.policy.compile import Policy
        from bollard.policy.rules import parse_policy

        return Policy(parse_policy(self.path), {**self.enrolled, **(also or {})}, datetime.now(UTC))


def policy_options(function: Command) -> Command:
    """Add `--policy`, `--dir` and `--config` to a command; they arrive as keywords for `find_policy`."""
    function = click.option(
        "--policy", "policy_file", type=click.Path(path_type=Path), help="This policy file, not the broker's."
    )(function)
    return target_options(function)


def find_policy(
    directory: Path | None, config_file: Path | None, policy_file: Path | None = None
) -> PolicyTarget:
    """The policy that the options mean. Raises LocalError if there is none.

    A file named by `--policy` alone is looked at without any installation.
    """
    if policy_file is not None and directory is None and config_file is None:
        return PolicyTarget(policy_file, None)
    from bollard.server.policy_operations import known_identities

    config = find_config(directory, config_file)
    anonymous = any(listener.allow_anonymous for listener in config.listeners)
    return PolicyTarget(policy_file or config.policy, known_identities(config), anonymous)


def check_identity(name: str) -> str:
    """`name`, if it can be an identity, enrolled or not; else a usage error."""
    from bollard.policy.model import IDENTITY

    if not IDENTITY.fullmatch(name):
        raise click.UsageError(
            f"{name!r} cannot be an identity: 1 to 64 letters, digits, - _ and full stops."
        )
    return name
