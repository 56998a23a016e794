from collections.abc import Callable
from dataclasses import FrozenInstanceError

import pytest

from bollard.base.errors import LocalError
from bollard.identity.credentials import Verifier
from bollard.identity.records import CertificateState, Identity, Snapshot, State
from bollard.identity.registry import Registry

from .conftest import NOW, MemoryStorage

SHA_1, SHA_2 = b"\1" * 32, b"\2" * 32
LATER = NOW + 100


def with_certificate(registry: Registry, serial: int = 1, sha256: bytes = SHA_1, **options: bool) -> Identity:
    if "plug" not in registry.snapshot().identities:
        registry.add("plug", "device", now=NOW)
    registry.begin_certificate("plug", serial, not_after=NOW + 1000, now=NOW)
    return registry.complete_certificate("plug", serial, sha256, now=LATER, **options)


def states(identity: Identity) -> list[CertificateState]:
    return [c.state for c in identity.certificates]


# --- enrolling


def test_an_identity_without_a_credential_is_pending(registry: Registry) -> None:
    added = registry.add("plug", "device", now=NOW + 0.9)
    assert added.state is State.PENDING
    assert (added.template, added.created_at, added.changed_at) == ("device", NOW, NOW)
    assert registry.get("plug") == added


def test_an_interrupted_enrollment_may_be_started_again(registry: Registry) -> None:
    first = registry.add("plug", "device", now=NOW)
    again = registry.add("plug", "app", now=LATER)
    assert (again.uuid, again.created_at, again.template) == (first.uuid, NOW, "app")


def test_each_enrollment_has_a_uuid_of_its_own(registry: Registry) -> None:
    assert len({registry.add(f"plug-{i}", "device", now=NOW).uuid for i in range(50)}) == 50


def test_a_password_is_returned_once_and_kept_as_a_verifier(
    registry: Registry, storage: MemoryStorage, verifier: Verifier
) -> None:
    secret = registry.add_with_password("plug", "device", now=NOW)
    stored = storage.saved["plug"]
    assert stored.state is State.ACTIVE
    assert verifier.check(secret, stored.verifier)
    assert secret.reveal() not in stored.verifier
    assert "verifier" not in repr(stored)


def test_a_new_password_ends_the_old_one(registry: Registry, verifier: Verifier) -> None:
    old = registry.add_with_password("plug", "device", now=NOW)
    new = registry.rotate_password("plug", now=LATER)
    stored = registry.get("plug").verifier
    assert verifier.check(new, stored)
    assert not verifier.check(old, stored)


def test_rotating_does_not_end_a_suspension(registry: Registry) -> None:
    registry.add_with_password("plug", "device", now=NOW)
    registry.suspend("plug", now=NOW)
    registry.rotate_password("plug", now=LATER)
    assert registry.get("plug").state is State.SUSPENDED
    with_certificate(registry)
    assert registry.get("plug").state is State.SUSPENDED


def test_who_is_enrolled_is_not_enrolled_again(registry: Registry) -> None:
    secret = registry.add_with_password("plug", "device", now=NOW)
    before = registry.get("plug")
    for again in (registry.add, registry.add_with_password):
        with pytest.raises(LocalError, match="already enrolled") as caught:
            again("plug", "app", now=LATER)
        assert "rotate plug" in caught.value.remedy
    registry.suspend("plug", now=NOW)
    with pytest.raises(LocalError, match="already enrolled"):
        registry.add("plug", "app", now=LATER)
    registry.resume("plug", now=NOW)
    assert registry.get("plug").verifier == before.verifier
    assert secret


@pytest.mark.parametrize("name", ["anonymous", "a/b", ""])
def test_a_bad_name_reaches_no_storage(registry: Registry, storage: MemoryStorage, name: str) -> None:
    for enroll in (registry.add, registry.add_with_password):
        with pytest.raises(LocalError):
            enroll(name, "device", now=NOW)
    assert storage.saved == {}


def test_a_certificate_is_unusable_until_it_is_signed(registry: Registry) -> None:
    registry.add("plug", "device", now=NOW)
    begun = registry.begin_certificate("plug", 7, not_after=NOW + 1000, now=NOW)
    assert states(begun) == [CertificateState.ISSUING]
    assert begun.state is State.PENDING
    assert registry.snapshot().certificates == {}
    done = registry.complete_certificate("plug", 7, SHA_1, now=LATER)
    assert states(done) == [CertificateState.ACTIVE]
    assert done.state is State.ACTIVE
    assert registry.snapshot().by_certificate(SHA_1) == (done, done.certificates[0])


def test_a_serial_that_was_not_begun_is_not_completed(registry: Registry) -> None:
    with_certificate(registry, 1)
    for serial in (1, 2):
        with pytest.raises(LocalError, match=f"serial {serial} is being issued"):
            registry.complete_certificate("plug", serial, SHA_2, now=LATER)
    assert registry.snapshot().by_certificate(SHA_2) is None


def test_several_certificates_may_be_active_unless_superseded(registry: Registry) -> None:
    with_certificate(registry, 1, SHA_1)
    assert states(with_certificate(registry, 2, SHA_2)) == [CertificateState.ACTIVE] * 2
    third = with_certificate(registry, 3, b"\3" * 32, supersede=True)
    assert states(third) == [CertificateState.SUPERSEDED] * 2 + [CertificateState.ACTIVE]
    assert [c.serial for c in third.active_certificates] == [3]


