"""Prints docs/CONFIGURATION.md from the table of keys that the loader reads by.

`--check` writes nothing and ends with 1 if the file on disk differs.
"""

import sys
from pathlib import Path

from bollard.server import settings
from bollard.server.settings import Setting, limit_default

TARGET = Path(__file__).parent.parent / "docs" / "CONFIGURATION.md"

HEAD = """\
# Configuration

<!-- Written by tools/config_reference.py from src/bollard/server/settings.py. Edit there. -->

One TOML file, given by `bollard serve --config FILE`; `bollard up` writes one, with comments, into its state directory and reads it from there. It is validated whole before anything starts: an unknown key, a wrong type, a bad value or a missing file is told with file, line and what is expected, and the command ends with 2. `bollard check --config FILE` does only that.

The state directory, the files in it and the files with secrets belong to root or to the user that runs `bollard`; others
are refused, with the owner's number and the `chown` that takes them over. In a container, give the volume to the user that
runs there. Links are followed to `pass_file`, `pin_file` and the state directory, not within it.

Sizes are bytes, or text with a unit: `"64KiB"`, `"1MB"`. Durations are seconds, or text: `"30s"`, `"5m"`, `"7d"`. Relative paths start at the folder of the file.

What weakens the broker is called `allow_…`, is off, and is named at every start.

```toml
state_dir = "/var/lib/bollard"
policy    = "policy.toml"

[[listener]]
bind = "0.0.0.0:8883"            # TLS, unless said otherwise here

[[listener]]
bind = "0.0.0.0:8884"
transport = "websocket"          # inside TLS
origins = ["https://console.example"]

[[listener]]
bind = "127.0.0.1:1883"
allow_plaintext = true           # refused off loopback unless allow_plaintext_from lists networks
allow_anonymous = true           # the principal "anonymous"; it still has only what policy grants
```

SIGHUP reads the policy and the certificates again; the policy file is also read again when it is saved. Changes of this file take effect at the next start.
"""


def table(rows: tuple[Setting, ...]) -> list[str]:
    """The rows of one table of the file, as Markdown."""
    lines = ["| key | default | what it is |", "|---|---|---|"]
    return lines + [f"| `{row.key}` | {row.default or ''} | {row.help} |" for row in rows if row.default]


def limits() -> list[str]:
    """The rows of [limits]; their defaults come from the classes that hold them."""
    lines = ["| key | default | what it stops |", "|---|---|---|"]
    return lines + [f"| `{row.key}` | {shown(row)} | {row.help} |" for row in settings.LIMITS]


def shown(row: Setting) -> str:
    """A default as one would write it in the file."""
    value = limit_default(row.key)
    if isinstance(value, bool):
        return str(value).lower()
    assert isinstance(value, int | float)
    if row.kind == "size" and value >= 1024 and value % 1024 == 0:
        mebibytes = value % 1024**2 == 0
        return f'"{value // 1024**2:g}MiB"' if mebibytes else f'"{value // 1024:g}KiB"'
    if row.kind == "duration" and value >= 3600:
        days = value % 86_400 == 0
        return f'"{value // 86_400:g}d"' if days else f'"{value // 3600:g}h"'
    return f"{value:g}" if value < 1_000_000 else str(value)


def text() -> str:
    parts = [HEAD, "## The file itself\n", *table(settings.ROOT), ""]
    parts += ["## `[[listener]]`\n", *table(settings.LISTENER), ""]
    parts += ["## `[metrics]`\n", *table(settings.METRICS), ""]
    parts += ["## `[est]`\n", *table(settings.EST), ""]
    parts += ["## `[log]`\n", *table(settings.LOG), ""]
    parts += ["## `[store]`\n", *table(settings.STORE), ""]
    parts += ["## `[audit]`\n", *table(settings.AUDIT), ""]
    parts += ["## `[authorities]`\n", *table(settings.AUTHORITIES), ""]
    parts += [
        "## `[limits]`\n",
        "Every bound is on. Each is named here by the abuse that it stops.\n",
        *limits(),
        "",
    ]
    return "\n".join(parts)


def main() -> int:
    if "--check" in sys.argv[1:]:
        current = TARGET.read_text() if TARGET.exists() else ""
        if current != text():
            sys.stderr.write(f"{TARGET.name} is not up to date: run python tools/config_reference.py\n")
            return 1
        return 0
    TARGET.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
