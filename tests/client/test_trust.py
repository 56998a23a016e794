import hashlib
import ssl
from pathlib import Path

import pytest
import trustme

from bollard.base.errors import LocalError
from bollard.client.errors import ConnectFailed, ServerNotTrusted
from bollard.client.trust import Trust, client_context, explain, normal_pin


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.crt"
    authority.cert_pem.write_to_path(path)
    return path


def pin_of(authority: trustme.CA) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode())).hexdigest()


def test_the_default_verifies_chain_and_name_against_the_system() -> None:
    context = client_context(Trust())
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_with_a_ca_file_nothing_else_is_trusted(ca_file: Path) -> None:
    context = client_context(Trust(ca_file=ca_file))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) == 1


def test_a_pin_picks_one_root_out_of_a_file(authority: trustme.CA, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.crt"
    bundle.write_bytes(trustme.CA().cert_pem.bytes() + authority.cert_pem.bytes())
    context = client_context(Trust(ca_file=bundle, pin=pin_of(authority)))
    (only,) = context.get_ca_certs(binary_form=True)
    assert hashlib.sha256(only).hexdigest() == pin_of(authority)


def test_a_pin_that_the_file_does_not_have_is_refused(ca_file: Path) -> None:
    with pytest.raises(LocalError, match="pin"):
        client_context(Trust(ca_file=ca_file, pin="00" * 32))


def test_a_pinned_root_that_does_not_have_the_hash_is_refused() -> None:
    other = ssl.PEM_cert_to_DER_cert(trustme.CA().cert_pem.bytes().decode())
    with pytest.raises(ServerNotTrusted):
        client_context(Trust(pin="00" * 32), other)


def test_a_pin_may_be_written_as_openssl_prints_it() -> None:
    assert normal_pin("SHA256:" + ":".join(["AB"] * 32)) == "ab" * 32


@pytest.mark.parametrize("pin", ["ab", "zz" * 32, "ab" * 33, "é" * 64])
def test_a_pin_of_another_form_is_refused(pin: str) -> None:
    with pytest.raises(LocalError):
        Trust(pin=pin)


def test_any_server_and_a_root_contradict_each_other(ca_file: Path) -> None:
    with pytest.raises(LocalError):
        Trust(ca_file=ca_file, allow_any_server=True)


def test_any_server_has_to_be_asked_for_by_name() -> None:
    context = client_context(Trust(allow_any_server=True))
    assert context.verify_mode is ssl.CERT_NONE


def test_a_key_without_a_certificate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalError):
        Trust(key_file=tmp_path / "k")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"nowhere\.crt"):
        client_context(Trust(ca_file=tmp_path / "nowhere.crt"))


def test_a_file_without_certificates_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.crt"
    path.write_text("nothing\n")
    with pytest.raises(LocalError, match=r"empty\.crt"):
        client_context(Trust(ca_file=path))


def test_an_encrypted_key_is_refused_instead_of_asking_on_the_terminal(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    leaf = trustme.CA().issue_cert("plug")
    key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
    cert_file, key_file = tmp_path / "c.pem", tmp_path / "k.pem"
    leaf.cert_chain_pems[0].write_to_path(cert_file)
    key_file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase"))
    )
    with pytest.raises(LocalError, match="encrypted"):
        client_context(Trust(cert_file=cert_file, key_file=key_file))


@pytest.mark.parametrize(
    ("error", "kind", "part"),
    [
        (ConnectionRefusedError(111, "refused"), ConnectFailed, "nothing listens at there:1"),
        (TimeoutError(), ConnectFailed, "in time"),
        (ConnectionResetError(104, "reset"), ConnectFailed, "hung up"),
        (OSError(113, "No route to host"), ConnectFailed, "No route to host"),
    ],
    ids=["refused", "timeout", "reset", "route"],
)
def test_a_failure_is_explained(error: OSError, kind: type[Exception], part: str) -> None:
    explained = explain(error, "there:1")
    assert isinstance(explained, kind)
    assert part in explained.message
    assert explained.remedy
    assert explained.heals
