"""Asking a person for a passphrase or a PIN, on the terminal that the program was started from.

Nothing that is typed is shown, and none of it goes through arguments or the environment, where other
processes could read it. A program without a terminal is not asked: it would wait for ever.
"""

import getpass
import sys
import unicodedata
import warnings

from bollard.base.errors import LocalError
from bollard.base.types import Secret

#: What protects keys against whoever has a copy of the disk and a hall full of machines.
MIN_CHARACTERS = 16
MAX_CHARACTERS = 1024
TRIES = 3


def ask(what: str) -> Secret:
    """What the person types, as UTF-8 in Unicode's composed form, so that each keyboard gives the same bytes.

    `LocalError` if there is no terminal, none that can hide what is typed, or nothing comes.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        raise LocalError(
            f"there is no terminal to ask for the {what} on",
            "Start it from a terminal; or let a file or a systemd credential open the keys: "
            "[authorities] in the configuration, docs/IDENTITY.md.",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            text = getpass.getpass(f"{what[:1].upper()}{what[1:]}: ")
    except getpass.GetPassWarning:
        raise LocalError(f"this terminal would show the {what}", "Use another one.") from None
    except EOFError:
        raise LocalError(f"no {what} was given") from None
    if len(text) > MAX_CHARACTERS:
        raise LocalError(f"the {what} is longer than {MAX_CHARACTERS} characters")
    return Secret(unicodedata.normalize("NFC", text).encode("utf-8", "surrogateescape"))


def ask_new(what: str) -> Secret:
    """A new passphrase, typed twice. `LocalError` after three that are too short or not the same twice."""
    for _ in range(TRIES):
        first = ask(f"new {what}")
        if len(first.reveal().decode("utf-8", "replace")) < MIN_CHARACTERS:
            _say(f"It needs {MIN_CHARACTERS} characters: four or five words that nobody would put together.")
        elif ask(f"the same {what} again").reveal() != first.reveal():
            _say("The two are not the same.")
        else:
            return first
    raise LocalError(f"no new {what} was set", "Nothing was changed; run the command again.")


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201  # a conversation on the terminal


def say_wrong(what: str) -> None:
    """Tell the person that what was typed was not it."""
    _say(f"That is not the {what}.")
