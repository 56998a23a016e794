"""The desk: what is issued, to whom, once; and that nothing is half-issued when something goes wrong."""

import base64
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity.credentials import Verifier
from bollard.identity.enroll import Desk, Issued, Waiting
from bollard.identity.key_proof import sign
from bollard.identity.records import Approval, CertificateState, State
from bollard.identity.refusals import EnrollmentRefused
from bollard.identity.registry import Registry
from bollard.identity.renewal import GRACE_S, MAX_A_DAY, OVERLAP_S, outlived

from .conftest import NOW, Installation, MemoryStorage

DAY_S = 86_400
LIFE_S = 90 * DAY_S


class Device:
    def __init__(self, name: str = "plug") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = name

    def csr(self) -> bytes:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, self.name)])
        request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(self.key, hashes.SHA256())
        return request.public_bytes(serialization.Encoding.DER)


@pytest.fixture
def desk(registry: Registry, pristine: Installation) -> Desk:
    registry.add("plug", "device", now=NOW)
    return Desk(registry, pristine.authorities)


def opened(desk: Desk, *, approval: bool = False, now: float = NOW) -> Secret:
    return desk.open("plug", now=now, life_s=3600, approval=approval)


def issued(answer: Issued | Waiting) -> Issued:
    assert isinstance(answer, Issued)
    return answer


def refusal(act: Callable[[], object], status: int = 403) -> str:
    with pytest.raises(EnrollmentRefused) as refused:
        act()
    assert refused.value.status == status
    return refused.value.text


def states(registry: Registry) -> list[CertificateState]:
    return [record.state for record in registry.get("plug").certificates]


def test_a_token_is_worth_one_certificate_for_the_registrys_name(desk: Desk, registry: Registry) -> None:
    opened(desk)
    device = Device()
    answer = issued(desk.enroll("plug", device.csr(), now=NOW + 5))
    leaf = x509.load_der_x509_certificate(answer.certificate)
    assert leaf.subject.rfc4514_string() == "CN=plug"
    assert leaf.public_key() == device.key.public_key()
    known = registry.get("plug")
    assert known.state is State.ACTIVE
    assert known.active_certificates[0].serial == leaf.serial_number
    assert known.token is not None
    assert known.token.spent_at == NOW + 5


def test_everything_is_in_one_transaction(desk: Desk, storage: MemoryStorage) -> None:
    opened(desk)
    desk.enroll("plug", Device().csr(), now=NOW)
    last = storage.history[-1]
    assert last.state is State.ACTIVE
    assert last.token is not None
    assert last.token.spent_at
    assert all(not (step.token and step.token.spent_at) for step in storage.history[:-1])


def test_a_full_disk_leaves_the_token_and_the_device_can_try_again(
    desk: Desk, registry: Registry, storage: MemoryStorage
) -> None:
    opened(desk)
    device = Device()
    storage.full = True
    refusal(lambda: desk.enroll("plug", device.csr(), now=NOW))
    storage.full = False
    assert registry.get("plug").certificates == ()
    issued(desk.enroll("plug", device.csr(), now=NOW))


def test_a_crash_between_recording_and_completing_revokes_the_serial_and_spares_the_token(
    desk: Desk, storage: MemoryStorage, verifier: Verifier, pristine: Installation
) -> None:
    opened(desk)
    device = Device()
    desk.enroll("plug", device.csr(), now=NOW)
    storage.saved["plug"] = storage.history[-2]  # the last transaction never happened
    after = Registry(storage, verifier, now=NOW + 1)
    assert states(after) == [CertificateState.REVOKED]
    answer = issued(Desk(after, pristine.authorities).enroll("plug", device.csr(), now=NOW + 2))
    assert states(after) == [CertificateState.REVOKED, CertificateState.ACTIVE]
    assert answer.identity == "plug"


