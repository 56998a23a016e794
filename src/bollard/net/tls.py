"""The only builder of server-side `SSLContext`s, and what a TLS failure means in plain words.

Here live protocol versions, suites, certificates and their reload. Connections do not: they are in
`stream.py`. Whether a verified client certificate still counts is decided at each CONNECT by the
registry, because a resumed TLS session skips the check of the chain.
"""

import hashlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from bollard.base.errors import LocalError

#: TLS 1.2 suites: forward secrecy and authenticated encryption, or nothing. TLS 1.3 has no others.
SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"

#: What ALPN may settle on, per transport. A client that offers nothing is welcome; one that offers
#: only other protocols goes on without ALPN. Each transport has its own name, so that traffic meant
#: for one listener cannot be replayed to another.
ALPN = {"tls": "mqtt", "websocket": "http/1.1"}


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """One chain: PEM files of the leaf with its intermediates, and of its unencrypted key."""

    chain: Path
    key: Path


class ServerContext(ssl.SSLContext):
    """A context that knows which certificates it shows: `end_points` are their hashes by RFC 5929."""

    end_points: tuple[bytes, ...] = ()


def server_context(
    certificates: Sequence[CertificateFiles], *, client_ca: Path | None = None, transport: str = "tls"
) -> ServerContext:
    """A context that serves all `certificates` (one per key type) over TLS 1.2 and 1.3.

    `client_ca` is a PEM file of the device authorities: then a client may present a certificate, and
    one that does not verify up to them ends the handshake. None: certificates are not asked for.
    `transport` is "tls" or "websocket" and decides the ALPN name. Raises LocalError.
    """
    if not certificates:
        raise LocalError("No server certificate was given.", "Name at least one chain and its key.")
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(SUITES)
    # Renegotiation lets a peer make us sign again and again on one connection; compression leaks.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_SINGLE_ECDH_USE
    # All suites are safe here, and the device knows which is cheap for it and which chain it can check.
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    # One ticket a connection is what a device uses; a second one costs a signature's worth of bytes.
    context.num_tickets = 1
    context.set_alpn_protocols([ALPN[transport]])
    load_certificates(context, certificates)
    if client_ca is not None:
        _ask_for_certificates(context, client_ca)
    return context


def reload_certificates(context: ServerContext, certificates: Sequence[CertificateFiles]) -> None:
    """Serve `certificates` from the next handshake on; ticket keys stay, so sessions still resume.

    Everything is tried on a spare context first: after a LocalError the live one is as it was.
    """
    load_certificates(ServerContext(ssl.PROTOCOL_TLS_SERVER), certificates)
    load_certificates(context, certificates)


def load_certificates(context: ServerContext, certificates: Sequence[CertificateFiles]) -> None:
    """Put each chain into the slot of its key type. Raises LocalError naming the file at fault."""
    for files in certificates:
        try:
            # An encrypted key must fail, not prompt on the terminal of a service.
            context.load_cert_chain(files.chain, files.key, password=_no_password)
        except FileNotFoundError as error:
            missing = files.key if files.chain.exists() else files.chain
            raise LocalError(
                f"{missing}: this file of the server certificate does not exist.",
                "Run `bollard up` to have it made, or correct the path in the configuration.",
            ) from error
        except PermissionError as error:
            raise LocalError(
                f"{files.chain} or {files.key}: no right to read the server certificate.",
                "Start Bollard as the user who owns these files.",
            ) from error
        except (ssl.SSLError, ValueError) as error:
            raise LocalError(
                f"{files.chain} and {files.key}: these are not a PEM certificate chain and its key.",
                "The key must be unencrypted PEM and belong to the first certificate of the chain.",
            ) from error
    context.end_points = tuple(end_point(files.chain.read_bytes()) for files in certificates)


def end_point(chain_pem: bytes) -> bytes:
    """The RFC 5929 `tls-server-end-point` of a chain: its leaf, under the hash that signed it, but not
    under MD5 or SHA-1."""
    leaf = x509.load_pem_x509_certificate(chain_pem)
    signed = leaf.signature_hash_algorithm
    name = "sha256" if signed is None or signed.name in ("md5", "sha1") else signed.name
    return hashlib.new(name, leaf.public_bytes(serialization.Encoding.DER)).digest()


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def trust_clients(context: ssl.SSLContext, client_ca: Path) -> None:
    """Accept client certificates under the authorities in `client_ca` (PEM) too, from the next handshake on.

    None is ever taken away: what a certificate is worth is decided by the registry at each CONNECT.
    """
    try:
        context.load_verify_locations(cafile=client_ca)
    except (OSError, ssl.SSLError) as error:
        raise LocalError(
            f"{client_ca}: the device authority cannot be read as PEM certificates.",
            "Restore the file from a backup, or correct the path in the configuration.",
        ) from error


def _ask_for_certificates(context: ssl.SSLContext, client_ca: Path) -> None:
    trust_clients(context, client_ca)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.verify_mode = ssl.CERT_OPTIONAL


_UNTRUSTED = "the client does not trust our server certificate; give it the CA file (server-root.crt)"

#: OpenSSL's reason -> a sentence for the owner. "Alert" reasons are what the client told us.
_REASONS = {
    "TLSV1_ALERT_UNKNOWN_CA": _UNTRUSTED,
    "SSLV3_ALERT_BAD_CERTIFICATE": "the client rejects our server certificate; check that it uses the CA "
    "file (server-root.crt) and connects by a name or address in the certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _UNTRUSTED + " and a host name that the certificate holds",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the client finds our server certificate expired or not yet valid; "
    "check the clock of the device first, then the certificate",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "the client cannot handle the key type of our certificate",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the client found nothing acceptable in our TLS offer",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the client refuses TLS 1.2 and 1.3; it is too old for this server",
    "TLSV1_ALERT_DECRYPT_ERROR": "the client could not verify our signature; its CA file may be another one",
    "TLSV1_ALERT_INTERNAL_ERROR": "the client failed inside itself; often it ran out of memory for TLS",
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": "the client wants stronger suites or keys than the server has",
    "TLSV1_ALERT_USER_CANCELLED": "the client gave up the TLS handshake",
    "TLSV1_UNRECOGNIZED_NAME": "the client did not expect the name in our certificate",
    "NO_SHARED_CIPHER": "no cipher suite in common; the client must offer ECDHE with AES-GCM or ChaCha20",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "no signature algorithm in common with our certificates",
    "NO_SUITABLE_KEY_SHARE": "no key exchange group in common; the client must offer X25519 or P-256",
    "UNSUPPORTED_PROTOCOL": "the client offers only TLS older than 1.2; update it",
    "WRONG_VERSION_NUMBER": "the bytes are not TLS",
    "HTTP_REQUEST": "plain HTTP on a TLS port; use https or wss",
    "UNEXPECTED_EOF_WHILE_READING": "the client closed the connection without ending TLS",
    "WRONG_SSL_VERSION": "the client offers only TLS older than 1.2; update it",
}


def explain(error: ssl.SSLError) -> str:
    """What went wrong and what to do, in one sentence without the peer's own text."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the client's certificate is not accepted ({error.verify_message}); enroll the device again "
            "or let it connect without a certificate"
        )
    reason = error.reason or ""
    return _REASONS.get(reason) or f"TLS failed: {reason.replace('_', ' ').lower() or 'unknown reason'}"
