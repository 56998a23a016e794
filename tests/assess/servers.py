"""Servers with a known flaw, on loopback: TLS of any age, canned bytes, and MQTT that answers as it is told."""

import socket
import ssl
import threading
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

Talk = Callable[[socket.socket], None]


class Server:
    """Takes connections one at a time in a thread, and gives each to `talk`. A context manager."""

    def __init__(self, talk: Talk, context: ssl.SSLContext | None = None) -> None:
        self._talk = talk
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self.port: int = self._socket.getsockname()[1]
        self.connections = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._ending.is_set():
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                continue
            self.connections += 1
            connection.settimeout(2)
            try:
                if self._context is not None:
                    connection = self._context.wrap_socket(connection, server_side=True)
                self._talk(connection)
            except (OSError, ssl.SSLError):
                pass
            finally:
                connection.close()


def silent(connection: socket.socket) -> None:
    """Reads until the peer ends."""
    while connection.recv(4096):
        pass


def says(data: bytes) -> Talk:
    """Answers the first bytes with `data` and ends."""

    def talk(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(data)

    return talk


def context(
    folder: Path,
    *,
    lowest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
    highest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ciphers: str = "",
    certificate: tuple[Path, Path] | None = None,
    client_ca: Path | None = None,
) -> ssl.SSLContext:
    """A server's context, as old and as weak as is asked for."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*(certificate or mint(folder)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made.minimum_version, made.maximum_version = lowest, highest
    if ciphers:
        made.set_ciphers(ciphers)
    if client_ca is not None:
        made.load_verify_locations(client_ca)
        made.verify_mode = ssl.CERT_REQUIRED
    return made


def mint(
    folder: Path,
    *,
    names: tuple[str, ...] = ("localhost",),
    key: str = "ec",
    days: tuple[int, int] = (-1, 90),
    digest: hashes.HashAlgorithm | None = None,
) -> tuple[Path, Path]:
    """A self-signed certificate and its key. `days`: valid from and to, from now."""
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    private = (
        ec.generate_private_key(ec.SECP256R1()) if key == "ec" else rsa.generate_private_key(65537, int(key))
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
    )
    if names:
        alternative = x509.SubjectAlternativeName([x509.DNSName(each) for each in names])
        builder = builder.add_extension(alternative, critical=False)
    certificate = builder.sign(private, digest or hashes.SHA256())
    folder.mkdir(exist_ok=True)
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return cert_file, key_file
