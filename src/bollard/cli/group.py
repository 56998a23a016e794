"""A group of commands that tells somebody who types a word it does not have where that is."""

from collections.abc import Iterator

import click

#: Words that other tools have for what a command here does.
MEANT = {
    "start": "up",
    "run": "up",
    "add": "enroll",
    "create": "enroll",
    "list": "devices",
    "clients": "status",
    "remove": "devices revoke",
    "delete": "devices revoke",
    "passwd": "devices password",
    "backup": "store backup",
    "restore": "store restore",
    "publish": "pub",
    "subscribe": "sub",
    "version": "--version",
    "help": "--help",
}


class Group(click.Group):
    """`click.Group`; an unknown command is a usage error that names the one that was meant, wherever it is."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            ctx.fail(_unknown(self, ctx, name))
        return super().resolve_command(ctx, args)


def _unknown(group: Group, ctx: click.Context, name: str) -> str:
    from bollard.base.toml import suggest

    root = ctx.find_root()
    where = f" in {ctx.command_path}" if ctx.parent is not None else ""
    known = [path for path in paths(root.command, root) if path[-1] == name]
    meant = [MEANT[name]] if name in MEANT else []
    meant += [text for text in map(" ".join, known) if text not in meant]
    if meant:
        commands = " or ".join(f"`{root.command_path} {text}`" for text in meant)
        return f"there is no command {name!r}{where}. Did you mean {commands}?"
    return f"there is no command {name!r}{where}. {suggest(name, group.list_commands(ctx))}"


def paths(
    command: click.Command, ctx: click.Context, before: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """The names that lead to every command below `command`."""
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(ctx):
        yield (*before, name)
        found = command.get_command(ctx, name)
        if found is not None:
            yield from paths(found, ctx, (*before, name))