def test_the_same_key_gets_the_same_answer_for_ten_minutes(desk: Desk, registry: Registry) -> None:
    opened(desk)
    device = Device()
    first = issued(desk.enroll("plug", device.csr(), now=NOW))
    assert issued(desk.enroll("plug", device.csr(), now=NOW + 600)) == first
    assert "used" in refusal(lambda: desk.enroll("plug", device.csr(), now=NOW + 601))
    assert states(registry) == [CertificateState.ACTIVE]


def test_the_answer_is_not_repeated_after_a_revocation_of_the_certificate(
    desk: Desk, registry: Registry
) -> None:
    opened(desk)
    device = Device()
    desk.enroll("plug", device.csr(), now=NOW)
    opened_again = opened(desk, now=NOW + 1)
    other = Device()
    desk.enroll("plug", other.csr(), now=NOW + 2)  # ends the first certificate
    assert opened_again
    token = registry.get("plug").token
    assert token is not None
    registry.revoke("plug", now=NOW + 3)
    refusal(lambda: desk.enroll("plug", other.csr(), now=NOW + 4))


def test_another_key_gets_nothing(desk: Desk, registry: Registry) -> None:
    opened(desk)
    desk.enroll("plug", Device().csr(), now=NOW)
    assert "another key" in refusal(lambda: desk.enroll("plug", Device().csr(), now=NOW + 1))
    assert states(registry) == [CertificateState.ACTIVE]


def test_an_expired_token_gets_nothing(desk: Desk, registry: Registry) -> None:
    opened(desk)
    assert "expired" in refusal(lambda: desk.enroll("plug", Device().csr(), now=NOW + 3600))
    assert states(registry) == []


def test_a_clock_far_off_issues_nothing(desk: Desk, registry: Registry) -> None:
    opened(desk)
    past = NOW - 30 * DAY_S
    assert "clock" in refusal(lambda: desk.enroll("plug", Device().csr(), now=past), 503)
    desk.open("plug", now=past, life_s=3600, approval=False)
    assert "clock" in refusal(lambda: desk.enroll("plug", Device().csr(), now=past), 503)
    future = NOW + 20 * 365 * DAY_S
    desk.open("plug", now=future, life_s=3600, approval=False)
    refusal(lambda: desk.enroll("plug", Device().csr(), now=future), 503)
    assert states(registry) == []


@pytest.mark.parametrize("name", ["admin", "lamp"])
def test_a_request_for_another_name_gets_nothing(desk: Desk, registry: Registry, name: str) -> None:
    opened(desk)
    refusal(lambda: desk.enroll("plug", Device(name).csr(), now=NOW), 400)
    token = registry.get("plug").token
    assert token is not None
    assert token.key == b""


def test_an_unknown_suspended_or_revoked_identity_gets_nothing(desk: Desk, registry: Registry) -> None:
    refusal(lambda: desk.enroll("nobody", Device("nobody").csr(), now=NOW), 401)
    refusal(lambda: desk.enroll("plug", Device().csr(), now=NOW), 401)  # it has no token
    opened(desk)
    desk.enroll("plug", Device().csr(), now=NOW)
    opened(desk)
    registry.suspend("plug", now=NOW)
    assert "suspended" in refusal(lambda: desk.enroll("plug", Device().csr(), now=NOW))
    registry.revoke("plug", now=NOW)
    assert "revoked" in refusal(lambda: desk.enroll("plug", Device().csr(), now=NOW))
    with pytest.raises(LocalError, match="revoked"):
        opened(desk)


def test_only_the_right_secret_hears_more_than_that_it_is_wrong(desk: Desk) -> None:
    secret = opened(desk)
    desk.check_secret("plug", secret, now=NOW)
    for name, given in (("plug", b"A" * 32), ("nobody", secret.reveal()), ("plug", b"")):
        text = refusal(lambda n=name, g=given: desk.check_secret(n, Secret(g), now=NOW), 401)  # type: ignore[misc]
        assert text == "wrong user name or password"
    assert "expired" in refusal(lambda: desk.check_secret("plug", secret, now=NOW + 3600))


def test_a_new_token_ends_the_earlier_one(desk: Desk) -> None:
    first = opened(desk)
    second = opened(desk)
    refusal(lambda: desk.check_secret("plug", first, now=NOW), 401)
    desk.check_secret("plug", second, now=NOW)


