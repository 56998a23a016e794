"""The canonical report: JSON of a versioned schema. All other formats are made from it."""

from pathlib import Path

import msgspec

from bollard.assess.model import SCHEMA, Report
from bollard.base.errors import ConfigError

#: A report of a thousand listeners is far below it.
MAX_BYTES = 64 * 1_048_576


def render(report: Report) -> str:
    """The report as JSON, indented, ASCII, so that no text in it can move a terminal."""
    text = msgspec.json.format(msgspec.json.encode(report), indent=1).decode()
    return "".join(char if char < "\x7f" else _escaped(char) for char in text) + "\n"


def _escaped(char: str) -> str:
    """A character outside ASCII as JSON writes it: one escape, or two beyond the first plane."""
    code = ord(char)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 | code >> 10:04x}\\u{0xDC00 | code & 0x3FF:04x}"


def read(path: Path) -> Report:
    """The report in a file. Raises `ConfigError` for what is none, or of a schema not known here."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read the report: {error.strerror}", path) from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"the report is larger than {MAX_BYTES} bytes", path)
    try:
        report = msgspec.json.decode(data, type=Report)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigError(
            f"this is no report: {error}", path, remedy="Expected is what `bollard scan --json` printed."
        ) from None
    if report.schema != SCHEMA:
        raise ConfigError(
            f"the report's schema is {report.schema[:100]!a}, and {SCHEMA} is known here",
            path,
            remedy="Use the version of Bollard that wrote it, or a newer one.",
        )
    return report
