import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity import authority, rotation
from bollard.identity.authority import create_authorities, load_authorities
from bollard.identity.files import read_private, write_private
from bollard.identity.unlock import CREDENTIAL, PASS_FILE, Unlock

from .conftest import NOW

KEYS = ["device-ca.key", "server-ca-rsa.key", "server-ca.key"]


def make_plain(state: Path) -> None:
    """As installations before this one have it: keys without encryption, and no passphrase."""
    loaded = load_authorities(state)
    signers = (loaded.device_ca, loaded.server_ca_rsa, loaded.server_ca)
    for name, signer in zip(KEYS, signers, strict=True):
        (state / "ca" / name).write_bytes(authority.pem_key(signer.key))
    (state / PASS_FILE).unlink()


def test_no_key_of_an_authority_opens_without_the_passphrase(state: Path) -> None:
    for name in KEYS:
        with pytest.raises(TypeError, match="encrypted"):
            serialization.load_pem_private_key((state / "ca" / name).read_bytes(), None)
    assert (state / PASS_FILE).stat().st_mode & 0o777 == 0o600


def test_plain_keys_are_encrypted_once_and_told(state: Path) -> None:
    make_plain(state)
    first = load_authorities(state)
    assert first.encrypted_now == tuple(KEYS)
    assert all(b"ENCRYPTED" in (state / "ca" / name).read_bytes() for name in KEYS)
    assert load_authorities(state).encrypted_now == ()


def test_an_encryption_that_was_cut_off_is_finished(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_plain(state)
    write = write_private

    def cut_off(path: Path, data: bytes) -> None:
        if path.name == KEYS[1]:
            raise KeyboardInterrupt
        write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(authority, "write_private", cut_off)
        with pytest.raises(KeyboardInterrupt):
            load_authorities(state)
    assert load_authorities(state).encrypted_now == tuple(KEYS[1:])


def test_a_wrong_passphrase_is_told_and_changes_nothing(state: Path) -> None:
    plain = authority.pem_key(load_authorities(state).server_ca_rsa.key)
    (state / "ca" / "server-ca-rsa.key").write_bytes(plain)
    (state / PASS_FILE).write_bytes(b"another passphrase that is long\n")
    with pytest.raises(LocalError, match="passphrase is another one") as caught:
        load_authorities(state)
    assert "another passphrase that" not in str(caught.value)
    assert (state / "ca" / "server-ca-rsa.key").read_bytes() == plain


def test_a_missing_passphrase_is_not_made_anew(state: Path) -> None:
    (state / PASS_FILE).unlink()
    with pytest.raises(LocalError, match=r"ca\.pass is missing"):
        load_authorities(state)
    assert not (state / PASS_FILE).exists()


def test_a_passphrase_open_to_others_is_refused(state: Path) -> None:
    (state / PASS_FILE).chmod(0o644)
    with pytest.raises(LocalError, match="open to other users"):
        load_authorities(state)


@pytest.mark.parametrize("text", [b"", b"nineteen characters", b"x" * 1024])
def test_a_passphrase_of_no_fitting_length_is_refused(state: Path, text: bytes) -> None:
    (state / PASS_FILE).write_bytes(text + b"\n")
    with pytest.raises(LocalError, match="it needs 20 to 1023"):
        load_authorities(state)


def test_the_file_may_lie_on_another_medium(state: Path, tmp_path: Path) -> None:
    (state / PASS_FILE).rename(tmp_path / "stick")
    loaded = load_authorities(state, Unlock(pass_file=tmp_path / "stick"))
    loaded.reload()
    assert loaded.unlock.pass_file == tmp_path / "stick"
    assert not (state / PASS_FILE).exists()


def test_a_credential_of_systemd_opens_the_keys(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_credential = Unlock("credential")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(LocalError, match="no systemd credential"):
        load_authorities(state, by_credential)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(LocalError, match="no systemd credential"):
        load_authorities(state, by_credential)
    shutil.move(state / PASS_FILE, tmp_path / CREDENTIAL)
    loaded = load_authorities(state, by_credential)
    loaded.reload()
    assert not (state / PASS_FILE).exists()


def test_new_authorities_are_encrypted_under_the_credential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / CREDENTIAL).write_bytes(b"a credential that is long enough")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "state").mkdir()
    create_authorities(tmp_path / "state", now=NOW, unlock=Unlock("credential"))
    assert load_authorities(tmp_path / "state", Unlock("credential")).encrypted_now == ()
    assert not (tmp_path / "state" / PASS_FILE).exists()


def test_the_keys_of_a_replacement_are_encrypted_too(state: Path) -> None:
    loaded = load_authorities(state)
    rotation.begin_device_ca(loaded, now=NOW)
    sheet = Secret((state / "ca" / authority.RECOVERY_FILE).read_bytes())
    rotation.renew_server_authorities(loaded, sheet, now=NOW)
    loaded.reload()
    assert loaded.encrypted_now == ()
    assert loaded.retiring is not None
    for path in (state / "ca").glob("*.key"):
        assert b"ENCRYPTED" in read_private(path)
