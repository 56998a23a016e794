"""Contexts: versions, suites, chains, client certificates, resumption, reload, and failures in words."""

import ssl
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bollard.base.errors import LocalError
from bollard.net.tls import CertificateFiles, explain, reload_certificates, server_context

from .conftest import Certificates, mint


class Wire:
    """A client and a server joined by memory."""

    def __init__(
        self, server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None
    ) -> None:
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = server.wrap_bio(there, back, server_side=True)
        self.client = client.wrap_bio(back, there, server_hostname="127.0.0.1", session=session)
        self._pending = {self.client, self.server}
        self.server_error: ssl.SSLError | None = None
        self.client_error: ssl.SSLError | None = None
        for _ in range(6):
            self._step(self.client, "client_error")
            self._step(self.server, "server_error")

    def _step(self, side: ssl.SSLObject, error_name: str) -> None:
        if side not in self._pending:
            return
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError as error:
            setattr(self, error_name, error)
        self._pending.discard(side)

    @property
    def established(self) -> bool:
        return not self._pending and self.server_error is None and self.client_error is None

    @property
    def key_type(self) -> str:
        """Which of the chains was served."""
        leaf = x509.load_der_x509_certificate(self.client.getpeercert(binary_form=True) or b"")
        return "rsa" if isinstance(leaf.public_key(), rsa.RSAPublicKey) else "ecdsa"

    def exchange(self) -> None:
        """One byte each way, which also delivers session tickets."""
        self.client.write(b"x")
        assert self.server.read(1) == b"x"
        self.server.write(b"y")
        assert self.client.read(1) == b"y"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_current_versions_are_served(certificates: Certificates, version: ssl.TLSVersion) -> None:
    client = certificates.client()
    client.minimum_version = client.maximum_version = version
    assert Wire(certificates.server(), client).established


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_1_1_is_refused_with_a_plain_sentence(certificates: Certificates) -> None:
    client = certificates.client()
    client.set_ciphers("ALL:@SECLEVEL=0")
    client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    wire = Wire(certificates.server(), client)
    assert not wire.established
    assert wire.server_error is not None
    assert "older than 1.2" in explain(wire.server_error)


@pytest.mark.parametrize(
    ("suite", "kind"),
    [
        ("ECDHE-RSA-AES128-GCM-SHA256", "rsa"),
        ("ECDHE-RSA-AES256-GCM-SHA384", "rsa"),
        ("ECDHE-RSA-CHACHA20-POLY1305", "rsa"),
        ("ECDHE-ECDSA-AES128-GCM-SHA256", "ecdsa"),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", "ecdsa"),
    ],
)
def test_each_device_gets_the_chain_that_it_can_check(
    certificates: Certificates, suite: str, kind: str
) -> None:
    client = certificates.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(suite)
    wire = Wire(certificates.server(), client)
    assert wire.established
    assert wire.key_type == kind
    assert wire.client.cipher() is not None
    assert wire.client.cipher()[0] == suite


def test_the_client_chooses_among_the_suites(certificates: Certificates) -> None:
    client = certificates.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384")
    assert Wire(certificates.server(), client).key_type == "rsa"


@pytest.mark.parametrize("suite", ["AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA", "DHE-RSA-AES128-GCM-SHA256"])
def test_suites_without_forward_secrecy_or_authenticated_encryption_are_refused(
    certificates: Certificates, suite: str
) -> None:
    client = certificates.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(suite)
    wire = Wire(certificates.server(), client)
    assert wire.server_error is not None
    assert "no cipher suite in common" in explain(wire.server_error)


def test_a_client_without_a_certificate_is_let_through(certificates: Certificates) -> None:
    wire = Wire(certificates.server(), certificates.client())
    assert wire.established
    assert wire.server.getpeercert(binary_form=True) is None


def test_a_device_certificate_is_verified_and_handed_on(certificates: Certificates) -> None:
    wire = Wire(certificates.server(), certificates.device("plug"))
    assert wire.established
    assert b"plug@device.test" in (wire.server.getpeercert(binary_form=True) or b"")


def test_a_certificate_of_another_authority_ends_the_handshake(certificates: Certificates) -> None:
    wire = Wire(certificates.server(), certificates.device("plug", trustme.CA()))
    assert wire.server_error is not None
    assert "certificate is not accepted" in explain(wire.server_error)


def test_a_server_certificate_cannot_act_as_a_device(certificates: Certificates) -> None:
    client = certificates.client()
    certificates.authority.issue_cert("localhost").configure_cert(client)
    assert Wire(certificates.server(), client).server_error is not None


