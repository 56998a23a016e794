"""`bollard grant`: rights for a while, written into the policy file and taken out of it again."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bollard.base.errors import LocalError
from bollard.cli.output import say_json, say_table, visible
from bollard.cli.policy_target import check_identity
from bollard.cli.proposal import pointed
from bollard.cli.target import find_config, json_option, target_options

if TYPE_CHECKING:
    from bollard.policy.edit import NewGrant
    from bollard.policy.model import Grant
    from bollard.server.config import Config

RIGHT_OPTIONS = ("publish", "subscribe", "retain", "will", "share")
FIRST_SHARE = (
    "this is the first right to a shared group here: from now on every shared subscription needs one"
)


@click.command()
@click.argument("who", metavar="[ID]", required=False)
@click.option("--publish", multiple=True, metavar="FILTER", help="Topics that ID may publish to.")
@click.option("--subscribe", multiple=True, metavar="FILTER", help="Topics that ID may receive.")
@click.option("--retain", multiple=True, metavar="FILTER", help="Topics where its messages may be retained.")
@click.option("--will", multiple=True, metavar="FILTER", help="Topics of its will.")
@click.option("--share", multiple=True, metavar="GROUP", help="Shared groups that it may join; + is any.")
@click.option(
    "--limit", "limited", multiple=True, metavar="KEY=VALUE", help="A limit, such as max_payload=1MiB."
)
@click.option("--for", "length", metavar="TIME", help='How long: a number and s, m, h or d, such as "4h".')
@click.option("--until", metavar="MOMENT", help="Until when, such as 2030-01-31T18:00:00Z.")
@click.option("--no-end", is_flag=True, help="For good.")
@click.option("--reason", default="", help="What it is for; kept in the file.")
@click.option("--name", help="What the grant is called. [default: ID and a number]")
@click.option("--list", "listing", is_flag=True, help="Show the grants there are.")
@click.option("--revoke", metavar="NAME", help="Take the grant called NAME back.")
@target_options
@json_option
def command(**options: Any) -> None:
    """Grant ID rights for a while, or take a grant back.

    ID is an identity, "group:NAME", or "*" for all but anonymous. The grant goes to the end of the policy
    file, which is checked whole before it replaces the old one; a running broker takes it over at once.

    \b
    Example:  bollard grant anna --publish 'devices/boiler/cmd/#' --for 4h --reason "annual service"
              bollard grant --list
              bollard grant --revoke anna-1
    """
    rights = {right: options[right] for right in RIGHT_OPTIONS}
    ends = [key for key in ("length", "until", "no_end") if options[key]]
    giving = options["who"] is not None
    if giving + bool(options["listing"]) + bool(options["revoke"]) != 1:
        raise click.UsageError("Give an ID, or --list, or --revoke NAME.")
    if not giving and (ends or options["name"] or options["limited"] or any(rights.values())):
        raise click.UsageError("Rights, limits, --name and an end go with an ID.")
    config = find_config(options["directory"], options["config_file"])
    if options["listing"]:
        _list(config, as_json=options["as_json"])
    elif options["revoke"]:
        _revoke(config, options["revoke"], as_json=options["as_json"])
    else:
        if len(ends) != 1:
            raise click.UsageError("Say when it ends: --for 4h, --until MOMENT, or --no-end.")
        if not any(rights.values()) and not options["limited"]:
            raise click.UsageError(f"Name at least one of --{', --'.join(RIGHT_OPTIONS)}, --limit.")
        _give(config, options["name"], _new(options, rights), as_json=options["as_json"])


def _new(options: dict[str, Any], rights: dict[str, Any]) -> "NewGrant":
    from bollard.policy.edit import NewGrant
    from bollard.policy.entry import duration
    from bollard.policy.model import GROUP_PREFIX

    who = options["who"]
    if who != "*":
        check_identity(who.removeprefix(GROUP_PREFIX))
    until: datetime | None = None
    if options["length"]:
        length = duration(options["length"])
        if not length:
            raise click.UsageError(f"{options['length']!r} is not a time: write a number and s, m, h or d.")
        try:
            until = datetime.now(UTC) + length
        except OverflowError:
            raise click.UsageError(f"{options['length']!r} is too long: write --no-end.") from None
    elif options["until"]:
        until = _moment(options["until"])
    if not options["reason"].isprintable():
        raise click.UsageError("--reason must be one line of text.")
    limits = dict(_limit(text) for text in options["limited"])
    return NewGrant(who=who, rights=rights, until=until, reason=options["reason"], limits=limits)


def _limit(text: str) -> tuple[str, int | str]:
    """A key of a limit and its value; whether the value is right is for the policy to say."""
    from bollard.base.allowance import BOUNDS

    key, equals, value = text.partition("=")
    if not equals or key not in BOUNDS:
        raise click.UsageError(f"{text!r} is no limit: write KEY=VALUE with one of {', '.join(BOUNDS)}.")
    return key, int(value) if value.isascii() and value.isdigit() and len(value) < 10 else value


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"{text!r} is not a moment: write 2030-01-31T18:00:00Z.") from None
    if moment.tzinfo is None:
        raise click.UsageError(f"{text!r} has no time zone: add Z for UTC, or an offset such as +02:00.")
    if moment <= datetime.now(UTC):
        raise click.UsageError(f"{text!r} is over.")
    return moment


def _give(config: "Config", wanted: str | None, grant: "NewGrant", *, as_json: bool) -> None:
    from bollard.base.toml import Document
    from bollard.policy.edit import add_grant, free_name
    from bollard.policy.rules import read_rules
    from bollard.server.policy_operations import edit_policy

    name = wanted or ""
    first_share = False

    def change(path: Path, text: str) -> str:
        nonlocal name, first_share
        rules = read_rules(Document(path, text))
        name = wanted or free_name(rules, grant.who)
        first_share = bool(grant.rights.get("share")) and not rules.grants_groups
        return add_grant(path, text, name, grant)

    edit_policy(config.policy, change)
    said = _tell(config)
    remarks = _remarks(config, name, grant) + ([FIRST_SHARE] if first_share else [])
    until = grant.until.astimezone(UTC).isoformat(timespec="seconds") if grant.until else None
    if as_json:
        facts = {"name": name, "file": str(config.policy), "until": until, "broker": said}
        say_json({**facts, "remarks": remarks})
        return
    click.echo(visible(f"granted: {name}, {f'until {until}' if until else 'for good'}, in {config.policy}"))
    _say_broker(said)
    for remark in remarks:
        click.echo(visible(f"note: {remark}"))
    click.echo(visible(pointed(f"To take it back: bollard grant --revoke {name}")))


def _remarks(config: "Config", name: str, grant: "NewGrant") -> list[str]:
    """Sentences about what the new grant does beyond what its giver may have meant, or short of it."""
    from bollard.policy.lint import lint
    from bollard.policy.rules import parse_policy
    from bollard.policy.space import TooComplex
    from bollard.server.policy_operations import known_identities

    remarks: list[str] = []
    enrolled: dict[str, str] | None = None
    try:
        enrolled = {known: one.template for known, one in known_identities(config).items()}
        if grant.who not in ("*", "anonymous") and ":" not in grant.who and grant.who not in enrolled:
            remarks.append(f"nobody is enrolled as {grant.who} yet; the grant waits for it")
    except LocalError:
        pass  # whoever may write the policy need not be allowed to read the registry
    try:
        found = lint(parse_policy(config.policy), datetime.now(UTC), enrolled)
    except TooComplex:
        return remarks
    return remarks + [remark.text for remark in found if remark.rule == f"grant.{name}"]


def _revoke(config: "Config", name: str, *, as_json: bool) -> None:
    from bollard.policy.edit import remove_grant
    from bollard.server.policy_operations import edit_policy

    edit_policy(config.policy, lambda path, text: remove_grant(path, text, name))
    said = _tell(config)
    if as_json:
        say_json({"name": name, "file": str(config.policy), "broker": said})
        return
    click.echo(visible(f"revoked: {name}, from {config.policy}"))
    _say_broker(said)


def _tell(config: "Config") -> str | None:
    """What a running broker said of the new policy; None if none runs or may be asked."""
    from bollard.server.policy_operations import tell_broker

    try:
        return tell_broker(config)
    except LocalError as error:
        return f"could not be told ({error.message}); it notices the file by itself within a second"


def _say_broker(said: str | None) -> None:
    click.echo(
        "No broker is running; it holds from the next start." if said is None else f"broker: {visible(said)}"
    )


def _list(config: "Config", *, as_json: bool) -> None:
    from bollard.policy.model import RIGHTS
    from bollard.policy.rules import parse_policy

    now = datetime.now(UTC)
    grants = sorted(parse_policy(config.policy).grants.values(), key=lambda grant: grant.line)
    rows: list[dict[str, Any]] = [
        {
            "name": grant.name,
            "state": _state(grant, now),
            "who": _who(grant),
            **{right: [pattern.text for pattern in grant.rights.of(right)] for right in RIGHTS},
            "limits": {key: str(value) for key, value in grant.bounds.items()},
            "from": grant.starts.isoformat() if grant.starts else None,
            "until": grant.ends.isoformat() if grant.ends else None,
            "reason": grant.reason,
        }
        for grant in grants
    ]
    if as_json:
        say_json(rows)
        return
    if not rows:
        click.echo("There are no grants.")
        return
    table = []
    for row in rows:
        rights = "; ".join(f"{right} {', '.join(row[right])}" for right in RIGHTS if row[right])
        limits = "; ".join(f"{key} {value}" for key, value in row["limits"].items())
        rights = "; ".join(filter(None, (rights, limits)))
        who = ", ".join(row["who"])
        table.append((row["name"], row["state"], who, rights, row["until"] or "for good", row["reason"]))
    say_table(("name", "state", "who", "rights", "until", "reason"), table)


def _state(grant: "Grant", now: datetime) -> str:
    if grant.ends is not None and grant.ends <= now:
        return "over"
    return "to come" if grant.starts is not None and grant.starts > now else "in force"


def _who(grant: "Grant") -> list[str]:
    names = sorted(grant.who.identities) + [f"group:{name}" for name in sorted(grant.who.groups)]
    return (["*"] if grant.who.everyone else []) + names
