from dataclasses import replace

import pytest

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity.records import Approval
from bollard.identity.refusals import EnrollmentRefused
from bollard.identity.tokens import (
    RETRY_S,
    EnrollmentString,
    claimed,
    may_connect,
    new_token,
    pin_of,
    read_enrollment_string,
)

from .conftest import NOW

SECRET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
STRING = EnrollmentString("broker.local", 8883, bytes(range(16)), "plug", Secret(SECRET.encode()))
KEY, OTHER_KEY = b"k" * 32, b"o" * 32
TOKEN = new_token(b"v" * 32, now=NOW, life_s=3600, approval=False)


@pytest.mark.parametrize("host", ["broker.local", "192.168.1.7", "fd00::7", "a"])
@pytest.mark.parametrize("identity", ["plug", "a.b-c_d", "x" * 64, "9"])
def test_what_is_written_is_read_again(host: str, identity: str) -> None:
    written = replace(STRING, host=host, identity=identity)
    read = read_enrollment_string(f" {written.text()}\n")
    assert (read.host, read.port, read.pin, read.identity) == (host, 8883, STRING.pin, identity)
    assert read.secret.reveal() == SECRET.encode()


def test_the_form_is_the_documented_one() -> None:
    assert STRING.text() == f"BOL1:broker.local:8883#AAAQEAYEAUDAOCAJBIFQYDIOB4.plug.{SECRET}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "BOL1:",
        STRING.text()[:-1],
        STRING.text() + "A",
        STRING.text().replace("BOL1", "BOL2"),
        STRING.text().replace("8883", "0"),
        STRING.text().replace("8883", "65536"),
        STRING.text().replace("plug", ""),
        STRING.text().replace("plug", "anonymous"),
        STRING.text().replace("plug", ".plug"),
        STRING.text().replace("plug", "a/b"),
        STRING.text().replace("broker.local", ""),
        STRING.text().replace("broker.local", "a@b"),
        STRING.text().replace("AAAQ", "aaaq"),
        STRING.text().lower(),
    ],
)
def test_what_is_no_string_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(LocalError) as error:
        read_enrollment_string(text)
    assert SECRET not in str(error.value)


def test_the_secret_does_not_show() -> None:
    assert SECRET not in repr(STRING)


def test_a_root_is_recognized_by_its_hash() -> None:
    string = replace(STRING, pin=pin_of(b"DER of the root"))
    assert string.recognizes(b"DER of the root")
    assert not string.recognizes(b"DER of another root")


@pytest.mark.parametrize("life_s", [0, 59, 30 * 86_400 + 1, float("nan"), float("inf")])
def test_a_life_without_sense_is_refused(life_s: float) -> None:
    with pytest.raises(LocalError, match="a minute to 30 days"):
        new_token(b"v" * 32, now=NOW, life_s=life_s, approval=False)


def test_a_token_may_be_spent_until_its_end() -> None:
    assert may_connect(TOKEN, NOW) == ""
    assert may_connect(TOKEN, NOW + 3599) == ""
    assert "expired" in may_connect(TOKEN, NOW + 3600)


def test_a_spent_token_answers_its_own_device_for_ten_minutes() -> None:
    spent = replace(TOKEN, key=KEY, spent_at=NOW + 3599, certificate=b"DER")
    assert may_connect(spent, NOW + 3599 + RETRY_S) == ""
    assert "has been used" in may_connect(spent, NOW + 3600 + RETRY_S)


def test_a_clock_that_was_set_back_ends_every_token() -> None:
    assert "clock" in may_connect(TOKEN, NOW - 86_400)
    assert may_connect(TOKEN, NOW - 10) == ""


def test_the_first_key_binds_the_token() -> None:
    bound = claimed(TOKEN, KEY, NOW)
    assert bound.key == KEY
    assert claimed(bound, KEY, NOW + 5) == bound
    with pytest.raises(EnrollmentRefused, match="another key"):
        claimed(bound, OTHER_KEY, NOW + 5)


def test_no_token_no_claim() -> None:
    with pytest.raises(EnrollmentRefused):
        claimed(None, KEY, NOW)
    with pytest.raises(EnrollmentRefused, match="expired"):
        claimed(TOKEN, KEY, NOW + 3600)


def test_approval_is_asked_for_where_the_owner_wants_it() -> None:
    assert TOKEN.approval is Approval.NONE
    assert new_token(b"v" * 32, now=NOW, life_s=60, approval=True).approval is Approval.REQUIRED
