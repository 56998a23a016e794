"""`bollard why`: may somebody do something, which rule says so, and what would change it."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import to_builtins

from bollard.cli.output import say_json, visible
from bollard.cli.policy_target import PolicyTarget, check_identity, find_policy, policy_options
from bollard.cli.proposal import pointed
from bollard.cli.target import json_option

if TYPE_CHECKING:
    from bollard.policy.compile import Policy
    from bollard.policy.explain import Explanation

#: What stands in place of a rule where the registry decides.
REGISTRY = "registry"
#: How long the proposed grant lasts.
PROPOSED = "1h"


@click.command()
@click.argument("identity", metavar="ID")
@click.argument(
    "action",
    required=False,
    type=click.Choice(["publish", "subscribe", "receive", "retain", "will", "share"]),
)
@click.argument("topic", required=False)
@click.option("--as", "template", help="As if ID had been enrolled with this template.")
@policy_options
@json_option
def command(
    identity: str,
    action: str | None,
    topic: str | None,
    template: str | None,
    as_json: bool,
    **where: Path | None,
) -> int:
    """Why ID may, or may not, do this with TOPIC, and how to grant it; or why ID does not get in at all.

    TOPIC is a filter for subscribe, the name of a group for share, else a topic name. Ends with 0 if it is allowed, 1 if it is denied.
    Without ACTION and TOPIC the answer is about its connection, and ends with 0 if it gets in, even where the
    last thing to tell is something that policy denied to it.

    \b
    Example:  bollard why kitchen-plug publish devices/hall/cmd/on
              bollard why kitchen-plug
    """
    if action is None:
        from bollard.cli.target import find_config
        from bollard.cli.why_connection import say_why

        return say_why(identity, find_config(where["directory"], where["config_file"]), as_json=as_json)
    if topic is None:
        raise click.UsageError(f"Name the topic: bollard why {identity} {action} TOPIC")
    from bollard.policy.cases import ACTIONS, check_topic
    from bollard.policy.explain import why

    check_identity(identity)
    wrong = check_topic(ACTIONS[action], topic)
    if wrong:
        raise click.UsageError(f"{topic!r}: {wrong}.")
    target = find_policy(**where)
    policy = target.policy({identity: template} if template is not None else None)
    told = why(policy, identity, ACTIONS[action], topic)
    notes = [] if template is not None else _standing(target, identity)
    if notes:
        told, notes = _shut_out(told, notes[0]), []
    if as_json:
        say_json(_as_json(policy, told, notes))
    else:
        _show(policy, told, notes)
    return 0 if told.decision.allowed else 1


def _show(policy: "Policy", told: "Explanation", notes: list[str]) -> None:
    from bollard.policy.explain import describe

    for line in (*describe(told), *notes):
        click.echo(visible(line))
    fix = _grant(policy, told)
    if fix is not None:
        click.echo(f"\nTo grant it for a while:\n  {visible(fix[0])}\n\nor in the policy file:\n")
        click.echo("".join(f"  {visible(line)}\n" for line in fix[1].splitlines()), nl=False)
    elif told.decision.rule not in ("", REGISTRY) and not told.decision.allowed:
        name = told.decision.rule
        click.echo()
        click.echo(
            visible(f'No grant can overrule {name}. To spare this identity, add "{told.principal}" to')
        )
        click.echo(visible(f"except in [{name}]; that alone grants nothing."))


def _grant(policy: "Policy", told: "Explanation") -> tuple[str, str] | None:
    """The command that would grant it, and the table that does; None if a grant would not help."""
    from datetime import UTC, datetime, timedelta

    from bollard.policy.edit import NewGrant, free_name, grant_block
    from bollard.policy.explain import missing_rights

    rights = missing_rights(policy, told)
    if not rights or told.decision.rule == REGISTRY:
        return None
    words = ["bollard", "grant", told.principal]
    for right, topic in rights.items():
        words += [f"--{right}", topic]
    words += ["--for", PROPOSED]
    until = datetime.now(UTC) + timedelta(hours=1)
    grant = NewGrant(who=told.principal, rights={right: [on] for right, on in rights.items()}, until=until)
    return pointed(shlex.join(words)), grant_block(free_name(policy.rules, told.principal), grant)


def _standing(target: PolicyTarget, identity: str) -> list[str]:
    """Sentences about an identity that cannot connect, whatever the policy says."""
    from bollard.base.types import ANONYMOUS

    if target.known is None or identity == ANONYMOUS:
        return []
    one = target.known.get(identity)
    if one is None:
        return [pointed(f"nobody is enrolled as {identity!r}: bollard enroll {identity}")]
    return [] if one.state == "active" else [f"it cannot connect at all: it is {one.state}"]


def _shut_out(told: "Explanation", reason: str) -> "Explanation":
    """`told` as the broker would decide it: the registry goes before every rule."""
    from dataclasses import replace

    from bollard.base.types import Decision

    return replace(told, decision=Decision(False, REGISTRY, reason))


def _as_json(policy: "Policy", told: "Explanation", notes: list[str]) -> dict[str, Any]:
    fix = _grant(policy, told)
    return {
        "id": told.principal,
        "action": told.action.name.lower(),
        "topic": told.topic,
        "allowed": told.decision.allowed,
        "rule": told.decision.rule,
        "reason": told.decision.reason,
        "template": told.template,
        "groups": list(told.groups),
        "nearest": to_builtins(told.nearest),
        "notes": [*told.notes, *notes],
        "fix": {"command": fix[0], "grant": fix[1]} if fix else None,
    }
