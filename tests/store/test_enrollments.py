"""SCRAM keys and enrollment tokens on disk."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bollard.base.errors import LocalError
from bollard.identity.records import Approval, Identity, State, Token
from bollard.identity.scram import ScramKeys
from bollard.store.database import open_database
from bollard.store.devices import DeviceStore

PLUG = Identity("plug", "00000000-0000-0000-0000-000000000001", "device", State.PENDING, 5, 5)
KEYS = ScramKeys(b"s" * 16, 4096, b"k" * 32, b"v" * 32)
FRESH = Token(b"v" * 32, 5, 3605, Approval.REQUIRED)
SPENT = replace(FRESH, approval=Approval.GRANTED, key=b"k" * 32, spent_at=9, certificate=b"DER")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = open_database(tmp_path / "registry.db")
    yield opened
    opened.close()


@pytest.fixture
def store(database: sqlite3.Connection) -> DeviceStore:
    return DeviceStore(database)


@pytest.mark.parametrize("token", [None, FRESH, SPENT])
@pytest.mark.parametrize("scram", [None, KEYS])
def test_everything_comes_back_as_it_was_saved(
    store: DeviceStore, token: Token | None, scram: ScramKeys | None
) -> None:
    store.save(replace(PLUG, token=SPENT, scram=KEYS))
    saved = replace(PLUG, token=token, scram=scram)
    store.save(saved)
    assert store.load() == [saved]


def test_a_token_that_is_half_spent_is_not_stored(store: DeviceStore) -> None:
    store.save(replace(PLUG, token=FRESH))
    with pytest.raises(LocalError):
        store.save(replace(PLUG, state=State.ACTIVE, token=replace(SPENT, certificate=b"")))
    assert store.load() == [replace(PLUG, token=FRESH)]


def test_a_token_needs_the_pepper(store: DeviceStore) -> None:
    store.save(PLUG)
    assert not store.has_verifiers()
    store.save(replace(PLUG, token=FRESH))
    assert store.has_verifiers()
