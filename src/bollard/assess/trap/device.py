"""The device's own program, where a command starts it: for each endpoint anew, ended with the endpoint."""

import asyncio
import contextlib
import os
import re
import shlex
import signal
from collections.abc import Mapping

from bollard.assess.trap.door import Stand
from bollard.base.errors import LocalError

#: What may stand in the command, in braces.
PLACEHOLDERS = ("host", "port", "plain_port", "cafile", "crlfile", "endpoint")
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}|\{([^\W\d]\w*)\}")
#: Between the end of the command and its next start.
PAUSE_S = 0.1
#: Starts without any visit, after which the command is given up.
MAX_IDLE_STARTS = 3


def words(command: str, values: Mapping[str, str]) -> list[str]:
    """The command as words, each `{name}` replaced by its value, and `{{name}}` by `{name}`. No shell sees it.

    Raises LocalError for what is no command, and for a name that has no value: the device would get it as it is.
    """
    try:
        parts = shlex.split(command)
    except ValueError as error:
        raise LocalError(f"--run: {error}", "Write it as for a shell, with closed quotes.") from None
    if not parts:
        raise LocalError("--run is empty", "For example: --run 'mosquitto_sub -h {host} -p {port} -t x'.")
    unknown = {found[2] for part in parts for found in _PLACEHOLDER.finditer(part) if found[2]} - set(values)
    if unknown:
        names = ", ".join(f"{{{each}}}" for each in sorted(unknown))
        known = " ".join(f"{{{each}}}" for each in values)
        raise LocalError(
            f"--run: there is no {names}", f"There are {known}. What is meant as it is: {{{{…}}}}."
        )
    return [
        _PLACEHOLDER.sub(lambda found: values[found[2]] if found[2] else f"{{{found[1]}}}", part)
        for part in parts
    ]


async def run_device(parts: list[str], stand: Stand, *, again: bool) -> None:
    """Keep the command running for as long as the endpoint is open: until cancelled.

    With `again` it is started anew when it has ended, as a device that restarts. How it ended is noted.
    """
    idle = 0
    while idle < MAX_IDLE_STARTS:
        before = stand.arrivals
        code = await _run(parts)
        stand.command = f"its command ended by itself with {code}" if code >= 0 else _died(code)
        stand.crashed = stand.crashed or code in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS)
        stand.changed.set()
        if not again:
            return
        idle = idle + 1 if stand.arrivals == before else 0
        await asyncio.sleep(PAUSE_S)


def _died(code: int) -> str:
    return f"its command was ended by {signal.Signals(-code).name}"


async def _run(parts: list[str]) -> int:
    quiet = asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *parts, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )
    except OSError as error:
        raise LocalError(f"--run: cannot start {parts[0]}: {error.strerror}", "Check its path.") from None
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
