"""`bollard policy`: look at a policy before it is in force, and at what it gives whom."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import to_builtins

from bollard.cli.group import Group
from bollard.cli.output import count, say_json, say_table, visible
from bollard.cli.policy_target import PolicyTarget, check_identity, find_policy, policy_options
from bollard.cli.proposal import pointed
from bollard.cli.target import json_option, target_options

if TYPE_CHECKING:
    from bollard.policy.cases import Cases, Outcome

_FILE = click.Path(path_type=Path)


@click.group(cls=Group)
def command() -> None:
    """Check, test, compare and show access rules.

    \b
    Example:  bollard policy check
              bollard policy diff policy.toml new-policy.toml
    """


@command.command()
@click.argument("file", type=_FILE, required=False)
@target_options
@json_option
def check(file: Path | None, directory: Path | None, config_file: Path | None, as_json: bool) -> int:
    """Find mistakes and doubtful rules in FILE, or in the broker's policy.

    Ends with 0 if there is nothing to warn of, 1 with warnings, 2 if the policy is wrong and cannot be used.
    Notes, which change none of that, name rules for somebody who is not enrolled.

    \b
    Example:  bollard policy check policy.toml
    """
    from bollard.policy.lint import lint
    from bollard.policy.rules import parse_policy

    target = find_policy(directory, config_file, file)
    rules = parse_policy(target.path)
    remarks = lint(rules, datetime.now(UTC), target.enrolled)
    notes = target.notes(rules)
    if as_json:
        found = {"warnings": to_builtins(remarks), "notes": to_builtins(notes)}
        say_json({"file": str(target.path), **found})
        return 1 if remarks else 0
    for remark in remarks:
        click.echo(visible(pointed(f"{target.path}:{remark.line or 1}: {remark}")))
    for note in notes:
        click.echo(visible(f"{target.path}:{note.line}: note: {note}"))
    if rules.allow_foreign_response_topics:
        click.echo(visible(f"{target.path}: weakened by allow_foreign_response_topics"))
    counts = f"{count(len(rules.templates), 'template')}, {count(len(rules.groups), 'group')}"
    counts += f", {count(len(rules.grants), 'grant')}, {count(len(rules.denies), 'deny', 'denies')}"
    click.echo(
        visible(
            f"{target.path}: right; {counts}; {count(len(remarks), 'warning') if remarks else 'no warnings'}"
        )
    )
    return 1 if remarks else 0


@command.command()
@click.argument("cases", type=_FILE)
@policy_options
@json_option
def test(cases: Path, as_json: bool, **where: Path | None) -> int:
    """Ask a policy the cases in the file CASES: who must be allowed what, and who must not.

    The policy is the one that --policy names, else the one that CASES names, else the broker's. Ends with 0
    if all pass, 1 if one fails.

    \b
    Example:  bollard policy test cases.toml --policy policy.toml
    """
    from bollard.policy.cases import load_cases, run
    from bollard.policy.compile import Policy
    from bollard.policy.rules import parse_policy

    wanted = load_cases(cases)
    where["policy_file"] = where["policy_file"] or wanted.policy
    target = find_policy(**where)
    templates = {**target.enrolled, **wanted.enrolled}
    policy = Policy(parse_policy(target.path), templates, wanted.at or datetime.now(UTC))
    outcomes = list(run(policy, wanted))
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if as_json:
        say_json({"policy": str(target.path), "passed": len(outcomes) - len(failed), "failed": len(failed),
                  "cases": [_outcome(outcome) for outcome in outcomes]})  # fmt: skip
    else:
        _tell_failures(wanted, failed)
        click.echo(f"{len(outcomes) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def _outcome(outcome: "Outcome") -> dict[str, Any]:
    case = outcome.case
    return {
        "line": case.line,
        "who": case.who,
        "action": case.action.name.lower(),
        "topic": case.topic,
        "expected": case.allowed,
        "allowed": outcome.decision.allowed,
        "rule": outcome.decision.rule,
        "reason": outcome.decision.reason,
        "passed": outcome.passed,
    }


def _tell_failures(cases: "Cases", failed: list["Outcome"]) -> None:
    for outcome in failed:
        case, decision = outcome.case, outcome.decision
        if decision.allowed is case.allowed:
            found = f"but {case.rule} was to decide, and {decision.rule or 'no rule'} did"
        else:
            found = f"but {'it is allowed' if decision.allowed else 'it is denied'}: {decision.reason}"
        click.echo(visible(f"{cases.path}:{case.line}: {case}, {found}"))


@command.command()
@click.argument("old", type=_FILE)
@click.argument("new", type=_FILE)
@target_options
@json_option
def diff(old: Path, new: Path, directory: Path | None, config_file: Path | None, as_json: bool) -> int:
    """Who gains and who loses when the policy in NEW takes the place of the one in OLD.

    With --dir or --config, each enrolled identity is compared as well. Ends with 0 if nobody's rights
    change, 1 if somebody's do.

    \b
    Example:  bollard policy diff policy.toml new-policy.toml
    """
    from bollard.policy.diff import diff as compare
    from bollard.policy.rules import parse_policy

    before, after = parse_policy(old), parse_policy(new)
    target = find_policy(directory, config_file, new)
    changes = compare(before, after, datetime.now(UTC), target.enrolled)
    if as_json:
        say_json([{**to_builtins(change), "sentence": str(change)} for change in changes])
    else:
        for change in changes:
            click.echo(visible(str(change)))
        if not changes:
            click.echo("Nobody's rights change.")
    return 1 if changes else 0


@command.command()
@click.argument("identity", metavar="ID")
@click.option("--as", "template", help="As if ID had been enrolled with this template.")
@policy_options
@json_option
def show(identity: str, template: str | None, as_json: bool, **where: Path | None) -> None:
    """All rights of ID: what is granted and denied, and by which rule.

    \b
    Example:  bollard policy show plug
    """
    from bollard.policy.explain import effective

    check_identity(identity)
    target = find_policy(**where)
    policy = target.policy({identity: template} if template is not None else None)
    found = effective(policy, identity)
    asleep = [grant.name for grant in policy.asleep(identity)]
    if as_json:
        say_json({**to_builtins(found), "not_in_force": asleep})
        return
    own = f'template "{found.template}"' if found.template else "no template of its own"
    if found.template and found.template not in policy.rules.templates:
        own += ", which the policy does not have"
    click.echo(visible(f"{identity} has {own}; groups: {', '.join(found.groups) or 'none'}"))
    if template is None:
        _say_unknown(target, identity)
    if found.rights:
        rows = [
            (right.right, "allow" if right.allows else "deny", right.filter, right.rule, right.via)
            for right in found.rights
        ]
        say_table(("right", "rule", "topics", "by", "because"), rows)
    else:
        click.echo("It may do nothing: no rule grants it anything.")
    if found.limits:
        click.echo()
        say_table(("limit", "value", "by"), [(one.name, one.value, one.rule) for one in found.limits])
    if found.any_group:
        click.echo("Shared groups: any, because no rule of the policy grants share.")
    if asleep:
        click.echo(visible(f"Not in force now: {', '.join(f'grant.{name}' for name in asleep)}"))


def _say_unknown(target: PolicyTarget, identity: str) -> None:
    if target.known is not None and identity not in target.known and identity != "anonymous":
        click.echo(f"Nobody is enrolled as {identity}.")


@command.command()
@click.argument("name", required=False)
@json_option
def presets(name: str | None, as_json: bool) -> None:
    """The built-in presets, or the topics of the one called NAME.

    \b
    Example:  bollard policy presets tasmota
    """
    from bollard.base.toml import suggest
    from bollard.policy.model import RIGHTS
    from bollard.policy.presets import PRESETS

    if name is not None and name not in PRESETS:
        raise click.UsageError(f"There is no preset {name!r}. {suggest(name, PRESETS)}")
    chosen = [PRESETS[name]] if name else list(PRESETS.values())
    if as_json:
        say_json([to_builtins(preset) for preset in chosen])
        return
    for preset in chosen:
        click.echo(f"{preset.name:21} {preset.about}")
    if name is None:
        click.echo("\nThe topics of one: bollard policy presets NAME")
        return
    for parameter, default in chosen[0].parameters.items():
        value = "must be set" if default is None else f'default "{"/".join(default)}"'
        click.echo(f"{parameter:21} {value}")
    say_table(("right", "topics"), [(r, text) for r in RIGHTS for text in chosen[0].of(r)])
