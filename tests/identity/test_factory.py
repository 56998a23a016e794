"""Factory batches: labels and manifests as they are made, what is refused, and what a label is worth."""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity import factory
from bollard.identity.credentials import Verifier
from bollard.identity.enroll import Desk
from bollard.identity.factory import (
    MAX_DEVICES,
    MAX_MANIFEST_BYTES,
    FactoryDevice,
    Label,
    adopt,
    ensure_key,
    fingerprint,
    load_manifest,
    make_labels,
    read_label,
    read_manifest,
    write_manifest,
)
from bollard.identity.records import State
from bollard.identity.refusals import EnrollmentRefused
from bollard.identity.registry import Registry
from bollard.identity.tokens import pin_of

from .conftest import NOW, Installation, MemoryStorage

YEAR_S = 365 * factory.DAY_S
KEY = Ed25519PrivateKey.generate()


@pytest.fixture
def labels() -> list[Label]:
    return make_labels("METER", start=1, count=3)


@pytest.fixture
def devices(labels: list[Label]) -> tuple[FactoryDevice, ...]:
    return read_manifest(write_manifest(labels, "device", KEY, now=NOW)).devices


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(LocalError) as error:
        act()
    return error.value.message


def test_labels_are_numbered_and_no_secret_comes_twice(labels: list[Label]) -> None:
    assert [label.identity for label in labels] == ["METER-000001", "METER-000002", "METER-000003"]
    assert len({label.secret.reveal() for label in labels}) == 3
    assert {len(label.secret.reveal()) for label in labels} == {32}


def test_a_label_is_read_as_it_was_written_and_fits_the_small_alphabet_of_qr(labels: list[Label]) -> None:
    text = labels[0].text()
    assert text.startswith("BOLF1:METER-000001.")
    assert set(text) <= set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")
    assert read_label(text[:20] + "\n " + text[20:]).secret.reveal() == labels[0].secret.reveal()


@pytest.mark.parametrize(
    "text", ["", "BOLF1:", "BOLF1:x.AAAA", "BOL1:x." + "A" * 32, "BOLF1:anonymous." + "A" * 32]
)
def test_what_is_no_label_is_refused_without_repeating_it(text: str) -> None:
    assert refused(lambda: read_label(text)) == "this is not the text of a label"


def test_a_label_becomes_an_enrollment_string_at_its_buyers_broker(labels: list[Label]) -> None:
    string = labels[0].at_server("::1", 8883, "A" * 26)
    assert (string.host, string.port, string.identity) == ("::1", 8883, "METER-000001")
    assert "pin" in refused(lambda: labels[0].at_server("h", 8883, "a" * 26))


@pytest.mark.parametrize(("start", "count"), [(1, 0), (1, MAX_DEVICES + 1), (0, 1), (999_999, 2)])
def test_a_batch_has_bounds(start: int, count: int) -> None:
    assert refused(lambda: make_labels("P", start=start, count=count))


def test_the_manifest_holds_hashes_and_no_secret(labels: list[Label]) -> None:
    data = write_manifest(labels, "device", KEY, now=NOW)
    manifest = read_manifest(data)
    assert manifest.fingerprint == fingerprint(KEY.public_key())
    assert manifest.created_at == NOW
    for label, device in zip(labels, manifest.devices, strict=True):
        assert label.secret.reveal() not in data
        assert device.secret_sha256 == hashlib.sha256(label.secret.reveal()).hexdigest()


def tampered(change: Callable[[dict[str, Any]], None]) -> bytes:
    content = json.loads(write_manifest(make_labels("METER", start=1, count=2), "device", KEY, now=NOW))
    change(content)
    return json.dumps(content).encode()


