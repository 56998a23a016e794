"""The broker's own certificates: one chain with P-256, one with RSA-2048, side by side.

A server offers both and each client takes what it can verify. Renewal keeps the keys: clients that pin
the key's fingerprint, because they cannot check a chain, would otherwise be locked out every 60 days.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from bollard.identity import profile
from bollard.identity.authority import Authorities, is_issued_by, pem
from bollard.identity.files import make_private_directory, write_private
from bollard.identity.hosts import HostNames
from bollard.identity.keys import pem_key, read_key
from bollard.identity.profile import PrivateKey, Signer

#: The part of its life after which a certificate is replaced.
RENEW_AFTER = 2 / 3


@dataclass(frozen=True, slots=True)
class ServerCertificates:
    """Paths of both chains and keys, to be loaded into one SSLContext.

    `renewed` says in sentences which were issued just now and why; empty if those on disk were right.
    `renew_at` is when `ensure_server_certificates` is due again, `not_after` when the first of them
    ends, both in seconds since the epoch.
    """

    ecdsa_chain: Path
    ecdsa_key: Path
    rsa_chain: Path
    rsa_key: Path
    not_after: float
    renew_at: float
    renewed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Kept:
    """A chain on disk that is right now; `renewed` is the reason if it was just issued."""

    leaf: x509.Certificate
    renewed: str


def ensure_server_certificates(
    authorities: Authorities, names: HostNames, *, now: float
) -> ServerCertificates:
    """Valid chains for exactly `names`, in the state directory's `tls`.

    Issues what is missing or damaged, names other hosts, or has used two thirds of its life; existing
    keys are kept. `names` come from `hosts.local_names()`, plus those that the user configured. Call it
    at every start and at `renew_at`; the caller holds the `StateLock`. `LocalError` if a key is damaged
    or open to others (a new one would lock out clients that pinned it), or a directory not writable.
    """
    tls = authorities.directory / "tls"
    make_private_directory(tls)
    ecdsa = _ensure(tls / "server-ecdsa", authorities.server_ca, profile.new_ec_key, names, now)
    rsa = _ensure(tls / "server-rsa", authorities.server_ca_rsa, profile.new_rsa_key, names, now)
    return ServerCertificates(
        ecdsa_chain=tls / "server-ecdsa.crt",
        ecdsa_key=tls / "server-ecdsa.key",
        rsa_chain=tls / "server-rsa.crt",
        rsa_key=tls / "server-rsa.key",
        not_after=min(_end(ecdsa.leaf), _end(rsa.leaf)),
        renew_at=min(_renew_at(ecdsa.leaf), _renew_at(rsa.leaf)),
        renewed=tuple(kept.renewed for kept in (ecdsa, rsa) if kept.renewed),
    )


def _ensure(
    path: Path, issuer: Signer, new_key: Callable[[], PrivateKey], names: HostNames, now: float
) -> _Kept:
    """The chain `path`.crt for the key `path`.key. The key is on disk before its certificate is."""
    key_file, chain_file = path.with_suffix(".key"), path.with_suffix(".crt")
    if not key_file.exists():
        write_private(key_file, pem_key(new_key()))
    key = read_key(key_file)
    chain = _chain(chain_file)
    why = _why_renew(chain, key, issuer, names, now)
    if not why:
        return _Kept(chain[0], "")
    leaf = profile.signed_by(
        issuer,
        profile.SERVER_LEAF,
        names.common_name,
        key.public_key(),
        now=now,
        alternative_names=_alternative_names(names),
    )
    write_private(chain_file, pem(leaf, issuer.certificate))
    return _Kept(leaf, f"new {chain_file.name}: {why}")


def _chain(chain_file: Path) -> list[x509.Certificate]:
    """The certificates on disk; none for a file that is missing, cut off or no chain."""
    try:
        return x509.load_pem_x509_certificates(chain_file.read_bytes())
    except (FileNotFoundError, ValueError):
        return []


def _why_renew(
    chain: list[x509.Certificate], key: PrivateKey, issuer: Signer, names: HostNames, now: float
) -> str:
    """Why the chain on disk will not do, or ""."""
    if not chain:
        return "there was none"
    leaf = chain[0]
    if chain[1:] != [issuer.certificate] or not is_issued_by(leaf, issuer.certificate):
        return "the old one is incomplete or comes from another authority"
    if leaf.public_key() != key.public_key():
        return "the old one is for another key"
    if set(_names_in(leaf)) != set(_alternative_names(names)) or _common_name(leaf) != names.common_name:
        return "this host has other names or addresses now"
    if not leaf.not_valid_before_utc.timestamp() <= now < _renew_at(leaf):
        return "two thirds of the old one's life are over, or the clock was set back"
    return ""


def _alternative_names(names: HostNames) -> list[x509.GeneralName]:
    return [*map(x509.DNSName, names.names), *map(x509.IPAddress, names.addresses)]


def _names_in(leaf: x509.Certificate) -> list[x509.GeneralName]:
    return list(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)


def _common_name(leaf: x509.Certificate) -> str:
    return str(leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)


def _end(leaf: x509.Certificate) -> float:
    return leaf.not_valid_after_utc.timestamp()


def _renew_at(leaf: x509.Certificate) -> float:
    begin = leaf.not_valid_before_utc.timestamp()
    return begin + (_end(leaf) - begin) * RENEW_AFTER
