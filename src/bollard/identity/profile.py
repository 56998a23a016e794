"""What our certificates look like: one table of profiles, and the one place that builds a certificate.

Names, keys and validity come from the caller and from the table, never from a request. Every
certificate carries key identifiers, and every authority its key usage, because OpenSSL's
X509_STRICT, which Python 3.13 turns on, refuses private authorities that left them out.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bollard.base.errors import LocalError

DAY_S = 86_400
#: Certificates begin this long ago: a device whose clock runs behind, or takes local time for UTC,
#: would refuse one that begins now.
BACKDATE_S = DAY_S

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


@dataclass(frozen=True, slots=True)
class Profile:
    """One column of the table: `path_length` is None for a leaf, `usage` None for no extended usage."""

    life_s: int
    path_length: int | None
    usage: x509.ObjectIdentifier | None


SERVER_ROOT = Profile(20 * 365 * DAY_S, 1, None)
SERVER_CA = Profile(5 * 365 * DAY_S, 0, None)
SERVER_LEAF = Profile(90 * DAY_S, None, ExtendedKeyUsageOID.SERVER_AUTH)
#: Its extended usage binds the whole hierarchy: no certificate under it can be a server's.
DEVICE_CA = Profile(5 * 365 * DAY_S, 0, ExtendedKeyUsageOID.CLIENT_AUTH)
DEVICE_LEAF = Profile(90 * DAY_S, None, ExtendedKeyUsageOID.CLIENT_AUTH)


@dataclass(frozen=True, slots=True)
class Signer:
    """An authority that can sign: its certificate and its key."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)


def new_ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def new_rsa_key() -> rsa.RSAPrivateKey:
    """2048 bits: the most that an ESP8266 can verify."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def self_signed(profile: Profile, common_name: str, key: PrivateKey, *, now: float) -> Signer:
    """A new anchor. `now` in seconds since the epoch."""
    certificate = _builder(profile, common_name, key.public_key(), now, profile.life_s)
    own_key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = certificate.issuer_name(_name(common_name)).serial_number(new_serial())
    return Signer(_sign(certificate, key, own_key_id), key)


def signed_by(
    issuer: Signer,
    profile: Profile,
    common_name: str,
    key: PublicKey,
    *,
    now: float,
    not_after: int | None = None,
    serial: int | None = None,
    alternative_names: Iterable[x509.GeneralName] = (),
) -> x509.Certificate:
    """A certificate for `key` under `issuer`.

    It ends at `not_after` (seconds since the epoch; else `end_of_life`), with `serial` or a new one.
    """
    end = end_of_life(issuer, profile.life_s, now=now) if not_after is None else not_after
    certificate = _builder(profile, common_name, key, now, end - int(now))
    certificate = certificate.issuer_name(issuer.certificate.subject).serial_number(serial or new_serial())
    names = list(alternative_names)
    if names:
        certificate = certificate.add_extension(x509.SubjectAlternativeName(names), critical=False)
    issuer_key_id = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return _sign(certificate, issuer.key, issuer_key_id)


def end_of_life(issuer: Signer, life_s: int, *, now: float) -> int:
    """When a certificate of `life_s` ends that is issued now: never after its issuer.

    `LocalError` if the issuer itself has ended.
    """
    issuer_end = int(issuer.certificate.not_valid_after_utc.timestamp())
    if issuer_end <= now:
        name = issuer.certificate.subject.rfc4514_string()
        raise LocalError(
            f"the authority {name} expired on {issuer.certificate.not_valid_after_utc:%Y-%m-%d}",
            "If that is in the future, the clock of this machine is wrong.",
        )
    return min(int(now) + life_s, issuer_end)


def new_serial() -> int:
    """A positive number of 20 bytes at most, random, so that it cannot be guessed nor repeated."""
    return x509.random_serial_number()


def _builder(
    profile: Profile, common_name: str, key: PublicKey, now: float, life_s: int
) -> x509.CertificateBuilder:
    """All but issuer, serial, alternative names and the authority's key identifier."""
    authority = profile.path_length is not None
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .public_key(key)
        .not_valid_before(datetime.fromtimestamp(int(now) - BACKDATE_S, UTC))
        .not_valid_after(datetime.fromtimestamp(int(now) + life_s, UTC))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=profile.path_length), critical=True)
        .add_extension(_key_usage(authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )
    if profile.usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([profile.usage]), critical=False)
    return builder


def _sign(
    builder: x509.CertificateBuilder, key: PrivateKey, key_id: x509.SubjectKeyIdentifier
) -> x509.Certificate:
    authority_key_id = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id)
    return builder.add_extension(authority_key_id, critical=False).sign(key, hashes.SHA256())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(authority: bool) -> x509.KeyUsage:
    """Authorities sign certificates and revocation lists; leaves sign handshakes, and encrypt nothing."""
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
