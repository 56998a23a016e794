import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bollard.base.errors import LocalError
from bollard.identity.authority import load_authorities
from bollard.identity.hosts import HostNames
from bollard.identity.profile import DAY_S
from bollard.identity.serving import ServerCertificates, ensure_server_certificates

from .conftest import NOW, Installation
from .tls import client_context, handshake, server_context

TASMOTA = "ECDHE-RSA-AES128-GCM-SHA256"


def leaf(chain: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificates(chain.read_bytes())[0]


def ensure(state: Path, names: HostNames, now: float = NOW) -> ServerCertificates:
    return ensure_server_certificates(load_authorities(state), names, now=now)


@pytest.fixture
def names(pristine: Installation) -> HostNames:
    return pristine.names


# --- issuing and keeping


def test_a_first_run_issues_both_chains(pristine: Installation) -> None:
    assert pristine.server.renewed == (
        "new server-ecdsa.crt: there was none",
        "new server-rsa.crt: there was none",
    )
    assert isinstance(leaf(pristine.server.ecdsa_chain).public_key(), ec.EllipticCurvePublicKey)
    assert isinstance(leaf(pristine.server.rsa_chain).public_key(), rsa.RSAPublicKey)
    tls = pristine.directory / "tls"
    assert tls.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in tls.iterdir()} == {0o600}


def test_a_second_run_changes_nothing(state: Path, names: HostNames) -> None:
    before = {path.name: path.read_bytes() for path in (state / "tls").iterdir()}
    again = ensure(state, names, NOW + DAY_S)
    assert again.renewed == ()
    assert {path.name: path.read_bytes() for path in (state / "tls").iterdir()} == before


def test_every_name_and_address_is_in_the_certificate(pristine: Installation) -> None:
    for chain in (pristine.server.ecdsa_chain, pristine.server.rsa_chain):
        certificate = leaf(chain)
        assert certificate.subject.rfc4514_string() == "CN=plant.local"
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert found.get_values_for_type(x509.DNSName) == ["plant.local", "localhost"]
        assert [str(a) for a in found.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


@pytest.mark.parametrize("change", ["name", "address", "common name"])
def test_another_name_or_address_gives_a_new_certificate_for_the_same_key(
    state: Path, names: HostNames, change: str
) -> None:
    before = leaf(state / "tls" / "server-ecdsa.crt")
    others = {
        "name": names.adding(["mqtt.example.org"]),
        "address": names.adding(["192.0.2.7"]),
        "common name": HostNames("localhost", names.names, names.addresses),
    }
    renewed = ensure(state, others[change])
    assert all("other names or addresses" in why for why in renewed.renewed)
    assert len(renewed.renewed) == 2
    after = leaf(renewed.ecdsa_chain)
    assert after.public_key() == before.public_key()
    assert after.serial_number != before.serial_number
    assert ensure(state, others[change]).renewed == ()


def test_two_thirds_of_the_life_are_served_and_no_more(state: Path, names: HostNames) -> None:
    first = ensure(state, names)
    assert first.renew_at == pytest.approx(NOW - DAY_S + 91 * DAY_S * 2 / 3)
    assert first.not_after == NOW + 90 * DAY_S
    assert ensure(state, names, first.renew_at - 1).renewed == ()
    key = leaf(first.rsa_chain).public_key()
    second = ensure(state, names, first.renew_at)
    assert all("two thirds" in why for why in second.renewed)
    assert second.not_after > first.not_after
    assert leaf(second.rsa_chain).public_key() == key


def test_a_clock_that_was_set_back_gives_a_certificate_that_is_valid_now(
    state: Path, names: HostNames
) -> None:
    assert len(ensure(state, names, NOW - 30 * DAY_S).renewed) == 2


def test_a_certificate_ends_with_its_authority(state: Path, names: HostNames) -> None:
    end = NOW + 5 * 365 * DAY_S
    assert ensure(state, names, end - DAY_S).not_after == end
    with pytest.raises(LocalError, match="expired on 2031"):
        ensure(state, names, end)


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "leaf only", "garbage"])
def test_a_damaged_chain_is_issued_again(state: Path, names: HostNames, damage: str) -> None:
    chain = state / "tls" / "server-rsa.crt"
    whole = chain.read_bytes()
    first_only = whole.partition(b"-----END CERTIFICATE-----\n")
    contents = {"empty": b"", "cut": whole[:700], "leaf only": b"".join(first_only[:2]), "garbage": b"x"}
    if damage == "missing":
        chain.unlink()
    else:
        chain.write_bytes(contents[damage])
    renewed = ensure(state, names)
    assert [why.split(":")[0] for why in renewed.renewed] == ["new server-rsa.crt"]
    assert len(x509.load_pem_x509_certificates(chain.read_bytes())) == 2


def test_the_chain_of_another_authority_is_replaced(
    state: Path, names: HostNames, install: Callable[[float], Installation]
) -> None:
    stranger = install(NOW)
    shutil.copy(stranger.server.ecdsa_chain, state / "tls" / "server-ecdsa.crt")
    assert "another authority" in ensure(state, names).renewed[0]


def test_a_crash_between_key_and_certificate_is_repaired_with_that_key(state: Path, names: HostNames) -> None:
    tls = state / "tls"
    (tls / "server-ecdsa.crt").unlink()
    key = (tls / "server-ecdsa.key").read_bytes()
    ensure(state, names)
    assert (tls / "server-ecdsa.key").read_bytes() == key


