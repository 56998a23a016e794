"""Client certificates that must not count, over TLS and over WebSocket, and revocation lists of every kind."""

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bollard.base.errors import BollardError
from bollard.client import Client
from bollard.identity.authority import load_authorities
from bollard.identity.profile import Signer
from cli.daemon import Daemon, eventually

CONFIG = """\
policy = "policy.toml"
[[listener]]
bind = "127.0.0.1:0"
[[listener]]
bind = "127.0.0.1:0"
transport = "websocket"
"""
TRANSPORTS = ["tls", "wss"]


@dataclass
class Site:
    """A running broker and its authorities."""

    daemon: Daemon
    folder: Path
    ports: dict[str, int]
    devices: Signer
    enrolled: dict[str, tuple[Path, Path]] = field(default_factory=dict)

    def enroll(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of a new device."""
        out = self.folder / f"out-{name}"
        told = self.daemon.json("enroll", name, "--certificate", "--out", out)
        return Path(told["cert_file"]), Path(told["key_file"])

    def refusal(self, transport: str, pair: tuple[Path, Path]) -> str:
        """What a client with this certificate is told; "" if it is let in."""

        async def try_it() -> None:
            client = Client(
                "127.0.0.1",
                self.ports[transport],
                websocket=transport == "wss",
                ca_file=self.daemon.ca_file,
                cert_file=pair[0],
                key_file=pair[1],
            )
            async with client:
                await client.publish("nobody/listens", b"", qos=1)

        try:
            asyncio.run(try_it())
        except BollardError as error:
            # The right to that topic is not the question here.
            return "" if "nobody/listens" in str(error) else str(error)
        return ""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("certificates")
    folder.chmod(0o700)
    (folder / "policy.toml").write_text('version = 1\n[template.device]\npublish = ["devices/${id}/#"]\n')
    (folder / "bollard.toml").write_text(CONFIG)
    with Daemon(folder, config=folder / "bollard.toml") as daemon:
        ports: dict[str, int] = {}

        def told() -> bool:
            found = re.findall(r"listening \S+:(\d+) (\w+)", "\n".join(daemon.output))
            ports.update({kind: int(port) for port, kind in found})
            return set(ports) >= set(TRANSPORTS)

        assert eventually(told)
        yield Site(daemon, folder, ports, load_authorities(folder).device_ca)


def forged(
    folder: Path,
    signer: Signer,
    *,
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
    ended: bool = False,
    chain: tuple[Path, ...] = (),
) -> tuple[Path, Path]:
    """A certificate that nobody enrolled, for "plug", with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "plug")]))
        .issuer_name(signer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=-1 if ended else 1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                signer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
            ),
            critical=False,
        )
        .sign(signer.key, hashes.SHA256())
    )
    crt, file = folder / "forged.crt", folder / "forged.key"
    pem = made.public_bytes(serialization.Encoding.PEM)
    crt.write_bytes(pem + b"".join(path.read_bytes() for path in chain))
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    file.chmod(0o600)
    return crt, file


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_enrolled_certificate_is_let_in(site: Site, transport: str) -> None:
    assert site.refusal(transport, site.enroll(f"good-{transport}")) == ""


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_certificate_of_another_authority_is_refused(site: Site, tmp_path: Path, transport: str) -> None:
    stranger = Signer(site.devices.certificate, ec.generate_private_key(ec.SECP256R1()))
    assert site.refusal(transport, forged(tmp_path, stranger))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_expired_certificate_is_refused(site: Site, tmp_path: Path, transport: str) -> None:
    assert site.refusal(transport, forged(tmp_path, site.devices, ended=True))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_certificate_for_servers_is_refused(site: Site, tmp_path: Path, transport: str) -> None:
    wrong = forged(tmp_path, site.devices, usage=ExtendedKeyUsageOID.SERVER_AUTH)
    assert site.refusal(transport, wrong)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_certificate_that_the_registry_does_not_know_is_refused(
    site: Site, tmp_path: Path, transport: str
) -> None:
    assert "not authorized" in site.refusal(transport, forged(tmp_path, site.devices)).lower()


def test_a_device_cannot_issue_certificates(site: Site, tmp_path: Path) -> None:
    crt, key = site.enroll("issuer")
    secret = serialization.load_pem_private_key(key.read_bytes(), None)
    assert isinstance(secret, ec.EllipticCurvePrivateKey)
    signer = Signer(x509.load_pem_x509_certificate(crt.read_bytes()), secret)
    assert site.refusal("tls", forged(tmp_path, signer, chain=(crt,)))


def stale(path: Path, signer: Signer) -> None:
    """A list that is over and names nobody."""
    then = datetime.now(UTC) - timedelta(days=30)
    made = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(signer.certificate.subject)
        .last_update(then)
        .next_update(then + timedelta(days=1))
        .sign(signer.key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))


def der(path: Path, signer: Signer) -> None:
    """The right list in the form that others have read as an empty one."""
    made = x509.load_pem_x509_crl(path.read_bytes())
    path.write_bytes(made.public_bytes(serialization.Encoding.DER))


Spoil = Callable[[Path, Signer], None]
LISTS: dict[str, Spoil] = {
    "der": der,
    "stale": stale,
    "empty": lambda path, _: path.write_bytes(b""),
    "rubbish": lambda path, _: path.write_bytes(b"\x00" * 500),
    "missing": lambda path, _: path.unlink(),
}


def test_no_state_of_the_revocation_list_lets_the_revoked_in_or_shuts_the_others_out(site: Site) -> None:
    """Revocation is judged by the registry: the list is for others to read."""
    good, gone = site.enroll("keeps"), site.enroll("goes")
    assert site.daemon.run("devices", "revoke", "goes").returncode == 0
    (path,) = (site.folder / "ca").glob("*.crl")
    for name, spoil in LISTS.items():
        spoil(path, site.devices)
        assert site.refusal("tls", gone), name
        assert site.refusal("tls", good) == "", name
