"""`bollard learn`: least privilege from observed traffic, step by step, with a person between the steps."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import to_builtins

from bollard.base.errors import LocalError
from bollard.cli.group import Group
from bollard.cli.output import count, say_json, say_table, visible
from bollard.cli.policy_target import check_identity
from bollard.cli.proposal import pointed
from bollard.cli.target import find_config, json_option, target_options

if TYPE_CHECKING:
    from bollard.server.config import Config
    from bollard.server.learning_records import LearningInfo

#: Things that a proposal would deny that are shown before it is applied.
SHOWN = 20


@click.group(cls=Group)
def command() -> None:
    """Rules from what devices really do: observe, propose, look, apply.

    \b
    Example:  bollard learn start 'group:kitchen' --for 7d
              bollard learn propose
              bollard learn apply
    """


@command.command()
@click.argument("who", nargs=-1, required=True)
@click.option("--for", "length", default="7d", show_default=True, help="How long, at most 90d.")
@click.option(
    "--ceiling",
    multiple=True,
    metavar="FILTER",
    help="What they may use meanwhile, beside what policy grants. [default: topics with their own name]",
)
@click.option("--preset", "presets", multiple=True, metavar="NAME", help="And what this preset grants.")
@target_options
@json_option
def start(
    directory: Path | None,
    config_file: Path | None,
    who: tuple[str, ...],
    length: str,
    ceiling: tuple[str, ...],
    presets: tuple[str, ...],
    as_json: bool,
) -> None:
    """Observe WHO: identities, "group:NAME", or "*" for all but anonymous.

    Until it ends, they may use the ceiling too, where no rule denies it. Topics, counts and sizes are kept,
    payloads are not. What an attacker does meanwhile is observed as well: nothing is granted before you have
    looked at it.

    \b
    Example:  bollard learn start 'plug-1' 'plug-2' --for 3d
              bollard learn start '*' --for 7d --ceiling '#'
    """
    from bollard.policy.entry import duration
    from bollard.policy.model import GROUP_PREFIX
    from bollard.server.learning_records import OWN_TOPICS, LearnStart
    from bollard.server.policy_operations import not_enrolled

    life = duration(length)
    if not life:
        raise click.UsageError(f"{length!r} is not a time: write a number and s, m, h or d.")
    filters = [*(ceiling or OWN_TOPICS), *_preset_filters(presets)]
    for name in who:
        if name != "*":
            check_identity(name.removeprefix(GROUP_PREFIX))
    config = find_config(directory, config_file)
    info = _ask_info(config, LearnStart(who, life / timedelta(seconds=1), tuple(dict.fromkeys(filters))))
    remarks = [
        f"nobody is enrolled as {name} yet; it is learned from when it is"
        for name in not_enrolled(config, who)
    ]
    if as_json:
        say_json({**to_builtins(info), "remarks": remarks})
        return
    verb = "do" if len(info.who) > 1 or info.who[0] == "*" else "does"
    click.echo(visible(f"Learning what {', '.join(info.who)} {verb}, until {_minute(info.until)}."))
    click.echo(visible(f"Meanwhile they may use {', '.join(info.ceiling)} as well, where no rule denies it."))
    for remark in remarks:
        click.echo(visible(f"note: {remark}"))
    click.echo(pointed("Then: bollard learn propose"))


@command.command()
@target_options
@json_option
def status(directory: Path | None, config_file: Path | None, as_json: bool) -> int:
    """How learning stands. Ends with 1 if nothing is being learned.

    \b
    Example:  bollard learn status
    """
    from bollard.server.learning_records import AskLearning

    info = _ask_info(find_config(directory, config_file), AskLearning())
    if as_json:
        say_json(to_builtins(info))
    else:
        _show(info)
    return 0 if info.phase == "learning" else 1


@command.command()
@click.option(
    "--application", "applications", multiple=True, metavar="ID", help="It may speak with other devices."
)
@click.option(
    "--trust", "trusted", multiple=True, metavar="ID", help="What it did is right, though suspicious."
)
@click.option("--complete", is_flag=True, help="Also what the policy grants already, as if it did not.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the proposal to this file.")
@target_options
@json_option
def propose(
    directory: Path | None,
    config_file: Path | None,
    applications: tuple[str, ...],
    trusted: tuple[str, ...],
    complete: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Propose rules for what was observed, with the evidence for each, and what is left out and why.

    Nothing takes effect. From now on the broker counts what the proposal would have denied: look at it after
    a while with bollard learn status, then apply, or propose again.

    \b
    Example:  bollard learn propose --application home-assistant
    """
    from bollard.server.ask import ask
    from bollard.server.learning_records import LearnProposal, LearnPropose
    from bollard.server.policy_operations import not_enrolled

    config = find_config(directory, config_file)
    for name in (*applications, *trusted):
        check_identity(name)
    if out is not None and not out.absolute().parent.is_dir():
        raise _not_written(out, "its directory does not exist")
    answer = ask(config, LearnPropose(applications, trusted, complete))
    assert isinstance(answer, LearnProposal)
    for name in not_enrolled(config, dict.fromkeys((*applications, *trusted))):
        click.echo(visible(f"note: nobody is enrolled as {name}, so naming it changes nothing"), err=True)
    if out is not None:
        try:
            out.write_text(answer.text)
        except OSError as error:
            raise _not_written(out, error.strerror or "it cannot be written") from None
    if as_json:
        say_json(to_builtins(answer))
        return
    if out is None:
        click.echo("\n".join(map(visible, answer.text.split("\n"))))
    if not answer.messages:
        text = "# Nothing was seen yet, so there is nothing to apply. Look again later: bollard learn status"
        click.echo(pointed(text))
        return
    share = 100 * answer.passes / answer.messages
    seen = count(answer.messages, "message")
    click.echo(f"# Of {seen} seen, {answer.passes:,} would pass ({share:.1f}%).")
    if not answer.rules:
        click.echo("# No rule comes of it: policy grants it already, or it is left out above.")
        return
    click.echo(pointed("# Judged without effect from now on: bollard learn status"))
    click.echo(pointed("# To take it: bollard learn apply"))


