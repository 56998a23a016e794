"""JSON that others have written: read within bounds, and wrong in one way only, `ValueError`."""

import json
from typing import Any


def load_json(text: bytes | str, max_size: int | None = None) -> Any:
    """What the JSON `text` says; any type. Raises `ValueError` for what is none, for more than `max_size`
    bytes (or characters), and for what is nested deeper than the stack allows."""
    if max_size is not None and len(text) > max_size:
        raise ValueError("it is too long")
    try:
        return json.loads(text)
    except RecursionError:  # attack: 30,000 brackets
        raise ValueError("it is nested too deep") from None
