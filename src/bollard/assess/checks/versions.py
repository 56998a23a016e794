"""Which releases fixed which published weaknesses. Data; what is not listed here is not judged."""

import re
from typing import NamedTuple


class Fix(NamedTuple):
    """One published weakness: the first release that has it, if not the very first, and the first without it."""

    id: str
    fixed_in: str
    since: str = "0"


#: The month up to which the lists below were kept.
NEWEST_FIX = "2024-10"

FIXES: dict[str, tuple[Fix, ...]] = {
    "mosquitto": (
        Fix("CVE-2017-7650", "1.4.12"),
        Fix("CVE-2018-12543", "1.5.3", since="1.5"),
        Fix("CVE-2018-12546", "1.5.6"),
        Fix("CVE-2018-12550", "1.5.6"),
        Fix("CVE-2018-12551", "1.5.6"),
        Fix("CVE-2019-11779", "1.6.6", since="1.5"),
        Fix("CVE-2021-28166", "2.0.10", since="2.0"),
        Fix("CVE-2021-34434", "2.0.12", since="2.0"),
        Fix("CVE-2021-34432", "2.0.8", since="2.0"),
        Fix("CVE-2021-41039", "2.0.12", since="1.6"),
        Fix("CVE-2023-0809", "2.0.16"),
        Fix("CVE-2023-28366", "2.0.16"),
        Fix("CVE-2023-3592", "2.0.16"),
        Fix("CVE-2024-3935", "2.0.19", since="2.0"),
        Fix("CVE-2024-8376", "2.0.19"),
    ),
}


def affects(fix: Fix, version: str) -> bool:
    """Does this version have the weakness, going by the numbers alone?"""
    return not older(version, fix.since) and older(version, fix.fixed_in)


def older(version: str, other: str) -> bool:
    """Is `version` before `other`? Only the numbers count."""
    return _numbers(version) < _numbers(other)


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d{1,9}(\.\d{1,9}){0,4}", version)
    return tuple(map(int, found[0].split("."))) if found else ()