@command.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@target_options
@json_option
def apply(directory: Path | None, config_file: Path | None, yes: bool, as_json: bool) -> int:
    """Put the rules that were proposed last into the policy file, and end learning.

    Shows what they would have denied since they were proposed, and asks. Ends with 1 if you say no.

    \b
    Example:  bollard learn apply
    """
    from bollard.policy.learn_text import add_rules
    from bollard.server.learning_records import AskLearning, LearnStop
    from bollard.server.policy_operations import edit_policy, tell_broker

    config = find_config(directory, config_file)
    info = _ask_info(config, AskLearning())
    if not info.proposal:
        what = "the proposal has no rules" if info.proposed_at else "there is no proposal"
        raise LocalError(
            what, "Make one when something was seen: bollard learn status, bollard learn propose"
        )
    if not yes:
        click.echo("\n".join(map(visible, info.proposal.split("\n"))))
        _show_shadow(info)
        if not _confirmed(f"Write these rules into {config.policy}, and end learning?"):
            return 1
    edit_policy(config.policy, lambda path, text: add_rules(path, text, info.proposal))
    _ask_info(config, LearnStop(applied=True))
    try:
        said = tell_broker(config)
    except LocalError as error:
        said = f"could not be told ({error.message}); it notices the file by itself within a second"
    if as_json:
        say_json({"file": str(config.policy), "broker": said})
    else:
        click.echo(visible(f"The rules are in {config.policy}; learning has ended."))
        click.echo("No broker is running." if said is None else visible(f"broker: {said}"))
        click.echo(pointed("What is denied from now on: bollard log --kind access.denied --follow"))
    return 0


@command.command()
@click.option("--forget", is_flag=True, help="And forget what was observed.")
@target_options
@json_option
def stop(directory: Path | None, config_file: Path | None, forget: bool, as_json: bool) -> None:
    """End learning: the ceiling counts no more. What was observed stays, for bollard learn propose.

    \b
    Example:  bollard learn stop --forget
    """
    from bollard.server.learning_records import AskLearning, LearnStop

    config = find_config(directory, config_file)
    before = _ask_info(config, AskLearning())
    info = _ask_info(config, LearnStop(forget=forget))
    if as_json:
        say_json(to_builtins(info))
    elif before.phase != "learning":
        rest = "What was observed is forgotten." if forget else "What was observed is kept."
        click.echo(f"Nothing is being learned: it ended {_minute(before.until)}. {rest}")
    else:
        click.echo("Learning has ended." + (" What was observed is forgotten." if forget else ""))


def _not_written(path: Path, why: str) -> LocalError:
    return LocalError(f"cannot write {path}: {why}", "Name a file in a directory that you may write.")


def _confirmed(question: str) -> bool:
    """What a person says. Raises LocalError where nobody is there to say it."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)
        raise LocalError(
            "nobody answered, so nothing was written", "Add --yes to apply without asking."
        ) from None


def _ask_info(config: "Config", request: object) -> "LearningInfo":
    from bollard.server.ask import ask
    from bollard.server.learning_records import LearningInfo

    answer = ask(config, request)  # type: ignore[arg-type]  # one of the four requests of learning
    assert isinstance(answer, LearningInfo)
    return answer


def _preset_filters(presets: tuple[str, ...]) -> list[str]:
    """All filters of these presets, with their own parameters."""
    from bollard.base.toml import suggest
    from bollard.policy.presets import PRESETS, expand

    found: list[str] = []
    for name in presets:
        preset = PRESETS.get(name)
        if preset is None:
            raise click.UsageError(f"there is no preset {name!r}. {suggest(name, PRESETS)}")
        values = {key: value if value is not None else ("+",) for key, value in preset.parameters.items()}
        rights = expand(preset, values)
        found += [
            text for right in ("publish", "subscribe", "retain", "will") for text in rights.get(right, ())
        ]
    return found


def _show(info: "LearningInfo") -> None:
    if info.phase == "off":
        click.echo(pointed("Nothing is being learned. Begin: bollard learn start ID"))
        return
    state = "until" if info.phase == "learning" else "it ended"
    click.echo(visible(f"learning     {', '.join(info.who)}, {state} {_minute(info.until)}"))
    click.echo(visible(f"ceiling      {', '.join(info.ceiling)}"))
    who, topics = count(info.identities, "identity", "identities"), count(info.topics, "topic")
    click.echo(f"observed     {who}, {topics}, {count(info.messages, 'message')}")
    click.echo(f"denied       {info.denied:,}: outside of policy and ceiling")
    if info.left_out:
        names = ", ".join(list(info.left_out)[:5])
        click.echo(
            visible(
                f"no room for  {count(sum(info.left_out.values()), 'message')} on further topics: {names}"
            )
        )
    if info.proposal:
        click.echo(f"proposed     {_minute(info.proposed_at)}")
        _show_shadow(info)


def _show_shadow(info: "LearningInfo") -> None:
    """What the proposal would have denied since it was made."""
    denied = sum(one.count for one in info.would_deny)
    click.echo(f"since then   {count(info.judged, 'message')}, of which it would have denied {denied:,}")
    if info.would_deny:
        rows = [(one.identity, one.right, one.topic, f"{one.count:,}") for one in info.would_deny[:SHOWN]]
        say_table(("identity", "right", "topic", "times"), rows)


def _minute(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
