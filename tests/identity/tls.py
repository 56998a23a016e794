"""A TLS handshake between two contexts in memory, and certificates as OpenSSL's command judges them."""

import contextlib
import ssl
from dataclasses import dataclass
from pathlib import Path

#: `ssl.VERIFY_X509_STRICT` is on by default from Python 3.13.
STRICT = ssl.VERIFY_X509_STRICT


@dataclass(frozen=True)
class Handshake:
    """What both ends saw. `server_certificate` is what the client was given."""

    version: str | None
    cipher: str
    server_certificate: bytes
    client_certificate: bytes | None


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, host: str = "localhost") -> Handshake:
    """Run it to the end, with one byte of data each way; raises what either end refuses with."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_end = client.wrap_bio(down, up, server_hostname=host)
    server_end = server.wrap_bio(up, down, server_side=True)
    for _ in range(4):
        for end in (client_end, server_end):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    client_end.write(b"?")
    assert server_end.read(1) == b"?"
    server_end.write(b"!")
    assert client_end.read(1) == b"!"
    certificate, cipher = client_end.getpeercert(True), client_end.cipher()
    assert certificate is not None
    assert cipher is not None
    return Handshake(client_end.version(), cipher[0], certificate, server_end.getpeercert(True))


def client_context(ca_file: Path) -> ssl.SSLContext:
    """A client that trusts `ca_file` alone, as strictly as OpenSSL can."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= STRICT
    context.load_verify_locations(ca_file)
    return context


def server_context(*chains: tuple[Path, Path], device_ca: Path | None = None) -> ssl.SSLContext:
    """A server with these chains and keys, that demands a client certificate if there is a `device_ca`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for chain, key in chains:
        context.load_cert_chain(chain, key)
    if device_ca is not None:
        context.verify_flags |= STRICT
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(device_ca)
    return context
