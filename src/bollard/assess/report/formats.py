"""The formats by name, and how a report gets into a file: readable by its owner alone."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from bollard.assess.model import Report
from bollard.assess.report import canonical, junit, markdown, page, sarif, table, terminal
from bollard.base.errors import LocalError

FORMATS: dict[str, Callable[[Report], str]] = {
    "text": terminal.render,
    "json": canonical.render,
    "html": page.render,
    "sarif": sarif.render,
    "junit": junit.render,
    "markdown": markdown.render,
    "csv": table.render,
}
#: Which format the ending of a file's name means.
ENDINGS = {
    ".txt": "text",
    ".json": "json",
    ".html": "html",
    ".htm": "html",
    ".sarif": "sarif",
    ".xml": "junit",
    ".md": "markdown",
    ".csv": "csv",
}


def write(path: Path, text: str) -> None:
    """Put `text` into the file at `path`, whole or not at all, with mode 0600: reports name weaknesses."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise LocalError(
            f"cannot write {path}: {error.strerror}", "Check the folder and its rights."
        ) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.replace(name, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise LocalError(f"cannot write {path}: {error.strerror}", "Check the path and its rights.") from None
