"""JSON of others: whatever is wrong with it, it is a `ValueError`."""

import pytest

from bollard.base.documents import load_json


def test_what_the_text_says_is_returned() -> None:
    assert load_json(b'{"a": [1, "x"]}', 100) == {"a": [1, "x"]}
    assert load_json("7", 1) == 7


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[" * 30_000, "nested too deep"),
        (b'{"a":' * 6_000, "nested too deep"),
        (b" " * 40_001, "too long"),
        (b"9" * 30_000, "digits"),
        (b"\xff", "decode"),
        (b"{", "Expecting"),
    ],
)
def test_what_is_wrong_is_a_value_error(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        load_json(text, 40_000)
