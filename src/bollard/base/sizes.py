"""Sizes as people write them: "64KiB". Pure functions from text to value; they raise `ValueError` with what
was expected, and who asked adds the file and the line."""

import re

SIZES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "kB": 1000, "MB": 1000**2, "GB": 1000**3}
_QUANTITY = re.compile(r"(\d{1,15}(?:\.\d{1,6})?) ?([A-Za-z]+)")


def parse_size(value: object) -> int:
    """Bytes: a whole number, or text with a unit such as "64KiB" or "1MB"."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number, unit = parse_quantity(value, SIZES, 'a size such as 65536 or "64KiB"')
    size = number * SIZES[unit]
    if size != int(size):
        raise ValueError("a whole number of bytes")
    return int(size)


def parse_quantity(
    value: object, units: dict[str, float] | dict[str, int], expected: str
) -> tuple[float, str]:
    """The number and the unit, one of `units`, that the text `value` consists of."""
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] not in units:
        raise ValueError(f"{expected} (units: {', '.join(units)})")
    return float(match[1]), match[2]
