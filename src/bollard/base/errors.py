"""Every exception that crosses a floor.

Two families must never mix: `PeerError` says that *they* broke the protocol and carries what the
specification lets us tell them; `LocalError` says that *we* cannot do something and tells our own
user what to do about it. Text of a `LocalError` never travels to a peer.
"""

from pathlib import Path


class BollardError(Exception):
    """Base of all errors; `exit_code` is what a command ends with when nobody handles it."""

    exit_code = 1


class PeerError(BollardError):
    """The peer broke the protocol: close its connection, with `code` where the version has codes.

    `code` is an MQTT 5.0 reason code; `clause` the normative statement, such as "MQTT5-3.1.2-3".
    """

    def __init__(self, code: int, text: str, clause: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.clause = clause

    def __str__(self) -> str:
        return f"{self.text} [{self.clause}]" if self.clause else self.text


class MalformedPacket(PeerError):
    """The bytes cannot be a packet: reason code 0x81."""

    def __init__(self, text: str, clause: str = "") -> None:
        super().__init__(0x81, text, clause)


class ProtocolError(PeerError):
    """A well-formed packet that is not allowed here: reason code 0x82."""

    def __init__(self, text: str, clause: str = "") -> None:
        super().__init__(0x82, text, clause)


class LocalError(BollardError):
    """We could not do what was asked: `message` says what, `remedy` what to do next."""

    exit_code = 2

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  {self.remedy}" if self.remedy else self.message


class ConfigError(LocalError):
    """A file of ours is wrong: where, what was found, what is expected."""

    def __init__(self, message: str, file: Path | str = "", line: int = 0, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.file = str(file)
        self.line = line

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.line else f"{self.file}: " if self.file else ""
        return place + super().__str__()
