"""Hashes of passwords that people chose: our own kind, and those of other brokers."""

import base64
import contextlib
import hashlib

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from hypothesis import given, settings
from hypothesis import strategies as st

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity.passwords import (
    MAX_ROUNDS,
    check_chosen,
    check_stored,
    is_carried_over,
    make_hash,
    matches,
)

PEPPER, OTHER_PEPPER = b"p" * 32, b"q" * 32
RIGHT, WRONG = Secret(b"correct horse battery"), Secret(b"correct horse batterz")
SALT = b"twelve bytes"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def adapted(data: bytes) -> str:
    return b64(data).rstrip("=").replace("+", ".")


#: As mosquitto_passwd writes them (its source: base64 of salt and digest), and as passlib does.
FOREIGN = {
    "pbkdf2 of mosquitto": "$7$101$"
    f"{b64(SALT)}${b64(hashlib.pbkdf2_hmac('sha512', RIGHT.reveal(), SALT, 101))}",
    "sha512 of older mosquitto": f"$6${b64(SALT)}${b64(hashlib.sha512(RIGHT.reveal() + SALT).digest())}",
    "pbkdf2-sha256": "$pbkdf2-sha256$29000$"
    f"{adapted(SALT)}${adapted(hashlib.pbkdf2_hmac('sha256', RIGHT.reveal(), SALT, 29000))}",
    "pbkdf2-sha512": "$pbkdf2-sha512$1000$"
    f"{adapted(SALT)}${adapted(hashlib.pbkdf2_hmac('sha512', RIGHT.reveal(), SALT, 1000))}",
}


def test_a_hash_made_here_matches_its_password_and_no_other() -> None:
    stored = make_hash(PEPPER, RIGHT)
    assert matches(PEPPER, RIGHT, stored)
    assert not matches(PEPPER, WRONG, stored)
    assert not matches(PEPPER, Secret(b""), stored)
    assert not is_carried_over(stored)


def test_a_stolen_hash_is_worth_nothing_without_the_pepper() -> None:
    assert not matches(OTHER_PEPPER, RIGHT, make_hash(PEPPER, RIGHT))


def test_two_hashes_of_one_password_differ() -> None:
    assert make_hash(PEPPER, RIGHT) != make_hash(PEPPER, RIGHT)


def test_our_own_kind_has_the_parameters_that_the_documentation_promises() -> None:
    assert make_hash(PEPPER, RIGHT).startswith("$peppered$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_hash_of_another_broker_matches_its_password_and_no_other(kind: str) -> None:
    stored = check_stored(FOREIGN[kind])
    assert matches(PEPPER, RIGHT, stored)
    assert not matches(PEPPER, WRONG, stored)
    assert is_carried_over(stored)


def test_an_argon2id_hash_without_pepper_is_taken() -> None:
    foreign = Argon2id(salt=SALT, length=32, iterations=1, lanes=1, memory_cost=64)
    stored = check_stored(foreign.derive_phc_encoded(RIGHT.reveal()))
    assert matches(PEPPER, RIGHT, stored)
    assert not matches(PEPPER, WRONG, stored)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "plain",
        "$8$101$c2FsdHNhbHQ=$" + b64(bytes(64)),
        "$7$c2FsdHNhbHQ=$" + b64(bytes(64)),
        "$7$0$c2FsdHNhbHQ=$" + b64(bytes(64)),
        "$7$-5$c2FsdHNhbHQ=$" + b64(bytes(64)),
        f"$7${MAX_ROUNDS + 1}$c2FsdHNhbHQ=$" + b64(bytes(64)),
        "$7$101$c2FsdHNhbHQ=$" + b64(bytes(63)),
        "$7$101$$" + b64(bytes(64)),
        "$7$101$c2FsdHNhbHQ=$no base64",
        "$6$c2FsdHNhbHQ=$" + b64(bytes(64)) + "$more",
        "$argon2id$v=19$m=19456,t=2,p=1$short",
        "$argon2id$v=19$m=999999,t=2,p=1$" + "A" * 22 + "$" + "A" * 43,
        "$argon2id$v=19$m=19456,t=99,p=1$" + "A" * 22 + "$" + "A" * 43,
        "$argon2id$v=19$m=0,t=1,p=1$" + "A" * 22 + "$" + "A" * 43,
        "$peppered$argon2id$v=19$m=64,t=1,p=1$" + "A" * 22 + "$" + "A" * 43,
        "$7$101$" + "A" * 2000,
    ],
)
def test_a_hash_that_is_broken_unknown_or_too_dear_is_refused_and_matches_nothing(stored: str) -> None:
    with pytest.raises(LocalError) as told:
        check_stored(stored)
    assert len(stored) < 20 or stored[10:] not in str(told.value)
    assert not matches(PEPPER, RIGHT, stored)


@pytest.mark.parametrize(
    ("identity", "password", "why"),
    [
        ("anna", b"short", "at least 12"),
        ("anna", b"aaaaaaaaaaaaaaaa", "guessed"),
        ("anna", b"my Anna password 1", "guessed"),
        ("anna", b"x1" * 200, "longer"),
        ("anna", b"\xff" * 20, "text"),
        ("anna", b"tabs\tare no password", "typed"),
    ],
)
def test_a_bad_password_is_refused_with_the_reason(identity: str, password: bytes, why: str) -> None:
    with pytest.raises(LocalError, match=why) as told:
        check_chosen(identity, Secret(password))
    assert password.decode("latin-1") not in str(told.value)


def test_a_good_password_is_taken() -> None:
    check_chosen("anna", Secret("vier Wörter ohne Zusammenhang".encode()))
    check_chosen("x", Secret(b"extra large boxes"))


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=200)
    | st.from_regex(r"\$(6|7|pbkdf2-sha256|pbkdf2-sha512)(\$[0-9]{0,4})?\$[A-Za-z0-9+/=.]*\$[A-Za-z0-9+/=.]*")
    | st.from_regex(
        r"\$argon2id\$v=19\$m=[0-9]{1,3},t=[0-3],p=[0-4]\$[A-Za-z0-9+/]{11,30}\$[A-Za-z0-9+/]{22,50}",
        fullmatch=True,
    ),
    st.binary(max_size=40),
)
def test_whatever_is_stored_is_a_plain_no_unless_it_was_made_from_the_password(
    stored: str, password: bytes
) -> None:
    assert matches(PEPPER, Secret(password), stored) is False
    with contextlib.suppress(LocalError):
        check_stored(stored)
