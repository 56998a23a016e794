import json
import tracemalloc

import pytest

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity import sealed
from bollard.identity.sealed import MAX_COST, MIN_COST, seal, unseal

SECRET, PASSPHRASE = Secret(b"what opens the keys"), Secret(b"correct horse battery staple")


@pytest.fixture(scope="module")
def text() -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed, "COST", MIN_COST)
        return seal(SECRET, PASSPHRASE)


def changed(text: bytes, **changes: object) -> bytes:
    return json.dumps(json.loads(text) | changes).encode()


def test_the_passphrase_opens_and_another_does_not(text: bytes) -> None:
    opened = unseal(text, PASSPHRASE)
    assert opened is not None
    assert opened.reveal() == SECRET.reveal()
    assert unseal(text, Secret(b"correct horse battery stable")) is None


def test_neither_secret_nor_passphrase_is_in_the_file(text: bytes) -> None:
    assert SECRET.reveal() not in text
    assert PASSPHRASE.reveal() not in text


def test_the_cost_in_force_takes_128_mib_and_each_file_has_its_own_salt(text: bytes) -> None:
    assert 128 * sealed.COST * 8 == 128 * 1_048_576
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed, "COST", MIN_COST)
        assert json.loads(seal(SECRET, PASSPHRASE))["salt"] != json.loads(text)["salt"]


@pytest.mark.parametrize(
    "changes",
    [
        {"n": 2 * MAX_COST},
        {"n": 2**40},
        {"n": MIN_COST // 2},
        {"n": MIN_COST + 1},
        {"n": -1},
        {"n": 1e300},
        {"r": 1024},
        {"p": 2**20},
        {"p": 0},
        {"salt": ""},
        {"salt": "A" * 2000},
        {"nonce": "AAAA"},
        {"sealed": ""},
        {"version": 2},
        {"kdf": "none"},
        {"more": 1},
    ],
)
def test_parameters_out_of_bounds_cost_nothing(text: bytes, changes: dict[str, object]) -> None:
    """Attack: a planted file that has the next start take all memory, or all time."""
    tracemalloc.start()
    try:
        with pytest.raises(LocalError, match="damaged"):
            unseal(changed(text, **changes), PASSPHRASE)
        assert tracemalloc.get_traced_memory()[1] < 1_048_576
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff", b" " * 5000 + b"{}", b"[" * 4000])
def test_what_is_no_such_file_is_told(text: bytes) -> None:
    with pytest.raises(LocalError, match="damaged"):
        unseal(text, PASSPHRASE)


def test_parameters_that_were_changed_do_not_open(text: bytes) -> None:
    about = json.loads(text)
    assert unseal(changed(text, n=about["n"] * 2), PASSPHRASE) is None
    assert unseal(changed(text, p=2), PASSPHRASE) is None


def test_too_little_memory_is_told(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(**_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(sealed, "Scrypt", none)
    with pytest.raises(LocalError, match="16 MiB"):
        unseal(text, PASSPHRASE)