def test_nobody_gets_in_before_the_owner_has_approved(desk: Desk, registry: Registry) -> None:
    opened(desk, approval=True)
    device = Device()
    with pytest.raises(LocalError, match="no device has asked"):
        desk.approve("plug", now=NOW)
    answer = desk.enroll("plug", device.csr(), now=NOW)
    assert isinstance(answer, Waiting)
    assert states(registry) == []
    assert "another key" in refusal(lambda: desk.enroll("plug", Device().csr(), now=NOW))
    desk.approve("plug", now=NOW)
    token = registry.get("plug").token
    assert token is not None
    assert (token.approval, token.key) == (Approval.GRANTED, answer.key_sha256)
    issued(desk.enroll("plug", device.csr(), now=NOW))
    with pytest.raises(LocalError, match="nothing of 'plug' waits"):
        desk.approve("plug", now=NOW)


def test_an_approval_that_comes_too_late_is_said_to_the_owner(desk: Desk) -> None:
    opened(desk, approval=True)
    desk.enroll("plug", Device().csr(), now=NOW)
    with pytest.raises(LocalError, match="has expired"):
        desk.approve("plug", now=NOW + 3600)


def test_an_enrollment_ends_the_certificates_before_it(desk: Desk, registry: Registry) -> None:
    for _ in range(2):
        opened(desk)
        desk.enroll("plug", Device().csr(), now=NOW)
    assert sorted(states(registry)) == [CertificateState.ACTIVE, CertificateState.SUPERSEDED]


# --- renewal -----------------------------------------------------------------------------------------


@pytest.fixture
def first(desk: Desk) -> Issued:
    opened(desk)
    return issued(desk.enroll("plug", Device().csr(), now=NOW))


def test_a_renewal_keeps_the_current_certificate_beside_the_next(
    desk: Desk, registry: Registry, first: Issued
) -> None:
    at = NOW + 60 * DAY_S
    second = desk.renew(first.certificate, Device().csr(), now=at)
    assert second.not_after == at + LIFE_S
    assert states(registry) == [CertificateState.ACTIVE] * 2


def test_whose_answers_are_lost_keeps_the_certificate_that_it_has(
    desk: Desk, registry: Registry, first: Issued
) -> None:
    for attempt in range(5):
        desk.renew(first.certificate, Device().csr(), now=NOW + attempt)
    active = registry.get("plug").active_certificates
    assert len(active) == 2
    assert active[0].serial == x509.load_der_x509_certificate(first.certificate).serial_number


def test_the_use_of_the_next_certificate_ends_the_one_before(
    desk: Desk, registry: Registry, first: Issued
) -> None:
    second = desk.renew(first.certificate, Device().csr(), now=NOW + 1)
    serial = x509.load_der_x509_certificate(second.certificate).serial_number
    desk.used("plug", serial, now=NOW + 2)
    assert states(registry) == [CertificateState.SUPERSEDED, CertificateState.ACTIVE]
    assert "superseded" in refusal(lambda: desk.renew(first.certificate, Device().csr(), now=NOW + 3))


@pytest.mark.parametrize("later_s", [0, -3600], ids=["same second", "clock set back"])
def test_the_next_certificate_is_the_newer_one_whatever_the_clock_says(
    desk: Desk, registry: Registry, first: Issued, later_s: int
) -> None:
    second = desk.renew(first.certificate, Device().csr(), now=NOW + later_s)
    old, new = (x509.load_der_x509_certificate(c.certificate).serial_number for c in (first, second))
    desk.used("plug", old, now=NOW)
    assert states(registry) == [CertificateState.ACTIVE] * 2
    desk.used("plug", new, now=NOW)
    assert states(registry) == [CertificateState.SUPERSEDED, CertificateState.ACTIVE]