def test_a_lost_key_is_replaced_together_with_its_certificate(state: Path, names: HostNames) -> None:
    (state / "tls" / "server-rsa.key").unlink()
    renewed = ensure(state, names)
    assert renewed.renewed == ("new server-rsa.crt: the old one is for another key",)
    server_context((renewed.rsa_chain, renewed.rsa_key))


def test_a_damaged_key_is_told_and_not_replaced(state: Path, names: HostNames) -> None:
    key = state / "tls" / "server-ecdsa.key"
    key.write_bytes(b"damaged")
    with pytest.raises(LocalError, match=r"server-ecdsa\.key is damaged"):
        ensure(state, names)
    assert key.read_bytes() == b"damaged"


def test_a_key_open_to_others_is_refused(state: Path, names: HostNames) -> None:
    (state / "tls" / "server-rsa.key").chmod(0o644)
    with pytest.raises(LocalError, match="open to other users"):
        ensure(state, names)


def test_a_directory_that_cannot_be_made_is_said(state: Path, names: HostNames) -> None:
    shutil.rmtree(state / "tls")
    (state / "tls").write_bytes(b"")
    with pytest.raises(LocalError, match="cannot write"):
        ensure(state, names)


# --- over TLS, with both chains loaded side by side


@pytest.fixture(scope="module")
def live(install: Callable[[float], Installation]) -> Installation:
    """An installation of this moment: OpenSSL's clock cannot be set."""
    return install(time.time())


@pytest.fixture
def server(live: Installation) -> ssl.SSLContext:
    files = live.server
    return server_context((files.ecdsa_chain, files.ecdsa_key), (files.rsa_chain, files.rsa_key))


@pytest.fixture
def client(live: Installation) -> ssl.SSLContext:
    return client_context(live.authorities.root_file)


def test_firmware_that_only_does_rsa_gets_the_rsa_chain(
    client: ssl.SSLContext, server: ssl.SSLContext
) -> None:
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(TASMOTA)
    seen = handshake(client, server)
    assert (seen.version, seen.cipher) == ("TLSv1.2", TASMOTA)
    key = x509.load_der_x509_certificate(seen.server_certificate).public_key()
    assert isinstance(key, rsa.RSAPublicKey)


def test_a_client_that_only_does_ecdsa_gets_the_p256_chain(
    client: ssl.SSLContext, server: ssl.SSLContext
) -> None:
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    seen = handshake(client, server)
    key = x509.load_der_x509_certificate(seen.server_certificate).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)


def test_a_modern_client_gets_tls_1_3_and_the_small_chain(
    client: ssl.SSLContext, server: ssl.SSLContext
) -> None:
    seen = handshake(client, server)
    assert seen.version == "TLSv1.3"
    key = x509.load_der_x509_certificate(seen.server_certificate).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)


@pytest.mark.parametrize("host", ["localhost", "plant.local", "127.0.0.1", "::1"])
def test_every_way_to_name_the_host_verifies(
    client: ssl.SSLContext, server: ssl.SSLContext, host: str
) -> None:
    assert handshake(client, server, host).version == "TLSv1.3"


@pytest.mark.parametrize("host", ["plant.example.org", "192.0.2.1", "sub.plant.local"])
def test_a_name_that_is_not_ours_does_not(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(client, server, host)


def test_a_client_that_trusts_another_root_refuses_us(server: ssl.SSLContext, pristine: Installation) -> None:
    stranger = client_context(pristine.authorities.root_file)
    for ciphers in (TASMOTA, "ECDHE-ECDSA-AES128-GCM-SHA256"):
        stranger.maximum_version = ssl.TLSVersion.TLSv1_2
        stranger.set_ciphers(ciphers)
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(stranger, server)


def test_the_device_authority_is_no_anchor_for_servers(server: ssl.SSLContext, live: Installation) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(client_context(live.authorities.device_ca_file), server)


@pytest.mark.parametrize(
    "options",
    [
        ["-tls1_2", "-cipher", TASMOTA, "-sigalgs", "RSA+SHA256"],
        ["-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256:rsa_pkcs1_sha256"],
        ["-tls1_3", "-sigalgs", "ECDSA+SHA256"],
    ],
    ids=["RSA under TLS 1.2", "RSA under TLS 1.3", "ECDSA under TLS 1.3"],
)
def test_a_client_without_code_for_other_signatures_verifies_the_chain(
    live: Installation, server: ssl.SSLContext, options: list[str]
) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the openssl command is not installed")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve_once, args=(listener, server))
        thread.start()
        command = [openssl, "s_client", "-connect", f"127.0.0.1:{listener.getsockname()[1]}", *options]
        command += ["-CAfile", str(live.authorities.root_file), "-no-CApath", "-no-CAstore"]
        command += ["-x509_strict", "-verify_return_error", "-verify_hostname", "localhost"]
        result = subprocess.run(command, input="", capture_output=True, text=True, timeout=20, check=False)
        thread.join()
    assert "Verify return code: 0 (ok)" in result.stdout or "Verification: OK" in result.stdout, result.stderr
    assert result.returncode == 0


def serve_once(listener: socket.socket, context: ssl.SSLContext) -> None:
    """One handshake; the client's own verdict is what the test looks at."""
    listener.settimeout(20)
    connection, _ = listener.accept()
    try:
        with context.wrap_socket(connection, server_side=True) as stream:
            stream.recv(1)
    except OSError:
        connection.close()
