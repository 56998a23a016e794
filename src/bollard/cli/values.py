"""Values of options that more than one command takes, refused in words that say what to write."""

from typing import Any

import click

MAX_PORT = 65_535


class Port(click.IntRange):
    """A TCP port. With `free`, 0 is one too: any that nobody uses."""

    def __init__(self, *, free: bool = False) -> None:
        super().__init__(0 if free else 1, MAX_PORT)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            also = "; 0 takes a free one" if self.min == 0 else ""
            self.fail(
                f"{value!r} is no port: write a number from 1 to {MAX_PORT}, such as 8883{also}.", param, ctx
            )