def test_an_old_certificate_is_still_known_by_its_owner(registry: Registry) -> None:
    with_certificate(registry, 1, SHA_1)
    with_certificate(registry, 2, SHA_2, supersede=True)
    found = registry.snapshot().by_certificate(SHA_1)
    assert found is not None
    assert found[1].state is CertificateState.SUPERSEDED


def test_a_certificate_that_was_revoked_while_it_was_signed_stays_revoked(registry: Registry) -> None:
    registry.add("plug", "device", now=NOW)
    registry.begin_certificate("plug", 1, not_after=NOW + 1000, now=NOW)
    registry.revoke("plug", now=NOW)
    with pytest.raises(LocalError, match="revoked"):
        registry.complete_certificate("plug", 1, SHA_1, now=LATER)
    assert states(registry.get("plug")) == [CertificateState.REVOKED]


def test_a_restart_revokes_what_was_being_issued(
    registry: Registry, storage: MemoryStorage, verifier: Verifier
) -> None:
    with_certificate(registry, 1, SHA_1)
    registry.begin_certificate("plug", 2, not_after=NOW + 1000, now=NOW)
    restarted = Registry(storage, verifier, now=LATER)
    assert states(restarted.get("plug")) == [CertificateState.ACTIVE, CertificateState.REVOKED]
    assert storage.saved["plug"] == restarted.get("plug")
    assert restarted.get("plug").state is State.ACTIVE


# --- states


def test_a_suspension_ends_by_resume(registry: Registry) -> None:
    with_certificate(registry)
    suspended = registry.suspend("plug", now=LATER + 1)
    assert (suspended.state, suspended.changed_at) == (State.SUSPENDED, LATER + 1)
    assert states(suspended) == [CertificateState.ACTIVE]
    assert registry.suspend("plug", now=LATER + 2) == suspended
    assert registry.resume("plug", now=LATER + 3).state is State.ACTIVE


def test_a_pending_identity_has_nothing_to_suspend(registry: Registry) -> None:
    registry.add("plug", "device", now=NOW)
    for change in (registry.suspend, registry.resume):
        with pytest.raises(LocalError, match="no credential yet"):
            change("plug", now=NOW)
    assert registry.get("plug").state is State.PENDING


def test_revocation_takes_every_certificate_and_is_final(registry: Registry) -> None:
    with_certificate(registry, 1, SHA_1)
    with_certificate(registry, 2, SHA_2, supersede=True)
    revoked = registry.revoke("plug", now=LATER)
    assert revoked.state is State.REVOKED
    assert states(revoked) == [CertificateState.REVOKED] * 2
    assert registry.revoke("plug", now=LATER + 9) == revoked
    operations: list[Callable[[], object]] = [
        lambda: registry.resume("plug", now=LATER),
        lambda: registry.suspend("plug", now=LATER),
        lambda: registry.rotate_password("plug", now=LATER),
        lambda: registry.begin_certificate("plug", 3, not_after=LATER, now=LATER),
        lambda: registry.add("plug", "device", now=LATER),
        lambda: registry.add_with_password("plug", "device", now=LATER),
    ]
    for operation in operations:
        with pytest.raises(LocalError, match="revoked"):
            operation()
    assert registry.get("plug") == revoked


def test_an_unknown_identity_is_said(registry: Registry) -> None:
    for operation in (registry.suspend, registry.resume, registry.revoke, registry.rotate_password):
        with pytest.raises(LocalError, match="no identity 'ghost' is enrolled"):
            operation("ghost", now=NOW)


# --- the snapshot


def test_a_snapshot_does_not_change_and_cannot_be_changed(registry: Registry) -> None:
    before = registry.snapshot()
    registry.add("plug", "device", now=NOW)
    after = registry.snapshot()
    assert "plug" not in before.identities
    assert "plug" in after.identities
    assert after.generation > before.generation
    with pytest.raises(TypeError):
        after.identities["evil"] = after.identities["plug"]  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        after.generation = 0  # type: ignore[misc]


def test_a_failed_write_changes_nothing(registry: Registry, storage: MemoryStorage) -> None:
    with_certificate(registry)
    before = registry.snapshot()
    storage.full = True
    operations: list[Callable[[], object]] = [
        lambda: registry.add("other", "device", now=NOW),
        lambda: registry.add_with_password("other", "device", now=NOW),
        lambda: registry.revoke("plug", now=NOW),
        lambda: registry.suspend("plug", now=NOW),
        lambda: registry.rotate_password("plug", now=NOW),
    ]
    for operation in operations:
        with pytest.raises(LocalError, match="disk full"):
            operation()
    assert registry.snapshot() is before


def test_a_restart_finds_everything(registry: Registry, storage: MemoryStorage, verifier: Verifier) -> None:
    with_certificate(registry)
    registry.add_with_password("app", "app", now=NOW)
    restarted = Registry(storage, verifier, now=LATER)
    assert [i.id for i in restarted.list()] == ["app", "plug"]
    assert restarted.list() == registry.list()
    assert restarted.snapshot().certificates == registry.snapshot().certificates


def test_the_policy_learns_the_template_of_all_but_the_revoked(registry: Registry) -> None:
    registry.add_with_password("plug", "device", now=NOW)
    registry.add_with_password("gone", "device", now=NOW)
    registry.add("soon", "app", now=NOW)
    registry.revoke("gone", now=NOW)
    assert registry.snapshot().templates == {"plug": "device", "soon": "app"}


def test_an_empty_snapshot_knows_nobody() -> None:
    assert Snapshot().by_certificate(SHA_1) is None
    assert Snapshot().templates == {}
