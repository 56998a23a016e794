"""The options that say which kind of credential: one of them, or none for the kind that is usual."""

import functools
from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., Any]

KINDS = ("password", "certificate", "token")


def credential_options(password: str, certificate: str, token: str) -> Callable[[Command], Command]:
    """Add `--password`, `--certificate` and `--token`, with these lines of help, to a command.

    It gets the one that was given as the keyword `credential`, None for none; two are a usage error.
    """

    def decorate(function: Command) -> Command:
        @functools.wraps(function)
        def with_one(*arguments: Any, **options: Any) -> Any:
            given = [kind for kind in KINDS if options.pop(kind)]
            if len(given) > 1:
                raise click.UsageError(f"--{given[0]} and --{given[1]} exclude each other: give one of them.")
            return function(*arguments, credential=given[0] if given else None, **options)

        for kind, text in reversed(list(zip(KINDS, (password, certificate, token), strict=True))):
            with_one = click.option(f"--{kind}", is_flag=True, help=text)(with_one)
        return with_one

    return decorate
