"""Replacing authorities: whole or not at all, with an overlap, and never with somebody else's sheet."""

import re
import shutil
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity import rotation
from bollard.identity.authority import (
    DEVICE_CA,
    RETIRING_KEY,
    SERVER_CA,
    Authorities,
    issue_device_certificate,
    load_authorities,
    next_key_file,
)
from bollard.identity.registry import Registry
from bollard.identity.roots import RECOVERY_FILE
from bollard.identity.serving import ensure_server_certificates
from identity.conftest import NOW, Installation


@pytest.fixture
def authorities(state: Path) -> Authorities:
    return load_authorities(state)


@pytest.fixture
def sheet(state: Path) -> Secret:
    return Secret((state / "ca" / RECOVERY_FILE).read_bytes())


def key_of(chain: Path) -> object:
    return x509.load_pem_x509_certificates(chain.read_bytes())[0].public_key()


# --- server CAs --------------------------------------------------------------------------------------


def test_new_server_authorities_hang_below_the_same_roots_and_the_servers_keys_stay(
    authorities: Authorities, sheet: Secret, pristine: Installation
) -> None:
    before = authorities.server_ca.certificate, authorities.server_ca_rsa.certificate, authorities.pin
    old = ensure_server_certificates(authorities, pristine.names, now=NOW)
    keys = key_of(old.ecdsa_chain), key_of(old.rsa_chain)
    rotation.renew_server_authorities(authorities, sheet, now=NOW)
    authorities.reload()
    assert authorities.server_ca.certificate != before[0]
    assert authorities.server_ca_rsa.certificate != before[1]
    assert authorities.pin == before[2]
    new = ensure_server_certificates(authorities, pristine.names, now=NOW)
    assert len(new.renewed) == 2
    assert (key_of(new.ecdsa_chain), key_of(new.rsa_chain)) == keys
    for chain in (new.ecdsa_chain, new.rsa_chain):
        context = ssl.create_default_context(cafile=authorities.root_file)
        assert context.verify_mode is ssl.CERT_REQUIRED
        leaf, issuer = x509.load_pem_x509_certificates(chain.read_bytes())
        leaf.verify_directly_issued_by(issuer)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: b"",
        lambda text: b"x" * 100_000,
        lambda text: text.replace(b"Passphrase:", b"Pass:"),
        lambda text: text.replace(b"ENCRYPTED", b"OTHER"),
        lambda text: re.sub(rb"Passphrase: .*", b"Passphrase:  AAAA-AAAA-AAAA-AAAA-AAAA", text),
    ],
)
def test_what_is_not_the_sheet_changes_nothing(
    authorities: Authorities, sheet: Secret, damage: Callable[[bytes], bytes]
) -> None:
    before = load_authorities(authorities.directory).server_ca.certificate
    with pytest.raises(LocalError) as raised:
        rotation.renew_server_authorities(authorities, Secret(damage(sheet.reveal())), now=NOW)
    assert "AAAA" not in str(raised.value)
    assert load_authorities(authorities.directory).server_ca.certificate == before


def test_the_sheet_of_another_broker_is_refused(
    authorities: Authorities, install: Callable[[float], Installation]
) -> None:
    other = Secret(install(NOW).recovery_file.read_bytes())
    with pytest.raises(LocalError, match="does not open the roots"):
        rotation.renew_server_authorities(authorities, other, now=NOW)


# --- the device CA -----------------------------------------------------------------------------------


def test_during_the_overlap_both_are_trusted_and_the_new_one_issues(
    authorities: Authorities, registry: Registry
) -> None:
    old = authorities.device_ca.certificate
    rotation.begin_device_ca(authorities, now=NOW)
    authorities.reload()
    assert authorities.retiring is not None
    assert authorities.retiring.certificate == old
    bundle = x509.load_pem_x509_certificates(authorities.device_ca_file.read_bytes())
    assert bundle == [authorities.device_ca.certificate, old]
    registry.add("plug", "device", now=NOW + 1)
    issued = issue_device_certificate(authorities, registry, "plug", now=NOW + 1)
    leaf = x509.load_pem_x509_certificate(issued.certificate_pem)
    leaf.verify_directly_issued_by(authorities.device_ca.certificate)


