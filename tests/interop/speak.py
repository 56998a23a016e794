"""The driver's end of the conversation, for the drivers that are Python programs."""

import json
import sys
import threading
from collections.abc import Callable
from typing import Any

_lock = threading.Lock()


def tell(event: str, **fields: Any) -> None:
    with _lock:
        sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
        sys.stdout.flush()


def serve(commands: dict[str, Callable[..., None]]) -> None:
    """Run each command as it comes, until disconnect or the end of input."""
    for line in sys.stdin:
        asked = json.loads(line)
        name = asked.pop("do")
        try:
            commands[name](**asked)
        except Exception as error:
            tell("error", text=f"{type(error).__name__}: {error}")
        if name == "disconnect":
            return
