"""Many identities in one transaction: all of them, or none."""

from pathlib import Path

import pytest

from bollard.base.errors import LocalError
from bollard.identity.records import CertificateRecord, CertificateState, Identity, State
from bollard.store.database import open_database
from bollard.store.devices import DeviceStore


def identity(name: str) -> Identity:
    record = CertificateRecord(7, CertificateState.ISSUING, 20, 10, 10)
    return Identity(name, f"uuid of {name}", "device", State.PENDING, 10, 10, certificates=(record,))


def test_a_batch_of_which_one_cannot_be_stored_is_not_stored_at_all(tmp_path: Path) -> None:
    database = open_database(tmp_path / "registry.db")
    store = DeviceStore(database)
    with pytest.raises(LocalError, match="another identity"):
        store.save_all([identity("first"), identity("thief of its serial")])
    assert store.load() == []
    store.save_all([identity("first")])
    assert [known.id for known in store.load()] == ["first"]
    database.close()