def test_without_a_device_authority_certificates_are_not_asked_for(certificates: Certificates) -> None:
    context = server_context([certificates.ecdsa])
    wire = Wire(context, certificates.device("plug"))
    assert wire.established
    assert wire.server.getpeercert(binary_form=True) is None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_resume_and_keep_the_device_certificate(
    certificates: Certificates, version: ssl.TLSVersion
) -> None:
    server, client = certificates.server(), certificates.device("plug")
    client.maximum_version = version
    first = Wire(server, client)
    first.exchange()
    again = Wire(server, client, session=first.client.session)
    assert again.established
    assert again.client.session_reused
    assert again.server.getpeercert(binary_form=True) == first.server.getpeercert(binary_form=True)


def test_an_untrusting_client_is_named_as_such(certificates: Certificates) -> None:
    stranger = ssl.create_default_context()
    wire = Wire(certificates.server(), stranger)
    assert wire.client_error is not None
    assert wire.server_error is not None
    assert "give it the CA file" in explain(wire.server_error)


def test_renegotiation_and_compression_are_off(certificates: Certificates) -> None:
    options = certificates.server().options
    assert options & ssl.OP_NO_RENEGOTIATION
    assert options & ssl.OP_NO_COMPRESSION


def test_alpn_is_optional_and_names_one_transport(certificates: Certificates) -> None:
    client = certificates.client()
    client.set_alpn_protocols(["http/1.1", "mqtt"])
    assert Wire(certificates.server(), client).client.selected_alpn_protocol() == "mqtt"
    web = Wire(certificates.server("websocket"), client)
    assert web.client.selected_alpn_protocol() == "http/1.1"
    other = certificates.client()
    other.set_alpn_protocols(["x-other"])
    wire = Wire(certificates.server(), other)
    assert wire.established
    assert wire.client.selected_alpn_protocol() is None


def test_reloading_serves_the_new_chain_and_keeps_resumption(
    certificates: Certificates, tmp_path: Path
) -> None:
    server, client = certificates.server(), certificates.client()
    first = Wire(server, client)
    first.exchange()
    renewed = mint(certificates.authority, tmp_path, "renewed", trustme.KeyType.ECDSA)
    reload_certificates(server, [renewed])
    assert Wire(server, client).client.getpeercert(True) != first.client.getpeercert(True)
    assert Wire(server, client, session=first.client.session).client.session_reused


def test_a_failed_reload_leaves_the_old_chain(certificates: Certificates, tmp_path: Path) -> None:
    server, client = certificates.server(), certificates.client()
    before = Wire(server, client).client.getpeercert(True)
    renewed = mint(certificates.authority, tmp_path, "renewed", trustme.KeyType.ECDSA)
    broken = CertificateFiles(renewed.chain, certificates.rsa.key)
    with pytest.raises(LocalError, match="certificate chain and its key"):
        reload_certificates(server, [renewed, broken])
    assert Wire(server, client).client.getpeercert(True) == before


def test_a_missing_file_is_named(certificates: Certificates, tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"gone\.key: this file .* does not exist"):
        server_context([CertificateFiles(certificates.ecdsa.chain, tmp_path / "gone.key")])
    with pytest.raises(LocalError, match=r"gone\.crt: this file .* does not exist"):
        server_context([CertificateFiles(tmp_path / "gone.crt", certificates.ecdsa.key)])


def test_an_encrypted_key_is_an_error_and_never_a_prompt(certificates: Certificates, tmp_path: Path) -> None:
    key = serialization.load_pem_private_key(certificates.ecdsa.key.read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(LocalError, match="certificate chain and its key"):
        server_context([CertificateFiles(certificates.ecdsa.chain, locked)])


def test_a_device_authority_that_cannot_be_read_is_named(certificates: Certificates, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for path in (empty, tmp_path / "gone.pem"):
        with pytest.raises(LocalError, match=f"{path.name}: the device authority cannot be read"):
            server_context([certificates.ecdsa], client_ca=path)


def test_a_server_without_certificates_is_refused() -> None:
    with pytest.raises(LocalError, match="No server certificate"):
        server_context([])


def test_an_unknown_reason_is_still_a_sentence() -> None:
    error = ssl.SSLError(1, "text")
    error.reason = None
    assert explain(error) == "TLS failed: unknown reason"
    error.reason = "SOME_NEW_REASON"
    assert explain(error) == "TLS failed: some new reason"