TAMPERING: dict[str, Callable[[dict[str, Any]], None]] = {
    "a name": lambda m: m["devices"][0].update(id="METER-000009"),
    "a template": lambda m: m["devices"][0].update(template="admin"),
    "a secret": lambda m: m["devices"][0].update(secret_sha256="0" * 64),
    "a device more": lambda m: m["devices"].append({**m["devices"][0], "id": "METER-000003"}),
    "a device less": lambda m: m["devices"].pop(),
    "the order": lambda m: m["devices"].reverse(),
    "the time": lambda m: m.update(created_at=1),
    "the key": lambda m: m.update(key=Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()),
    "the signature": lambda m: m.update(signature="0" * 128),
}


@pytest.mark.parametrize("what", TAMPERING)
def test_a_manifest_that_was_changed_is_refused(what: str) -> None:
    assert "signature" in refused(lambda: read_manifest(tampered(TAMPERING[what])))


@pytest.mark.parametrize("part", [0, 0.5, 0.99])
def test_a_truncated_manifest_is_refused(part: float, labels: list[Label]) -> None:
    data = write_manifest(labels, "device", KEY, now=NOW)
    assert "not a whole factory manifest" in refused(lambda: read_manifest(data[: int(len(data) * part)]))


@pytest.mark.parametrize("data", [b"[" * 100_000, b"\xff\xfe", b"{}", b'{"version": 2}'])
def test_rubbish_is_no_manifest(data: bytes) -> None:
    assert "not a whole factory manifest" in refused(lambda: read_manifest(data))


def test_fields_of_other_versions_are_refused() -> None:
    assert "not a whole" in refused(lambda: read_manifest(tampered(lambda m: m.update(version=2))))
    assert "not a whole" in refused(lambda: read_manifest(tampered(lambda m: m.update(more=1))))


