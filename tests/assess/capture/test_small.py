"""Masks and hashes of secrets, and makers of network cards."""

from pathlib import Path

import pytest

from assess.capture.scene import jwt
from bollard.assess.capture.hardware import Makers
from bollard.assess.capture.masking import bearer, digest, expiry, mask, signed_token, utc


def test_a_mask_leaves_what_finds_a_name_again() -> None:
    assert mask("heating") == "he\u2026 (7 characters)"
    assert mask("me") == "(2 characters)"


def test_a_digest_compares_and_tells_nothing() -> None:
    assert digest(b"a") == digest(b"a") != digest(b"b")
    assert len(digest(b"a")) == 16


def test_tokens_are_found_within_other_text() -> None:
    token = jwt(exp=5)
    assert signed_token(b"x=" + token + b"&y") == token
    assert signed_token(b"eyJhb.nothing") == b""
    assert bearer(b"Bearer abcdefghij") == b"abcdefghij"
    assert bearer(b"Basic abcdefghij") == b""


@pytest.mark.parametrize(
    ("token", "end"),
    [
        (jwt(exp=5), 5),
        (jwt(), None),
        (jwt(exp=-1), None),
        (b"no token", None),
        (b"a.!!.c", None),
        (b"a.W10.c", None),
    ],
)
def test_the_end_of_a_token_is_read_or_is_none(token: bytes, end: int | None) -> None:
    assert expiry(token) == end


def test_moments_that_no_calendar_has_are_nothing() -> None:
    assert utc(0) == "1970-01-01T00:00:00.000Z"
    assert utc(1 << 70) == ""


@pytest.mark.parametrize(
    "line", ["240AC4     (base 16)\t\tEspressif Inc.", "240AC4 Espressif Inc."], ids=["ieee", "nmap"]
)
def test_makers_are_looked_up_in_the_systems_list(tmp_path: Path, line: str) -> None:
    path = tmp_path / "oui.txt"
    path.write_text(f"OUI list\n\n{line}\n")
    makers = Makers({"240ac4", "000000"}, (str(tmp_path / "none"), str(path)))
    assert makers.describe("24:0a:c4:01:02:03") == "24:0a:c4:01:02:03 (Espressif Inc.)"
    assert makers.describe("b8:27:eb:01:02:03") == "b8:27:eb:01:02:03"
    assert makers.describe("26:0a:c4:01:02:03").endswith("(chosen by software)")