def test_readiness_counts_who_holds_a_certificate_of_the_new_one(
    authorities: Authorities, registry: Registry
) -> None:
    for name in ("plug", "lamp", "gone"):
        registry.add(name, "device", now=NOW - 10)
        issue_device_certificate(authorities, registry, name, now=NOW - 10)
    registry.add_with_password("by-password", "device", now=NOW - 10)
    registry.revoke("gone", now=NOW - 5)
    assert rotation.readiness(authorities, registry.list(), now=NOW) is None
    rotation.begin_device_ca(authorities, now=NOW)
    authorities.reload()
    found = rotation.readiness(authorities, registry.list(), now=NOW)
    assert found == rotation.Readiness(0, ("lamp", "plug"))
    issue_device_certificate(authorities, registry, "plug", now=NOW + 1)
    found = rotation.readiness(authorities, registry.list(), now=NOW + 2)
    assert found == rotation.Readiness(1, ("lamp",))


def test_finishing_leaves_the_new_one_alone(authorities: Authorities) -> None:
    rotation.begin_device_ca(authorities, now=NOW)
    authorities.reload()
    rotation.finish_device_ca(authorities)
    authorities.reload()
    assert authorities.retiring is None
    assert len(x509.load_pem_x509_certificates(authorities.device_ca_file.read_bytes())) == 1
    with pytest.raises(LocalError, match="not being replaced"):
        rotation.finish_device_ca(authorities)


def test_two_replacements_at_once_are_refused(authorities: Authorities) -> None:
    rotation.begin_device_ca(authorities, now=NOW)
    authorities.reload()
    with pytest.raises(LocalError, match="already"):
        rotation.begin_device_ca(authorities, now=NOW)


@pytest.mark.parametrize("step", range(5))
def test_a_replacement_that_is_cut_off_leaves_the_old_or_the_new(
    state: Path, authorities: Authorities, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    old = authorities.device_ca.certificate
    done = 0

    class Cut(BaseException):
        pass

    write = rotation.write_private

    def cut_off(path: Path, data: bytes) -> None:
        nonlocal done
        if done == step:
            raise Cut
        done += 1
        write(path, data)

    with monkeypatch.context() as cutting:
        cutting.setattr(rotation, "write_private", cut_off)
        if step == 3:  # after the certificate, before its key is in place
            cutting.setattr(Path, "replace", lambda self, target: (_ for _ in ()).throw(Cut()))
            cutting.setattr(rotation, "write_private", _write_plainly)
        try:
            rotation.begin_device_ca(authorities, now=NOW)
        except Cut:
            assert step < 4
        else:
            assert step == 4
    loaded = load_authorities(state)
    assert (loaded.device_ca.certificate == old) == (step < 3)
    assert (loaded.retiring is None) == (step < 3)
    if step < 3:  # and it can be tried again
        rotation.begin_device_ca(loaded, now=NOW)
        loaded.reload()
        assert loaded.retiring is not None
    assert not next_key_file(state / "ca", DEVICE_CA).exists()


def _write_plainly(path: Path, data: bytes) -> None:
    """As `write_private`, without replacing: for a cut at the replacement of the key alone."""
    path.write_bytes(data)
    path.chmod(0o600)


def test_a_retiring_key_that_is_not_that_of_the_bundle_is_damage(
    state: Path, authorities: Authorities
) -> None:
    rotation.begin_device_ca(authorities, now=NOW)
    shutil.copy(state / "ca" / f"{SERVER_CA}.key", state / "ca" / RETIRING_KEY)
    with pytest.raises(LocalError, match="damaged"):
        load_authorities(state)
