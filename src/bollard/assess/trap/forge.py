"""The test authority of one run, and the chains under it: one without a fault, the others with exactly one.

Keys live as long as the run, in a folder that only its user can read. RSA everywhere: there is no device that
cannot verify it.
"""

import base64
import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = timedelta(days=1)
#: sha256WithRSAEncryption and sha1WithRSAEncryption as DER: of one length, so that one may replace the other.
_SHA256_RSA = bytes.fromhex("06092a864886f70d01010b")
_SHA1_RSA = bytes.fromhex("06092a864886f70d010105")


@dataclass(frozen=True, slots=True)
class Papers:
    """The files of one run. `chains` maps a defect to a PEM file with chain and key, "good" to one without."""

    root_file: Path
    root_and_list_file: Path
    revocation_list: bytes
    fingerprint: str
    chains: dict[str, Path]


@dataclass(frozen=True, slots=True)
class _Issuer:
    name: x509.Name
    key: rsa.RSAPrivateKey


def forge(folder: Path, names: Sequence[str], list_url: str) -> Papers:
    """Make authority and chains for a server of these names (or addresses), as files in `folder`.

    `list_url` is where the revocation list will be had; only the revoked certificate names it.
    """
    tag = secrets.token_hex(4)
    root = _Issuer(_name(f"Bollard trap root {tag}"), _key())
    impostor = _Issuer(root.name, _key())
    root_certificate, root_pem = _authority(root)
    key, thief, middle = _key(), _key(), _key()
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 -- the defect
    now = datetime.now(UTC)
    good = _leaf(root, key, names)
    revoked = _leaf(root, key, names, list_url=list_url)
    leaf = _leaf(root, middle, ["device.invalid"])
    under_leaf = _leaf(_Issuer(leaf.subject, middle), key, names)
    self_signed = _leaf(_Issuer(_name(names[0]), key), key, names)
    texts = {
        "good": (_pem(good), _key_pem(key)),
        "self-signed": (_pem(self_signed), _key_pem(key)),
        "untrusted": (_pem(_leaf(impostor, key, names)), _key_pem(key)),
        "wrong-host": (_pem(_leaf(root, key, ["another-server.invalid"])), _key_pem(key)),
        "expired": (_pem(_leaf(root, key, names, now - 400 * _DAY, now - 2 * _DAY)), _key_pem(key)),
        "not-yet": (_pem(_leaf(root, key, names, now + 30 * _DAY, now + 400 * _DAY)), _key_pem(key)),
        "leaf-as-ca": (_pem(under_leaf) + _pem(leaf), _key_pem(key)),
        "wrong-key": (_pem(good), _false_key_pem(key, thief)),
        "wrong-purpose": (
            _pem(_leaf(root, key, names, purpose=ExtendedKeyUsageOID.CLIENT_AUTH)),
            _key_pem(key),
        ),
        "revoked": (_pem(revoked), _key_pem(key)),
        "weak": (_weak_pem(_leaf(root, weak, names), root), _key_pem(weak)),
    }
    revocations = _revocations(root, root_certificate, revoked.serial_number)
    list_pem = revocations.public_bytes(serialization.Encoding.PEM).decode()
    chains = {what: _write(folder / f"{what}.pem", "".join(parts)) for what, parts in texts.items()}
    return Papers(
        root_file=_write(folder / "trap-root.crt", root_pem),
        root_and_list_file=_write(folder / "trap-root-and-list.pem", root_pem + list_pem),
        revocation_list=revocations.public_bytes(serialization.Encoding.DER),
        fingerprint=root_certificate.fingerprint(hashes.SHA256()).hex(),
        chains=chains,
    )


def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _usage(**wanted: bool) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: wanted.get(name, False) for name in names})


def _authority(issuer: _Issuer) -> tuple[x509.Certificate, str]:
    now = datetime.now(UTC)
    builder = _begin(issuer, issuer.name, issuer.key, now - 500 * _DAY, now + 500 * _DAY)
    builder = builder.add_extension(x509.BasicConstraints(True, 1), True)
    builder = builder.add_extension(_usage(key_cert_sign=True, crl_sign=True), True)
    certificate = builder.sign(issuer.key, hashes.SHA256())
    return certificate, _pem(certificate)


def _begin(
    issuer: _Issuer, subject: x509.Name, key: rsa.RSAPrivateKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), False)
    )


def _leaf(
    issuer: _Issuer,
    key: rsa.RSAPrivateKey,
    names: Sequence[str],
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
    list_url: str = "",
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = _begin(issuer, _name(names[0]), key, start or now - 2 * _DAY, end or now + 60 * _DAY)
    builder = builder.add_extension(x509.BasicConstraints(False, None), True)
    builder = builder.add_extension(_usage(digital_signature=True, key_encipherment=True), True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), False)
    builder = builder.add_extension(
        x509.SubjectAlternativeName([_alternative(each) for each in names]), False
    )
    if list_url:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(list_url)], None, None, None)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), False)
    return builder.sign(issuer.key, hashes.SHA256())


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _revocations(root: _Issuer, certificate: x509.Certificate, serial: int) -> x509.CertificateRevocationList:
    now = datetime.now(UTC)
    entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - _DAY).build()
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key())
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(certificate.subject)
        .last_update(now - _DAY)
        .next_update(now + 60 * _DAY)
        .add_extension(authority, False)
        .add_extension(x509.CRLNumber(1), False)
        .add_revoked_certificate(entry)
        .sign(root.key, hashes.SHA256())
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: rsa.RSAPrivateKey) -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


def _write(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text, "ascii")
    return path


def _false_key_pem(key: rsa.RSAPrivateKey, thief: rsa.RSAPrivateKey) -> str:
    """A key file that shows the public half of `key` and signs with that of `thief`.

    TLS libraries compare the public half with the certificate and then sign: a server that has somebody's
    certificate without the key.
    """
    public, secret = key.public_key().public_numbers(), thief.private_numbers()
    numbers = (0, public.n, public.e, secret.d, secret.p, secret.q, secret.dmp1, secret.dmq1, secret.iqmp)
    body = b"".join(_der(2, each.to_bytes(each.bit_length() // 8 + 1, "big")) for each in numbers)
    return _armour("RSA PRIVATE KEY", _der(0x30, body))


def _weak_pem(certificate: x509.Certificate, issuer: _Issuer) -> str:
    """The certificate signed again with SHA-1, which the library does not do by itself."""
    signed = certificate.tbs_certificate_bytes.replace(_SHA256_RSA, _SHA1_RSA)
    # The length is the same, so nothing around it changes.
    signature = issuer.key.sign(signed, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 -- the defect itself
    algorithm = _der(0x30, _SHA1_RSA + b"\x05\x00")
    return _armour("CERTIFICATE", _der(0x30, signed + algorithm + _der(3, b"\0" + signature)))


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _armour(label: str, der: bytes) -> str:
    lines = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{lines}-----END {label}-----\n"
