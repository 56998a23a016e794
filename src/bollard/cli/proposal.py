"""Commands that a message proposes: they mean the installation that this command is about.

Messages are written where a fault is found, often in the broker, where nobody knows how the user named the
installation. So what is proposed is completed here, where it is said.
"""

import re
import shlex
from pathlib import Path

import click

from bollard.cli.output import visible

#: Where click's context keeps what was given: the option and its value.
_PLACE = "bollard.place"
_PROPOSED = re.compile(r"\bbollard((?: [a-z]+)+)")
_OPTIONS = (" --dir", " --config")


def remember(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    """Callback of `--dir` and `--config`: proposals repeat what was given last."""
    if value is not None:
        ctx.meta[_PLACE] = (parameter.opts[0], value)
    return value


def pointed(text: str) -> str:
    """`text`, in which every `bollard` command gets the `--dir` or `--config` that this one was given.

    It comes right after the name of the command, since nothing in a sentence tells where its arguments end.
    The default directory is not repeated, and a command that takes no such option stays as it is.
    """
    ctx = click.get_current_context(silent=True)
    place = ctx.meta.get(_PLACE) if ctx is not None else None
    if ctx is None or place is None or "bollard " not in text or _is_default(*place):
        return text
    option, value = place
    words = f" {option} {visible(shlex.quote(str(value)))}"
    root = ctx.find_root()

    def complete(match: re.Match[str]) -> str:
        name, taken = _taker(root, match[1].split(), option)
        rest = match[1].removeprefix(f" {' '.join(taken)}")
        if not name or (not rest and text.startswith(_OPTIONS, match.end())):
            return match[0]
        return f"bollard {name}{words}{rest}"

    return _PROPOSED.sub(complete, text)


def _taker(root: click.Context, words: list[str], option: str) -> tuple[str, list[str]]:
    """The command to name, "" for none that takes `option`, and how many of `words` are the proposed one."""
    command = root.command
    path: list[str] = []
    for word in words:
        found = command.get_command(root, word) if isinstance(command, click.Group) else None
        if found is None:
            break
        command = found
        path.append(word)
    if any(option in parameter.opts for parameter in command.params):
        return " ".join(path), path
    # `up` has a directory; what runs from a configuration is started by `serve`.
    return ("serve" if path == ["up"] and option == "--config" else ""), path


def _is_default(option: str, value: Path) -> bool:
    from bollard.server.state import default_directory

    return option == "--dir" and value.absolute() == default_directory().absolute()
