"""The keys of the authorities in a token (SoftHSM2)."""

import getpass
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity import rotation, unlock
from bollard.identity.authority import (
    RECOVERY_FILE,
    create_authorities,
    issue_device_certificate,
    load_authorities,
)
from bollard.identity.crl import make_crl
from bollard.identity.records import CertificateState
from bollard.identity.registry import Registry
from bollard.identity.serving import ensure_server_certificates
from bollard.identity.unlock import PIN_CREDENTIAL, Unlock
from support.softhsm import LABEL, PIN, Token

from .conftest import NOW, Installation

KEYS = ["device-ca.key", "server-ca-rsa.key", "server-ca.key"]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A token, and a state directory whose keys were made in it; copied for each test."""
    folder = tmp_path_factory.mktemp("once")
    (folder / "made").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        token = Token.make(folder / "hsm", patch)
        create_authorities(folder / "made", now=NOW, unlock=token.unlock())
        token.leave()
    return folder


@pytest.fixture
def token(once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Token]:
    copied = Token.copied(once / "hsm", tmp_path / "hsm", monkeypatch)
    yield copied
    copied.leave()


@pytest.fixture
def made(once: Path, token: Token, tmp_path: Path) -> Path:
    """A state directory whose keys were made in the token."""
    shutil.copytree(once / "made", tmp_path / "made")
    return tmp_path / "made"


def test_the_first_run_makes_the_keys_in_the_token_and_writes_references(made: Path, token: Token) -> None:
    for name in KEYS:
        text = (made / "ca" / name).read_bytes()
        assert text.startswith(b"pkcs11:token=plant;object=bollard%20")
        assert b"PRIVATE" not in text
    loaded = load_authorities(made, token.unlock())
    assert loaded.encrypted_now == ()
    assert not (made / unlock.PASS_FILE).exists()
    for signer in (loaded.device_ca, loaded.server_ca, loaded.server_ca_rsa):
        with pytest.raises(LocalError, match="does not leave it"):
            signer.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        with pytest.raises(LocalError, match="does not leave it"):
            signer.key.private_numbers()


def test_the_token_keeps_them_sensitive_and_not_extractable(made: Path, token: Token) -> None:
    import pkcs11

    load_authorities(made, token.unlock())
    found = next(iter(pkcs11.lib(str(token.module)).get_tokens(token_label=LABEL)))
    with found.open() as session:
        keys = list(session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY}))
        assert len(keys) == 3
        for key in keys:
            assert key[pkcs11.Attribute.SENSITIVE]
            assert not key[pkcs11.Attribute.EXTRACTABLE]
            assert key[pkcs11.Attribute.NEVER_EXTRACTABLE]


def test_devices_servers_and_lists_are_signed_by_the_token(
    made: Path, token: Token, registry: Registry, pristine: Installation
) -> None:
    loaded = load_authorities(made, token.unlock())
    registry.add("plug", "device", now=NOW)
    issued = issue_device_certificate(loaded, registry, "plug", now=NOW)
    certificate = x509.load_pem_x509_certificate(issued.certificate_pem)
    certificate.verify_directly_issued_by(loaded.device_ca.certificate)
    server = ensure_server_certificates(loaded, pristine.names, now=NOW)
    assert len(server.renewed) == 2
    crl = make_crl(loaded.device_ca, [], number=1, now=NOW)
    public = loaded.device_ca.certificate.public_key()
    assert crl.is_signature_valid(public)  # type: ignore[arg-type]  # a P-256 key


def test_authorities_are_replaced_within_the_token(made: Path, token: Token) -> None:
    loaded = load_authorities(made, token.unlock())
    before = loaded.device_ca.certificate
    rotation.begin_device_ca(loaded, now=NOW)
    rotation.renew_server_authorities(loaded, Secret((made / "ca" / RECOVERY_FILE).read_bytes()), now=NOW)
    loaded.reload()
    again = load_authorities(made, token.unlock())
    assert again.retiring is not None
    assert again.retiring.certificate == before
    assert again.device_ca.certificate != before
    assert all(path.read_bytes().startswith(b"pkcs11:") for path in (made / "ca").glob("*.key"))


def test_a_wrong_pin_is_tried_once_and_not_shown(made: Path, token: Token) -> None:
    token.write_pin("999999")
    wrong = token.unlock()
    with pytest.raises(LocalError, match="refused the PIN; it was tried once") as caught:
        load_authorities(made, wrong)
    assert "999999" not in str(caught.value)
    assert caught.value.__cause__ is None
    token.write_pin(PIN)
    load_authorities(made, token.unlock())


def test_restarts_do_not_lock_a_token_with_a_wrong_pin(
    made: Path, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bollard.identity import pkcs11 as ours

    tries = []
    login = ours._login

    def counted(*arguments: Any) -> Any:
        tries.append(1)
        return login(*arguments)

    monkeypatch.setattr(ours, "_login", counted)
    token.write_pin("999999")
    with pytest.raises(LocalError, match="refused the PIN"):
        load_authorities(made, token.unlock())
    for _ in range(20):
        with pytest.raises(LocalError, match="has not changed since"):
            load_authorities(made, token.unlock())
    assert len(tries) == 1
    assert b"999999" not in (made / ours.REFUSED_FILE).read_bytes()
    token.write_pin(PIN)
    load_authorities(made, token.unlock())
    assert not (made / ours.REFUSED_FILE).exists()


def test_the_last_try_is_left_to_a_person(made: Path, token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    from pkcs11 import TokenFlag

    from bollard.identity import pkcs11 as ours

    class Last:
        flags = TokenFlag.USER_PIN_FINAL_TRY

        def open(self, **_: object) -> None:
            raise AssertionError("the last try was spent")

    class Locked:
        flags = TokenFlag.USER_PIN_LOCKED

    for found, said in ((Last(), "one try left"), (Locked(), "is locked")):
        monkeypatch.setattr(ours, "_find", lambda module, settings, found=found: found)
        with pytest.raises(LocalError, match=said):
            load_authorities(made, token.unlock())


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_pin_that_others_may_read_is_refused_before_it_is_used(made: Path, token: Token, mode: int) -> None:
    token.pin_file.chmod(mode)
    with pytest.raises(LocalError, match="open to other users"):
        load_authorities(made, token.unlock())


@pytest.mark.parametrize("text", [b"", b"\n", b"1" * 300, b"12\x0034", b"\xff\xfe"])
def test_what_is_no_pin_is_not_sent_to_the_token(made: Path, token: Token, text: bytes) -> None:
    token.pin_file.write_bytes(text)
    with pytest.raises(LocalError, match="holds no PIN"):
        load_authorities(made, token.unlock())


def test_the_pin_may_be_a_credential(made: Path, token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LocalError, match="no systemd credential bollard-pin"):
        load_authorities(made, token.unlock(pin_from="credential", pin_file=None))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(token.folder))
    token.pin_file.rename(token.folder / PIN_CREDENTIAL)
    load_authorities(made, token.unlock(pin_from="credential", pin_file=None))


def test_a_person_is_asked_for_the_pin_once(
    made: Path, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = [PIN, "999999", PIN]
    asked: list[str] = []

    def person(question: str) -> str:
        asked.append(question)
        return typed.pop(0)

    monkeypatch.setattr(getpass, "getpass", person)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    load_authorities(made, token.unlock(pin_from="prompt", pin_file=None)).reload()
    assert asked == ["PIN of the token plant: "]
    with pytest.raises(LocalError, match="refused the PIN"):
        load_authorities(made, token.unlock(pin_from="prompt", pin_file=None))
    assert typed == [PIN]


@pytest.mark.parametrize("typed", ["", "1" * 256, "é" * 128, "12\x0034", "\udcff\udcfe"])
def test_what_a_person_types_and_is_no_pin_is_not_sent_to_the_token(
    made: Path, token: Token, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    from bollard.identity import pkcs11 as ours

    def tried(*_: Any) -> Any:
        raise AssertionError("the token counts this as a wrong PIN")

    monkeypatch.setattr(ours, "_login", tried)
    monkeypatch.setattr(getpass, "getpass", lambda _: typed)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    with pytest.raises(LocalError, match="what was typed is no PIN: it needs 1 to 255 bytes") as caught:
        load_authorities(made, token.unlock(pin_from="prompt", pin_file=None))
    assert "plant was not asked" in caught.value.remedy


def test_a_token_that_is_not_there_is_told_with_those_that_are(made: Path, token: Token) -> None:
    with pytest.raises(LocalError, match="no token has the label 'plants'") as caught:
        load_authorities(made, token.unlock(label="plants"))
    assert "'plant'" in caught.value.remedy


def test_two_tokens_of_one_label_are_not_chosen_between(made: Path, token: Token) -> None:
    token.leave()
    token.add(LABEL)
    with pytest.raises(LocalError, match="more than one token"):
        load_authorities(made, token.unlock())


def test_a_module_that_is_missing_or_none_is_told(made: Path, token: Token, tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="cannot read the PKCS#11 module"):
        load_authorities(made, token.unlock(module=tmp_path / "none.so"))
    (tmp_path / "text.so").write_text("no library")
    (tmp_path / "text.so").chmod(0o644)
    with pytest.raises(LocalError, match="cannot be used"):
        load_authorities(made, token.unlock(module=tmp_path / "text.so"))


def test_a_module_that_others_may_write_is_not_loaded(made: Path, token: Token, tmp_path: Path) -> None:
    planted = tmp_path / "planted.so"
    planted.write_bytes(b"")
    planted.chmod(0o666)
    with pytest.raises(LocalError, match="others may write"):
        load_authorities(made, token.unlock(module=planted))
    planted.chmod(0o644)
    tmp_path.chmod(0o777)  # it could be exchanged
    with pytest.raises(LocalError, match="a directory above it"):
        load_authorities(made, token.unlock(module=planted))
    tmp_path.chmod(0o700)
    (tmp_path / "link.so").symlink_to(token.module)
    load_authorities(made, token.unlock(module=tmp_path / "link.so"))


def test_a_key_that_is_gone_from_the_token_is_named(made: Path, token: Token) -> None:
    key = made / "ca" / "device-ca.key"
    text = key.read_text()
    found = re.search(r"id=(\S+?);", text)
    assert found is not None
    key.write_text(text.replace(found[1], "%00" * 16))
    with pytest.raises(LocalError, match=r"does not have the key that .*device-ca\.key names"):
        load_authorities(made, token.unlock())


def test_references_that_were_exchanged_are_found_out(made: Path, token: Token) -> None:
    ca = made / "ca"
    server, device = (ca / "server-ca.key").read_text(), (ca / "device-ca.key").read_text()
    (ca / "device-ca.key").write_text(server)
    with pytest.raises(LocalError, match=r"device-ca\.key is damaged"):
        load_authorities(made, token.unlock())
    # The certificate's public key, and another key's id: the token is asked to prove it.
    (ca / "device-ca.key").write_text(server.split("\n", 1)[0] + "\n" + device.split("\n", 1)[1])
    with pytest.raises(LocalError, match="signed with another key"):
        load_authorities(made, token.unlock())


@pytest.mark.parametrize("text", ["pkcs11:", "pkcs11:token=plant;type=private\n", "pkcs11:id=%41\nx"])
def test_a_damaged_reference_is_told(made: Path, token: Token, text: str) -> None:
    (made / "ca" / "device-ca.key").write_text(text)
    with pytest.raises(LocalError, match="damaged"):
        load_authorities(made, token.unlock())


def test_a_reference_without_the_setting_is_told(made: Path) -> None:
    (made / unlock.PASS_FILE).write_text("a passphrase of some length")
    (made / unlock.PASS_FILE).chmod(0o600)
    with pytest.raises(LocalError, match="in a PKCS#11 token, and \\[authorities\\] does not say so"):
        load_authorities(made)


def test_keys_that_are_still_in_files_are_told_how_to_move(state: Path, token: Token) -> None:
    os.unlink(state / unlock.PASS_FILE)
    with pytest.raises(LocalError, match="are still in files"):
        load_authorities(state, token.unlock())


def test_a_token_that_takes_no_keys_gets_new_ones_as_the_authorities_are_replaced(
    state: Path, token: Token
) -> None:
    loaded = load_authorities(state, token.unlock())  # whose keys ca.pass still opens
    rotation.begin_device_ca(loaded, now=NOW)
    rotation.renew_server_authorities(loaded, Secret((state / "ca" / RECOVERY_FILE).read_bytes()), now=NOW)
    loaded.reload()
    assert loaded.retiring is not None
    rotation.finish_device_ca(loaded)
    os.unlink(state / unlock.PASS_FILE)
    load_authorities(state, token.unlock())
    assert all(path.read_bytes().startswith(b"pkcs11:") for path in (state / "ca").glob("*.key"))


def test_a_token_that_was_pulled_out_issues_nothing_and_leaves_no_serial(
    made: Path, token: Token, registry: Registry
) -> None:
    loaded = load_authorities(made, token.unlock())
    registry.add("plug", "device", now=NOW)
    token.leave()
    with pytest.raises(LocalError, match="did not sign"):
        issue_device_certificate(loaded, registry, "plug", now=NOW)
    assert registry.get("plug").certificates == ()
    assert CertificateState.ISSUING not in {c.state for c in registry.get("plug").certificates}


def test_a_broker_that_reads_its_authorities_again_does_not_log_in_again(made: Path, token: Token) -> None:
    loaded = load_authorities(made, token.unlock())
    token.write_pin("999999")
    loaded.reload()
    assert loaded.encrypted(loaded.device_ca.key)[0].startswith(b"pkcs11:")


def test_without_the_library_it_is_told_what_to_install(
    made: Path, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    import builtins

    real = builtins.__import__

    def missing(name: str, *rest: object, **more: object) -> object:
        if name == "bollard.identity.pkcs11":
            raise ImportError(name)
        return real(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(LocalError, match="a library that is not installed") as caught:
        Unlock("pkcs11", token=token.settings()).keys(made)
    assert "bollard[pkcs11]" in caught.value.remedy


def test_nothing_secret_is_in_a_repr(token: Token, made: Path) -> None:
    loaded = load_authorities(made, token.unlock())
    shown = (
        repr(loaded) + repr(loaded.unlock) + repr(loaded.device_ca.key) + repr(token.settings().read_pin())
    )
    assert PIN not in shown
    assert "pkcs11.PrivateKey" not in shown