def test_of_an_oversized_manifest_no_more_is_read_than_one_can_have(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse: reading it whole would end the test
    assert f"larger than {MAX_MANIFEST_BYTES}" in refused(lambda: load_manifest(path))


def test_the_largest_batch_of_the_longest_names_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = make_labels("P" * 57, start=1, count=MAX_DEVICES)
    data = write_manifest(labels, "t" * 64, KEY, now=NOW)
    assert len(read_manifest(data).devices) == MAX_DEVICES


def test_too_many_devices_or_one_twice_are_refused_although_they_are_signed(labels: list[Label]) -> None:
    twice = write_manifest([labels[0], labels[0]], "device", KEY, now=NOW)
    assert "twice" in refused(lambda: read_manifest(twice))
    same = write_manifest([labels[0], replace(labels[0], identity="other")], "device", KEY, now=NOW)
    assert "twice" in refused(lambda: read_manifest(same))
    many = make_labels("A", start=1, count=MAX_DEVICES) + make_labels("B", start=1, count=1)
    assert "whole" in refused(lambda: read_manifest(write_manifest(many, "device", KEY, now=NOW)))
    bad = write_manifest([replace(labels[0], identity="a/#")], "device", KEY, now=NOW)
    assert "cannot be an identity" in refused(lambda: read_manifest(bad))


def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "factory.key"
    key, made = ensure_key(path)
    again, remade = ensure_key(path)
    assert (made, remade) == (True, False)
    assert fingerprint(key.public_key()) == fingerprint(again.public_key())
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    assert "open to other users" in refused(lambda: ensure_key(path))
    path.chmod(0o600)
    path.write_bytes(b"rubbish")
    assert "no Ed25519 key" in refused(lambda: ensure_key(path))


# --- at the buyer's broker ---------------------------------------------------------------------------


def test_an_import_is_one_transaction(
    registry: Registry, storage: MemoryStorage, devices: tuple[FactoryDevice, ...]
) -> None:
    storage.full = True
    refused(lambda: adopt(registry, devices, now=NOW, life_s=YEAR_S))
    assert registry.list() == ()
    storage.full = False
    assert adopt(registry, devices, now=NOW, life_s=YEAR_S) == (3, 0)
    assert [known.state for known in registry.list()] == [State.PENDING] * 3
    assert registry.snapshot().generation == 2


def test_a_label_may_be_spent_from_its_import_on_for_its_life(
    registry: Registry, pristine: Installation, labels: list[Label], devices: tuple[FactoryDevice, ...]
) -> None:
    desk = Desk(registry, pristine.authorities)
    adopt(registry, devices, now=NOW, life_s=YEAR_S)
    desk.check_secret("METER-000001", labels[0].secret, now=NOW + YEAR_S - 1)
    with pytest.raises(EnrollmentRefused, match="expired"):
        desk.check_secret("METER-000001", labels[0].secret, now=NOW + YEAR_S)


def test_neither_another_label_nor_what_the_manifest_shows_opens_an_identity(
    registry: Registry, pristine: Installation, labels: list[Label], devices: tuple[FactoryDevice, ...]
) -> None:
    desk = Desk(registry, pristine.authorities)
    adopt(registry, devices, now=NOW, life_s=YEAR_S)
    digest = devices[0].secret_sha256
    for wrong in (labels[1].secret, Secret(digest.encode()), Secret(bytes.fromhex(digest)), Secret(b"")):
        with pytest.raises(EnrollmentRefused, match="wrong user name or password"):
            desk.check_secret("METER-000001", wrong, now=NOW)


def test_the_hash_of_a_label_is_not_accepted_in_place_of_its_secret(verifier: Verifier) -> None:
    secret = Secret(b"A" * 32)
    digest = hashlib.sha256(secret.reveal()).digest()
    made = verifier.make_for_label(digest)
    assert verifier.check_token(secret, made)
    assert not verifier.check_token(Secret(digest), made)
    assert not verifier.check(secret, made)
    assert verifier.check_token(secret, verifier.make(secret))
    assert not verifier.check_token(secret, b"")


def test_a_repeated_import_changes_nothing_and_brings_nothing_back(
    registry: Registry, devices: tuple[FactoryDevice, ...]
) -> None:
    adopt(registry, devices[:2], now=NOW, life_s=YEAR_S)
    registry.revoke("METER-000001", now=NOW)
    assert adopt(registry, devices, now=NOW + 50, life_s=YEAR_S) == (1, 2)
    assert registry.get("METER-000001").state is State.REVOKED
    before = registry.get("METER-000002")
    assert before.token is not None
    assert before.token.created_at == NOW


def test_a_name_that_is_taken_is_named_and_nothing_is_imported(
    registry: Registry, devices: tuple[FactoryDevice, ...]
) -> None:
    registry.add("METER-000002", "device", now=NOW)
    assert "METER-000002" in refused(lambda: adopt(registry, devices, now=NOW, life_s=YEAR_S))
    assert [known.id for known in registry.list()] == ["METER-000002"]


def test_of_many_clashes_a_few_are_named(registry: Registry) -> None:
    def batch() -> tuple[FactoryDevice, ...]:
        return read_manifest(
            write_manifest(make_labels("P", start=1, count=9), "device", KEY, now=NOW)
        ).devices

    adopt(registry, batch(), now=NOW, life_s=YEAR_S)
    assert "and 4 more" in refused(lambda: adopt(registry, batch(), now=NOW, life_s=YEAR_S))


@pytest.mark.parametrize("life_s", [0, -1, factory.DAY_S - 1, 3651 * factory.DAY_S])
def test_a_label_lives_for_a_day_to_ten_years(
    life_s: int, registry: Registry, devices: tuple[FactoryDevice, ...]
) -> None:
    assert "lives" in refused(lambda: adopt(registry, devices, now=NOW, life_s=life_s))
    assert registry.list() == ()


def test_a_label_takes_several_pins_with_commas(labels: list[Label]) -> None:
    old, new = (base64.b32encode(pin_of(root)).decode().rstrip("=") for root in (b"old", b"new"))
    string = labels[0].at_server("broker.example", 8883, f"{old}, {new}")
    assert string.recognizes(b"old")
    assert string.recognizes(b"new")
    assert not string.recognizes(b"other")
    for wrong in (f"{old},", "ab" * 32, f"{old} {new}"):
        with pytest.raises(LocalError, match="26 of A-Z 2-7"):
            labels[0].at_server("broker.example", 8883, wrong)
