import hashlib
import os
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from bollard.base.errors import LocalError
from bollard.identity import authority, files, profile
from bollard.identity.authority import (
    DEVICE_LIFE_MAX_S,
    Authorities,
    DeviceCredential,
    authorities_exist,
    create_authorities,
    issue_device_certificate,
    load_authorities,
)
from bollard.identity.records import CertificateState, State
from bollard.identity.registry import Registry

from .conftest import NOW, Installation, MemoryStorage
from .tls import client_context, handshake, server_context


def certificates(path: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(path.read_bytes())


def passphrase(recovery_file: Path) -> bytes:
    text = recovery_file.read_text()
    return text.partition("Passphrase:")[2].split()[0].encode()


def pem_keys(text: bytes) -> list[bytes]:
    return [b"-----BEGIN ENC" + part for part in text.split(b"-----BEGIN ENC")[1:]]


# --- what is made


def test_everything_is_there_and_ours_alone(pristine: Installation) -> None:
    ca = pristine.directory / "ca"
    assert sorted(os.listdir(ca)) == [
        "device-ca.crt",
        "device-ca.key",
        "server-ca-rsa.crt",
        "server-ca-rsa.key",
        "server-ca.crt",
        "server-ca.key",
        "server-root-recovery.txt",
        "server-root.crt",
        "server-root.key.enc",
    ]
    assert {path.stat().st_mode & 0o777 for path in ca.iterdir()} == {0o600}
    assert ca.stat().st_mode & 0o777 == 0o700
    assert pristine.recovery_file == ca / "server-root-recovery.txt"


def test_the_bundle_holds_a_root_for_each_algorithm_and_the_pin_names_the_first(
    pristine: Installation,
) -> None:
    ecdsa, rsa_root = certificates(pristine.authorities.root_file)
    assert isinstance(ecdsa.public_key(), ec.EllipticCurvePublicKey)
    assert isinstance(rsa_root.public_key(), rsa.RSAPublicKey)
    assert pristine.authorities.pin == hashlib.sha256(ecdsa.public_bytes(Encoding.DER)).hexdigest()


def test_the_rsa_chain_has_only_rsa_signatures(pristine: Installation) -> None:
    root = certificates(pristine.authorities.root_file)[1]
    chain = [*certificates(pristine.server.rsa_chain), root]
    assert len(chain) == 3
    for certificate, issuer in zip(chain, [*chain[1:], root], strict=True):
        certificate.verify_directly_issued_by(issuer)
        key = issuer.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        assert key.key_size == 2048


def test_the_hierarchies_share_nothing(pristine: Installation) -> None:
    ca = pristine.directory / "ca"
    device_ca = certificates(ca / "device-ca.crt")[0]
    device_ca.verify_directly_issued_by(device_ca)
    keys = [c.public_bytes(Encoding.DER) for c in certificates(pristine.authorities.root_file)]
    assert device_ca.public_bytes(Encoding.DER) not in keys
    assert device_ca.issuer not in [c.subject for c in certificates(pristine.authorities.root_file)]


def test_two_installations_have_roots_of_different_names(pristine: Installation, tmp_path: Path) -> None:
    create_authorities(tmp_path, now=NOW)
    theirs = {c.subject for c in certificates(tmp_path / "ca" / "server-root.crt")}
    assert theirs.isdisjoint(c.subject for c in certificates(pristine.authorities.root_file))


def test_the_recovery_sheet_opens_both_root_keys(pristine: Installation) -> None:
    roots = certificates(pristine.authorities.root_file)
    for file in ("server-root.key.enc", "server-root-recovery.txt"):
        keys = pem_keys((pristine.directory / "ca" / file).read_bytes())
        opened = [serialization.load_pem_private_key(k, passphrase(pristine.recovery_file)) for k in keys]
        assert [k.public_key() for k in opened] == [root.public_key() for root in roots]


def test_the_passphrase_has_160_random_bits_that_a_human_can_copy(pristine: Installation) -> None:
    assert re.fullmatch(rb"([A-Z2-7]{4}-){7}[A-Z2-7]{4}", passphrase(pristine.recovery_file))


def test_without_the_passphrase_the_root_keys_stay_closed(pristine: Installation) -> None:
    for key in pem_keys((pristine.directory / "ca" / "server-root.key.enc").read_bytes()):
        with pytest.raises(TypeError):
            serialization.load_pem_private_key(key, None)
        with pytest.raises(ValueError, match="password"):
            serialization.load_pem_private_key(key, b"AAAA-AAAA")


def test_the_broker_runs_without_root_keys_and_recovery_sheet(state: Path) -> None:
    for file in ("server-root.key.enc", "server-root-recovery.txt"):
        (state / "ca" / file).unlink()
    assert load_authorities(state).pin


# --- the first run


def test_authorities_are_made_once(state: Path) -> None:
    assert authorities_exist(state)
    before = (state / "ca" / "server-root.crt").read_bytes()
    with pytest.raises(LocalError, match="exists already"):
        create_authorities(state, now=NOW)
    assert (state / "ca" / "server-root.crt").read_bytes() == before


def test_an_interrupted_first_run_leaves_nothing_and_the_next_one_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    write = files.write_private

    def killed_at_the_fifth(path: Path, data: bytes) -> None:
        if len(written) == 4:
            raise KeyboardInterrupt
        written.append(path)
        write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_private", killed_at_the_fifth)
        with pytest.raises(KeyboardInterrupt):
            create_authorities(tmp_path, now=NOW)
    assert not authorities_exist(tmp_path)
    create_authorities(tmp_path, now=NOW)
    load_authorities(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["ca", "ca.pass"]


def test_a_clock_that_starts_in_1970_makes_no_authorities(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="Set the date"):
        create_authorities(tmp_path, now=12_345.0)
    assert os.listdir(tmp_path) == []


# --- loading what was damaged


@pytest.mark.parametrize("file", ["server-root.crt", "server-ca.crt", "server-ca-rsa.key", "device-ca.key"])
@pytest.mark.parametrize("damage", [b"", b"rubbish", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_damaged_file_is_named(state: Path, file: str, damage: bytes) -> None:
    (state / "ca" / file).write_bytes(damage)
    with pytest.raises(LocalError, match=f"{file} is damaged") as caught:
        load_authorities(state)
    assert "backup" in caught.value.remedy


@pytest.mark.parametrize("file", ["server-root.crt", "server-ca.key", "device-ca.crt"])
def test_a_missing_file_is_named(state: Path, file: str) -> None:
    (state / "ca" / file).unlink()
    with pytest.raises(LocalError, match=f"cannot read .*{file}"):
        load_authorities(state)


@pytest.mark.parametrize("file", ["server-ca.key", "server-ca-rsa.key", "device-ca.key"])
def test_an_authority_key_open_to_others_is_refused(state: Path, file: str) -> None:
    (state / "ca" / file).chmod(0o640)
    with pytest.raises(LocalError, match="open to other users"):
        load_authorities(state)


def test_a_key_of_another_authority_is_refused(state: Path) -> None:
    ca = state / "ca"
    shutil.copy(ca / "device-ca.key", ca / "server-ca.key")
    with pytest.raises(LocalError, match=r"server-ca\.key is damaged"):
        load_authorities(state)


def test_a_planted_server_authority_is_refused(state: Path) -> None:
    key = profile.new_ec_key()
    planted = profile.self_signed(profile.SERVER_ROOT, "Bollard server CA", key, now=NOW)
    (state / "ca" / "server-ca.crt").write_bytes(authority.pem(planted.certificate))
    (state / "ca" / "server-ca.key").write_bytes(authority.pem_key(key))
    with pytest.raises(LocalError, match=r"server-ca\.crt is damaged"):
        load_authorities(state)


def test_a_key_of_an_unknown_algorithm_is_damage(state: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (state / "ca" / "server-ca.key").write_bytes(pem)
    with pytest.raises(LocalError, match=r"server-ca\.key is damaged"):
        load_authorities(state)


def test_authorities_do_not_show_their_keys(pristine: Installation) -> None:
    assert "key=" not in repr(pristine.authorities)
    assert "Signer" not in repr(pristine.authorities)


# --- device certificates


def issue(authorities: Authorities, registry: Registry, name: str = "plug") -> DeviceCredential:
    registry.add(name, "device", now=NOW)
    return issue_device_certificate(authorities, registry, name, now=NOW)


def test_a_device_certificate_names_its_enrollment(pristine: Installation, registry: Registry) -> None:
    credential = issue(pristine.authorities, registry)
    leaf = x509.load_pem_x509_certificate(credential.certificate_pem)
    assert leaf.subject.rfc4514_string() == "CN=plug"
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        f"urn:uuid:{registry.get('plug').uuid}"
    ]
    leaf.verify_directly_issued_by(pristine.authorities.device_ca.certificate)
    assert len(leaf.public_bytes(Encoding.DER)) <= 640


def test_the_registry_knows_the_certificate_that_was_given_out(
    pristine: Installation, registry: Registry
) -> None:
    credential = issue(pristine.authorities, registry)
    leaf = x509.load_pem_x509_certificate(credential.certificate_pem)
    found = registry.snapshot().by_certificate(hashlib.sha256(leaf.public_bytes(Encoding.DER)).digest())
    assert found is not None
    identity, record = found
    assert identity.state is State.ACTIVE
    assert record.serial == credential.serial == leaf.serial_number
    assert record.not_after == credential.not_after == leaf.not_valid_after_utc.timestamp()


def test_a_second_certificate_ends_the_first_only_if_it_is_told_to(
    pristine: Installation, registry: Registry
) -> None:
    issue(pristine.authorities, registry)
    issue_device_certificate(pristine.authorities, registry, "plug", now=NOW)
    assert len(registry.get("plug").active_certificates) == 2
    last = issue_device_certificate(pristine.authorities, registry, "plug", now=NOW, supersede=True)
    assert [c.serial for c in registry.get("plug").active_certificates] == [last.serial]


def test_the_serial_is_on_record_before_anything_is_signed(
    pristine: Installation, registry: Registry, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign = profile.signed_by
    recorded: list[CertificateState] = []

    def watched(*arguments: object, **options: object) -> x509.Certificate:
        recorded.extend(c.state for c in storage.saved["plug"].certificates)
        return sign(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(profile, "signed_by", watched)
    issue(pristine.authorities, registry)
    assert recorded == [CertificateState.ISSUING]


def test_a_crash_between_signing_and_recording_leaves_a_revoked_serial(
    pristine: Installation, registry: Registry, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(registry, "complete_certificate", crash)
        with pytest.raises(KeyboardInterrupt):
            issue(pristine.authorities, registry)
    restarted = Registry(storage, registry._verifier, now=NOW + 5)
    (lost,) = restarted.get("plug").certificates
    assert lost.state is CertificateState.REVOKED
    assert lost.changed_at == NOW + 5
    assert restarted.get("plug").state is State.PENDING
    issue(pristine.authorities, restarted)
    assert restarted.get("plug").state is State.ACTIVE
    assert len(restarted.get("plug").active_certificates) == 1


def test_nothing_is_signed_when_the_record_cannot_be_written(
    pristine: Installation, registry: Registry, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("signed")

    registry.add("plug", "device", now=NOW)
    storage.full = True
    monkeypatch.setattr(profile, "signed_by", never)
    with pytest.raises(LocalError, match="disk full"):
        issue_device_certificate(pristine.authorities, registry, "plug", now=NOW)


def test_an_unknown_or_revoked_identity_gets_no_certificate(
    pristine: Installation, registry: Registry
) -> None:
    with pytest.raises(LocalError, match="no identity 'ghost'"):
        issue_device_certificate(pristine.authorities, registry, "ghost", now=NOW)
    issue(pristine.authorities, registry)
    registry.revoke("plug", now=NOW)
    with pytest.raises(LocalError, match="revoked"):
        issue_device_certificate(pristine.authorities, registry, "plug", now=NOW)


@pytest.mark.parametrize("life_s", [0, -1, DEVICE_LIFE_MAX_S + 1])
def test_the_life_of_a_device_certificate_is_bounded(
    pristine: Installation, registry: Registry, life_s: int
) -> None:
    registry.add("plug", "device", now=NOW)
    with pytest.raises(LocalError, match="at most 730 days"):
        issue_device_certificate(pristine.authorities, registry, "plug", now=NOW, life_s=life_s)
    longest = issue_device_certificate(
        pristine.authorities, registry, "plug", now=NOW, life_s=DEVICE_LIFE_MAX_S
    )
    assert longest.not_after == NOW + DEVICE_LIFE_MAX_S


def test_a_credential_does_not_show_its_key(pristine: Installation, registry: Registry) -> None:
    credential = issue(pristine.authorities, registry)
    assert b"PRIVATE KEY" in credential.key_pem.reveal()
    assert "PRIVATE KEY" not in repr(credential)


# --- over TLS


@pytest.fixture(scope="module")
def live(install: Callable[[float], Installation]) -> Installation:
    """An installation of this moment: OpenSSL's clock cannot be set."""
    return install(time.time())


def device_chain(live: Installation, registry: Registry, directory: Path) -> tuple[Path, Path]:
    registry.add("plug", "device", now=NOW)
    credential = issue_device_certificate(live.authorities, registry, "plug", now=time.time())
    files.write_private(directory / "plug.crt", credential.certificate_pem)
    files.write_private(directory / "plug.key", credential.key_pem.reveal())
    return directory / "plug.crt", directory / "plug.key"


def test_the_broker_accepts_a_device_certificate_and_sees_it_whole(
    live: Installation, registry: Registry, tmp_path: Path
) -> None:
    chain = device_chain(live, registry, tmp_path)
    server = server_context(
        (live.server.ecdsa_chain, live.server.ecdsa_key), device_ca=live.authorities.device_ca_file
    )
    client = client_context(live.authorities.root_file)
    client.load_cert_chain(*chain)
    der = handshake(client, server).client_certificate
    assert der is not None
    found = registry.snapshot().by_certificate(hashlib.sha256(der).digest())
    assert found is not None
    assert found[0].id == "plug"


def test_a_device_cannot_pass_as_the_broker(live: Installation, registry: Registry, tmp_path: Path) -> None:
    server = server_context(device_chain(live, registry, tmp_path))
    client = client_context(live.authorities.root_file)
    client.check_hostname = False
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        handshake(client, server)


def test_even_who_trusts_the_device_authority_takes_no_device_for_a_server(
    live: Installation, registry: Registry, tmp_path: Path
) -> None:
    server = server_context(device_chain(live, registry, tmp_path))
    client = client_context(live.authorities.device_ca_file)
    client.check_hostname = False
    with pytest.raises(ssl.SSLCertVerificationError, match=r"unsuitable certificate purpose|invalid CA"):
        handshake(client, server)


def test_a_server_certificate_is_no_client_certificate(live: Installation) -> None:
    server = server_context(
        (live.server.ecdsa_chain, live.server.ecdsa_key), device_ca=live.authorities.root_file
    )
    client = client_context(live.authorities.root_file)
    client.load_cert_chain(live.server.ecdsa_chain, live.server.ecdsa_key)
    with pytest.raises(ssl.SSLError, match="certificate verify failed"):
        handshake(client, server)


def test_a_certificate_of_another_device_authority_is_refused(
    live: Installation, pristine: Installation, registry: Registry, tmp_path: Path
) -> None:
    server = server_context(
        (live.server.ecdsa_chain, live.server.ecdsa_key), device_ca=pristine.authorities.device_ca_file
    )
    client = client_context(live.authorities.root_file)
    client.load_cert_chain(*device_chain(live, registry, tmp_path))
    with pytest.raises(ssl.SSLError, match="certificate verify failed"):
        handshake(client, server)


def test_openssl_finds_nothing_to_complain_about(
    live: Installation, registry: Registry, tmp_path: Path
) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the openssl command is not installed")
    ca, tls = live.directory / "ca", live.directory / "tls"
    device, _ = device_chain(live, registry, tmp_path)
    for trusted, leaf, purpose in (
        (ca / "server-root.crt", tls / "server-ecdsa.crt", "sslserver"),
        (ca / "server-root.crt", tls / "server-rsa.crt", "sslserver"),
        (ca / "device-ca.crt", device, "sslclient"),
    ):
        command = [openssl, "verify", "-x509_strict", "-check_ss_sig", "-no-CApath", "-no-CAstore"]
        command += ["-purpose", purpose, "-CAfile", str(trusted), "-untrusted", str(leaf), str(leaf)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.stdout.endswith(": OK\n"), result.stderr
