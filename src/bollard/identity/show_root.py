"""Gives the server root in force to whoever asks: for a device that knows only its pin.

    CONNECT  method BOLLARD-ROOT, no data
    AUTH     the server root, DER

The device compares its SHA-256 with the pin and hangs up; nobody is ever accepted by this method. What it
gives is public, and worth nothing to a device until the pin says that it is right.
"""

from collections.abc import Callable

from bollard.base.authentication import Answer, Challenge, Question, Refused

METHOD = "BOLLARD-ROOT"
NOT_AUTHORIZED = 0x87


class ShowRootMechanism:
    """`Mechanism` for `METHOD`; `root` gives the DER of the P-256 server root, the one that pins name now."""

    def __init__(self, root: Callable[[], bytes]) -> None:
        self._root = root

    def start(self, question: Question) -> Answer:
        question.exchange = METHOD
        return Challenge(self._root())

    def proceed(self, question: Question) -> Answer:
        return Refused(NOT_AUTHORIZED, f"{METHOD} only shows the root", "nothing but the root is given here")
