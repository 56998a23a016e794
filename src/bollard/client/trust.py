"""Whom we talk to: the TLS contexts of the client, pins, and what a failed verification means in words.

A server is always verified, chain and name, unless `allow_any_server` says otherwise. With a CA file or a pin,
nothing but that root is trusted: the system's authorities then have no say.
"""

import asyncio
import hashlib
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from bollard.base.errors import LocalError
from bollard.client.errors import ClientError, ConnectFailed, ServerNotTrusted

_ENCODING_DER = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What makes a server the right one, and what we show it ourselves.

    `ca_file` may hold revocation lists beside the roots; a server's certificate is then refused if it is on its
    issuer's list, or if there is no list of its issuer.

    `pin` is the SHA-256 of the server's root certificate (its DER), in hex; or several with commas between them,
    of which any will do, for the time in which the server's owner replaces the root. `server_name` replaces the host
    name in the check, for a server that is reached under another name than its certificate has.
    """

    ca_file: Path | None = None
    pin: str = ""
    server_name: str = ""
    cert_file: Path | None = None
    key_file: Path | None = None
    allow_any_server: bool = False

    def __post_init__(self) -> None:
        if self.allow_any_server and (self.ca_file or self.pin):
            raise LocalError(
                "allow_any_server contradicts a CA file or a pin",
                "Leave out allow_any_server, or the other two.",
            )
        if self.key_file and not self.cert_file:
            raise LocalError("a key file without a certificate file", "Give both; a file may hold both.")
        if self.pin:
            normal_pins(self.pin)


def normal_pins(pins: str) -> frozenset[str]:
    """Each of the `pins`, which have commas between them, as `normal_pin` gives it."""
    return frozenset(map(normal_pin, pins.split(",")))


def normal_pin(pin: str) -> str:
    """`pin` as 64 small hexadecimal digits; colons, spaces and a leading "sha256:" are taken off."""
    digits = re.sub(r"[:\s]", "", pin.strip().lower().removeprefix("sha256:"))
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise LocalError(
            "a pin is the SHA-256 of the server's root certificate: 64 hexadecimal digits",
            "The server's owner finds it with: openssl x509 -in server-root.crt -noout -fingerprint -sha256",
        )
    return digits


def client_context(
    trust: Trust, pinned_root: bytes | None = None, *, websocket: bool = False
) -> ssl.SSLContext:
    """A context that accepts only the server that `trust` means. Raises `LocalError` for unusable files.

    `pinned_root` is what `fetch_pinned_root` found, needed where there is a pin and no CA file.
    """
    try:
        context = _verifying_context(trust, pinned_root)
        if trust.cert_file is not None:
            context.load_cert_chain(trust.cert_file, trust.key_file, password=_no_passphrase)
    except ssl.SSLError as error:
        raise LocalError(
            f"a certificate or key file cannot be used: {error.reason or error}",
            f"Files: {_names(trust)}. They must be PEM; the key must belong to the certificate.",
        ) from error
    except OSError as error:
        raise LocalError(
            f"cannot read {error.filename or _names(trust)}: {error.strerror}",
            "Check the path and its permissions.",
        ) from error
    if trust.allow_any_server:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    # Not every system's own default forbids the broken versions.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Attack: TLS traffic redirected to a listener of another protocol with the same certificate.
    context.set_alpn_protocols(["http/1.1" if websocket else "mqtt"])
    return context


def _verifying_context(trust: Trust, pinned_root: bytes | None) -> ssl.SSLContext:
    if trust.ca_file is not None and not trust.pin:
        context = ssl.create_default_context(cafile=trust.ca_file)
        if b"-----BEGIN X509 CRL-----" in trust.ca_file.read_bytes():
            # Whoever puts a revocation list beside the root wants it looked at.
            context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
        return context
    if not trust.pin:
        return ssl.create_default_context()
    if trust.ca_file is not None:
        return ssl.create_default_context(cadata=_pinned_in_file(trust.ca_file, trust.pin))
    if pinned_root is None or hashlib.sha256(pinned_root).hexdigest() not in normal_pins(trust.pin):
        raise ServerNotTrusted("the pinned root certificate is not there", "Give the CA file as well.")
    return ssl.create_default_context(cadata=pinned_root)


def _pinned_in_file(ca_file: Path, pin: str) -> bytes:
    """The certificates (DER, one behind the other) in `ca_file` that `pin` names."""
    wanted, found = normal_pins(pin), b""
    blocks = re.findall(
        "-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----",
        ca_file.read_text("ascii", "replace"),
        re.DOTALL,
    )
    for block in blocks:
        try:
            der = ssl.PEM_cert_to_DER_cert(block)
        except ValueError:
            continue
        if hashlib.sha256(der).hexdigest() in wanted:
            found += der
    if found:
        return found
    raise LocalError(
        f"no certificate in {ca_file} has the SHA-256 that the pin says",
        "The file or the pin belongs to another server; get both from the server's owner again.",
    )


def _no_passphrase() -> bytes:
    """Without this, OpenSSL would stop everything and ask on the terminal."""
    raise LocalError("the key file is encrypted", "Give a key without a passphrase, readable only by you.")


def _names(trust: Trust) -> str:
    files = (trust.ca_file, trust.cert_file, trust.key_file)
    return ", ".join(str(file) for file in files if file is not None) or "the system's certificates"


async def fetch_pinned_root(host: str, port: int, trust: Trust) -> bytes:
    """The root certificate (DER) that `trust.pin` names, from the chain that the server itself presents.

    Only the pin makes it trustworthy: this connection verifies nothing, sends nothing but the TLS handshake, and
    is closed at once. Whoever answers, the certificate is right or its hash is not. The caller then connects
    anew and verifies against that root alone.
    """
    wanted = normal_pins(trust.pin)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(
        asyncio.Protocol, host, port, ssl=context, server_hostname=trust.server_name or host
    )
    try:
        chain = _presented_chain(transport.get_extra_info("ssl_object"))
    finally:
        transport.abort()
    for der in chain:
        if hashlib.sha256(der).hexdigest() in wanted:
            return der
    raise ServerNotTrusted(
        "the server did not present a root certificate with that pin",
        "Either this is not your server, or it does not show its root: copy server-root.crt from it over a way that"
        " you trust, and give it as the CA file.",
    )


def _presented_chain(tls: ssl.SSLObject) -> list[bytes]:
    """The certificates that the peer sent, leaf first, as DER."""
    public = getattr(tls, "get_unverified_chain", None)  # Python 3.13 and newer
    if public is not None:
        return list(cast("Callable[[], list[bytes]]", public)())
    inner = getattr(tls, "_sslobj")  # noqa: B009  # older ones have it only here, untyped
    return [certificate.public_bytes(_ENCODING_DER) for certificate in inner.get_unverified_chain()]


_NO_CA = (
    "Give the server's root certificate as the CA file (server-root.crt in the broker's state directory)."
)
_WRONG_NAME = "Connect under a name that the certificate has, or give that name as the server name."
_VERIFY: dict[int, tuple[str, str]] = {
    9: ("its certificate is not valid yet", "Check the clock of this machine, then the server's."),
    10: (
        "its certificate has expired",
        "Renew the server's certificate; check the clock of this machine, too.",
    ),
    18: ("its certificate is self-signed and not the one that you trust", _NO_CA),
    19: ("its root certificate is not one that you trust", _NO_CA),
    20: ("its certificate comes from an authority that you do not trust", _NO_CA),
    21: ("its chain of certificates is incomplete", _NO_CA),
    62: ("its certificate is for another host name", _WRONG_NAME),
    64: ("its certificate is for another IP address", _WRONG_NAME),
}

#: What OpenSSL says, depending on its version, when the other side answers with something else than TLS.
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_MESSAGE", "RECORD_LAYER_FAILURE", "TOO_LONG")


def explain(error: OSError, place: str) -> ClientError:
    """What a failure to connect to `place` means, with what to do next."""
    if isinstance(error, ssl.SSLCertVerificationError):
        what, remedy = _VERIFY.get(
            error.verify_code, (f"verification failed: {error.verify_message}", _NO_CA)
        )
        return ServerNotTrusted(f"the server at {place} is not trusted: {what}", remedy)
    if isinstance(error, ssl.SSLError):
        return _explain_tls(error, place)
    if isinstance(error, ConnectionRefusedError):
        remedy = "Check that the server runs, and host and port (MQTT over TLS is mostly on 8883)."
        return ConnectFailed(f"nothing listens at {place}", remedy, heals=True)
    if isinstance(error, ConnectionResetError):
        remedy = "It may not speak TLS there (MQTT over TLS is mostly on 8883), or it limits connections."
        return ConnectFailed(f"the server at {place} hung up at once", remedy, heals=True)
    if isinstance(error, TimeoutError):
        remedy = "Check host and port, and whether a firewall is in between."
        return ConnectFailed(f"{place} did not answer in time", remedy, heals=True)
    text = error.strerror or str(error) or type(error).__name__
    return ConnectFailed(f"cannot connect to {place}: {text}", "Check host, port and network.", heals=True)


def _explain_tls(error: ssl.SSLError, place: str) -> ClientError:
    reason = (error.reason or str(error)).upper()
    if any(word in reason for word in _NO_TLS):
        return ConnectFailed(
            f"the server at {place} does not speak TLS on this port",
            "Use its TLS port, mostly 8883; only where you accept that anyone can listen, allow plaintext.",
        )
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return ConnectFailed(
            f"the server at {place} did not accept our certificate ({reason.lower()})",
            "Check that the certificate is enrolled with this server and has not expired.",
        )
    return ConnectFailed(
        f"no TLS connection to {place}: {reason.lower().replace('_', ' ')}",
        "Check that it is a TLS port; the server may support other versions or suites only.",
        heals=True,
    )