def test_a_certificate_that_was_replaced_days_ago_no_longer_connects(
    desk: Desk, registry: Registry, first: Issued
) -> None:
    desk.renew(first.certificate, Device().csr(), now=NOW + 1)
    known = registry.get("plug")
    old, new = known.certificates
    assert not outlived(known, old, NOW + OVERLAP_S)
    assert outlived(known, old, NOW + 2 + OVERLAP_S)
    assert not outlived(known, new, NOW + 2 + OVERLAP_S)


def test_renewal_ends_with_the_grace(desk: Desk, first: Issued) -> None:
    late = first.not_after + GRACE_S
    desk.renew(first.certificate, Device().csr(), now=late - 1)
    assert "a year ago" in refusal(lambda: desk.renew(first.certificate, Device().csr(), now=late))


def test_a_revoked_or_suspended_identity_is_not_renewed(
    desk: Desk, registry: Registry, first: Issued
) -> None:
    registry.suspend("plug", now=NOW)
    assert "suspended" in refusal(lambda: desk.renew(first.certificate, Device().csr(), now=NOW))
    refusal(lambda: desk.renew_proved("plug", Device().csr(), now=NOW))
    before = registry.revoke("plug", now=NOW)
    assert "revoked" in refusal(lambda: desk.renew(first.certificate, Device().csr(), now=NOW))
    refusal(lambda: desk.renew_proved("plug", Device().csr(), now=NOW))
    assert registry.get("plug") == before


def test_a_certificate_of_another_authority_is_not_renewed(desk: Desk, first: Issued) -> None:
    forged = bytearray(first.certificate)
    forged[-1] ^= 1
    assert "not issued here" in refusal(lambda: desk.renew(bytes(forged), Device().csr(), now=NOW), 401)
    assert refusal(lambda: desk.renew(b"rubbish", Device().csr(), now=NOW), 401)


def test_renewal_for_another_name_is_refused(desk: Desk, first: Issued) -> None:
    refusal(lambda: desk.renew(first.certificate, Device("admin").csr(), now=NOW), 400)


def test_an_old_keys_signature_over_the_request_renews(desk: Desk) -> None:
    opened(desk)
    device, successor = Device(), Device()
    old = issued(desk.enroll("plug", device.csr(), now=NOW))
    late, csr = old.not_after + 5, successor.csr()
    good = sign(device.key, csr)
    assert desk.renew_signed(old.certificate, csr, good, now=late).not_after == late + LIFE_S
    for bad in (b"", sign(successor.key, csr), sign(device.key, csr + b"x")):
        refusal(lambda bad=bad: desk.renew_signed(old.certificate, csr, bad, now=late))  # type: ignore[misc]


def test_a_proved_key_renews_after_the_end_and_few_certificates_stay(
    desk: Desk, registry: Registry, first: Issued
) -> None:
    late = first.not_after + 5
    for attempt in range(10):
        desk.renew_proved("plug", Device().csr(), now=late + attempt * DAY_S // 4)
    assert len(registry.get("plug").active_certificates) == 5


def test_a_device_that_renews_without_end_is_told_to_wait(
    desk: Desk, registry: Registry, first: Issued
) -> None:
    for attempt in range(MAX_A_DAY - 1):
        desk.renew(first.certificate, Device().csr(), now=NOW + attempt)
    before = registry.get("plug")
    assert "tomorrow" in refusal(lambda: desk.renew(first.certificate, Device().csr(), now=NOW + 60), 503)
    assert registry.get("plug") == before
    desk.renew(first.certificate, Device().csr(), now=NOW + DAY_S + 1)


def test_the_chain_is_the_leaf_and_the_device_authority(first: Issued, pristine: Installation) -> None:
    leaf, issuer = x509.load_pem_x509_certificates(first.chain_pem)
    leaf.verify_directly_issued_by(issuer)
    assert issuer == pristine.authorities.device_ca.certificate


def test_secrets_do_not_show(desk: Desk, registry: Registry) -> None:
    secret = opened(desk).reveal().decode()
    known = registry.get("plug")
    assert known.token is not None
    assert secret not in repr(known)
    assert base64.b16encode(known.token.verifier).decode() not in repr(replace(known.token))
    assert "verifier" not in repr(known.token)
