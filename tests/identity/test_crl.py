"""The revocation list: what is on it, and that other software reads it."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from bollard.identity import crl
from bollard.identity.authority import issue_device_certificate
from bollard.identity.profile import DAY_S, DEVICE_CA, new_ec_key, self_signed
from bollard.identity.records import CertificateRecord, CertificateState, Identity, State
from bollard.identity.registry import Registry
from identity.conftest import NOW, Installation

ACTIVE, SUPERSEDED, REVOKED = CertificateState.ACTIVE, CertificateState.SUPERSEDED, CertificateState.REVOKED
SIGNER = self_signed(DEVICE_CA, "device CA under test", new_ec_key(), now=NOW)


def identity(state: State, *states: CertificateState, not_after: int = NOW + 90 * DAY_S) -> Identity:
    records = tuple(
        CertificateRecord(number, at, not_after, NOW - 5, NOW - 5, bytes([number]) * 32)
        for number, at in enumerate(states, 1)
    )
    return Identity("plug", "uuid", "device", state, NOW - 9, NOW - 2, certificates=records)


@pytest.mark.parametrize(
    ("of", "reasons"),
    [
        (identity(State.ACTIVE, ACTIVE), []),
        (identity(State.ACTIVE, SUPERSEDED, ACTIVE), ["superseded"]),
        (identity(State.ACTIVE, REVOKED), ["unspecified"]),
        (identity(State.REVOKED, REVOKED, REVOKED), ["cessation_of_operation"] * 2),
        (identity(State.SUSPENDED, SUPERSEDED, ACTIVE), ["superseded", "certificate_hold"]),
        (identity(State.REVOKED, REVOKED, not_after=NOW - 8 * DAY_S), []),
        (identity(State.REVOKED, REVOKED, not_after=NOW - 6 * DAY_S), ["cessation_of_operation"]),
    ],
)
def test_the_list_names_what_counts_no_more_and_why(of: Identity, reasons: list[str]) -> None:
    assert [reason.name for _, _, reason in crl.revoked_serials([of], now=NOW)] == reasons


def test_the_list_is_signed_numbered_and_lives_a_week(tmp_path: Path) -> None:
    path = crl.publish_crl(tmp_path / "crl", [SIGNER], [identity(State.REVOKED, REVOKED)], now=NOW)
    made = x509.load_pem_x509_crl(path.read_bytes())
    assert made.is_signature_valid(SIGNER.key.public_key())
    assert made.next_update_utc is not None
    assert made.next_update_utc.timestamp() == NOW + 7 * DAY_S
    assert made.get_revoked_certificate_by_serial_number(1) is not None
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_list_that_replaces_another_has_a_greater_number_also_when_the_clock_went_back(
    tmp_path: Path,
) -> None:
    numbers = []
    for now in (NOW, NOW, NOW - 100):
        path = crl.publish_crl(tmp_path / "crl", [SIGNER], [], now=now)
        made = x509.load_pem_x509_crl(path.read_bytes())
        numbers.append(made.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number)
    assert numbers == sorted(set(numbers))


def test_every_authority_in_use_has_its_list(tmp_path: Path) -> None:
    other = self_signed(DEVICE_CA, "the one before", new_ec_key(), now=NOW)
    path = crl.publish_crl(tmp_path / "crl", [SIGNER, other], [], now=NOW)
    assert path.read_bytes().count(b"BEGIN X509 CRL") == 2
    assert not crl.is_due(path, now=NOW + 1)


def test_a_list_is_due_each_day_and_where_it_is_missing_or_damaged(tmp_path: Path) -> None:
    path = tmp_path / "crl"
    assert crl.is_due(path, now=NOW)
    crl.publish_crl(path, [SIGNER], [], now=NOW)
    assert not crl.is_due(path, now=NOW + DAY_S - 1)
    assert crl.is_due(path, now=NOW + DAY_S)
    assert crl.is_due(path, now=NOW - 1)
    path.write_text("no list")
    assert crl.is_due(path, now=NOW)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_openssl_finds_the_revoked_certificate_in_the_list(
    pristine: Installation, registry: Registry, tmp_path: Path
) -> None:
    verdicts = {}
    for name in ("plug", "lamp"):
        registry.add(name, "device", now=NOW)
        issued = issue_device_certificate(pristine.authorities, registry, name, now=NOW)
        (tmp_path / name).write_bytes(issued.certificate_pem)
    registry.revoke("plug", now=NOW)
    authority = pristine.authorities.device_ca
    path = crl.publish_crl(tmp_path / "crl", [authority], registry.list(), now=NOW)
    command = ["openssl", "verify", "-crl_check", "-attime", str(NOW + 60), "-CRLfile", str(path)]
    command += ["-CAfile", str(pristine.authorities.device_ca_file)]
    for name in ("plug", "lamp"):
        done = subprocess.run([*command, str(tmp_path / name)], capture_output=True, text=True, check=False)
        verdicts[name] = done.stdout + done.stderr
    assert "certificate revoked" in verdicts["plug"]
    assert verdicts["lamp"].rstrip().endswith("OK")


def test_a_resumed_identity_leaves_the_list() -> None:
    suspended = identity(State.SUSPENDED, ACTIVE)
    assert crl.revoked_serials([suspended], now=NOW)
    assert not crl.revoked_serials([replace(suspended, state=State.ACTIVE)], now=NOW)
