"""The server's certificate, whether its chain leads anywhere, and what the server asks of its clients."""

import asyncio
import contextlib
import hashlib
import ipaddress
import ssl
import tempfile
import time
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bollard.assess.probes.evidence import ClientCertificates, Leaf, NoAnswer
from bollard.assess.probes.line import Line
from bollard.assess.probes.room import ANONYMOUS, Identity, Room

#: What a certificate that somebody has made up can raise.
_UNREADABLE = (
    *(ValueError, TypeError, UnsupportedAlgorithm),
    *(x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType),
)
#: More names than this are not reported.
MAX_NAMES = 50


async def probe_certificate(room: Room) -> tuple[Leaf]:
    """The certificate and the verdict on its chain. Raises `NoAnswer` without TLS or without certificate."""
    if room.transport not in ("tls", "wss"):
        raise NoAnswer("this listener has no TLS")
    der = room.chain[0] if room.chain else await _presented(room)
    fault = await _chain_fault(room)
    return (describe(der, room, fault),)


async def _presented(room: Room) -> bytes:
    writer = await _handshake(room, room.context())
    tls = writer.get_extra_info("ssl_object")
    der = tls.getpeercert(True)
    await _drop(writer)
    if not der:
        raise NoAnswer("the server showed no certificate")
    return bytes(der)


async def _handshake(room: Room, context: ssl.SSLContext) -> asyncio.StreamWriter:
    await room.pace()
    try:
        async with asyncio.timeout(room.timeout_s):
            _, writer = await asyncio.open_connection(
                room.place.address, room.place.port, ssl=context, server_hostname=room.server_name
            )
    except ssl.SSLCertVerificationError:
        raise
    except (OSError, TimeoutError) as error:
        reason = getattr(error, "reason", "") or "no answer"
        raise NoAnswer(f"the TLS handshake failed: {reason}") from None
    return writer


async def _drop(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _chain_fault(room: Room) -> str:
    """Why the chain is not trusted, "" when it is. The name is not looked at here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if room.ca_file is not None:
        context.load_verify_locations(room.ca_file)
    else:
        context.load_default_certs()
    try:
        await _drop(await _handshake(room, context))
    except ssl.SSLCertVerificationError as error:
        return error.verify_message or "not trusted"
    except NoAnswer as error:
        return f"not verified: {error}"
    return ""


def describe(der: bytes, room: Room, trust_fault: str) -> Leaf:
    """The certificate as evidence. One that cannot be parsed is evidence too."""
    with warnings.catch_warnings():
        # What the library only complains of, in a certificate that is not ours, is nothing for our user's screen.
        warnings.simplefilter("ignore")
        return _described(der, room, trust_fault)


def _described(der: bytes, room: Room, trust_fault: str) -> Leaf:
    common = {
        "expected_name": room.server_name,
        "trusted": not trust_fault,
        "trusted_by": "given CA file" if room.ca_file is not None else "system authorities",
        "trust_fault": trust_fault,
        "sha256": hashlib.sha256(der).hexdigest(),
        "der": der.hex(),
        "read_at": int(time.time()),
    }
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = _names(certificate)
        key, bits = _key(certificate)
        return Leaf(
            subject=certificate.subject.rfc4514_string(),
            issuer=certificate.issuer.rfc4514_string(),
            self_signed=_self_signed(certificate),
            names=tuple(names[:MAX_NAMES]),
            common_name=_common_name(certificate),
            name_matches=any(_covers(name, room.server_name) for name in names),
            not_before=int(certificate.not_valid_before_utc.timestamp()),
            not_after=int(certificate.not_valid_after_utc.timestamp()),
            key=key,
            key_bits=bits,
            signature_hash=_hash_name(certificate),
            key_sha256=hashlib.sha256(
                certificate.public_key().public_bytes(
                    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
                )
            ).hexdigest(),
            **common,  # type: ignore[arg-type]  # a dict of mixed values, each of its field's type
        )
    except _UNREADABLE as error:
        return Leaf(unreadable=type(error).__name__, **common)  # type: ignore[arg-type]  # as above


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(each) for each in extension.get_values_for_type(x509.IPAddress)]
    return [*extension.get_values_for_type(x509.DNSName), *addresses]


def _common_name(certificate: x509.Certificate) -> str:
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def _covers(name: str, wanted: str) -> bool:
    """Does this subjectAltName cover the wanted one? A wildcard covers exactly one label, the first."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(name) == ipaddress.ip_address(wanted)
    name, wanted = name.lower().rstrip("."), wanted.lower().rstrip(".")
    if name.startswith("*."):
        head, _, tail = wanted.partition(".")
        return bool(head) and tail == name[2:]
    return name == wanted


def _self_signed(certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _key(certificate: x509.Certificate) -> tuple[str, int]:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return "RSA", key.key_size
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.curve.name, key.key_size
    if isinstance(key, dsa.DSAPublicKey):
        return "DSA", key.key_size
    return type(key).__name__.removesuffix("PublicKey"), 256


def _hash_name(certificate: x509.Certificate) -> str:
    algorithm = certificate.signature_hash_algorithm
    return algorithm.name if algorithm is not None else ""


async def probe_client_certificates(room: Room) -> tuple[ClientCertificates]:
    """Whether a client without certificate, and one with a certificate of nobody's authority, gets an answer."""
    if room.transport not in ("tls", "wss"):
        raise NoAnswer("this listener has no TLS")
    without = await _try(room, ANONYMOUS)
    foreign = await _try_foreign(room) if room.active else ""
    return (
        ClientCertificates(
            expected=room.expect_mtls,
            requested=None if without in ("accepted", "refused") else True,
            without=without,
            foreign=foreign,
        ),
    )


async def _try(room: Room, identity: Identity) -> str:
    """The outcome of a CONNECT as this identity; "closed" when TLS ended it."""
    try:
        async with await Line.open(room, identity=identity) as line:
            entry = await line.connect(room.hello(identity))
            if entry.accepted:
                await line.goodbye()
            return entry.outcome
    except NoAnswer:
        return "closed"


async def _try_foreign(room: Room) -> str:
    with tempfile.TemporaryDirectory(prefix="bollard-") as folder:
        cert_file, key_file = Path(folder) / "foreign.crt", Path(folder) / "foreign.key"
        _write_foreign(cert_file, key_file)
        return await _try(room, Identity(label="foreign certificate", cert_file=cert_file, key_file=key_file))


def _write_foreign(cert_file: Path, key_file: Path) -> None:
    """A client certificate of an authority that nobody knows, made for this one attempt."""
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mqttassess foreign client")]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mqttassess foreign authority")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(authority, hashes.SHA256())
    )
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.touch(0o600)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
