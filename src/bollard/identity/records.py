"""What the registry knows, as frozen records. No behaviour beyond looking things up; no I/O.

Times are whole seconds since the epoch, UTC.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from bollard.identity.scram import ScramKeys


class State(enum.StrEnum):
    """Where an identity stands. Only ACTIVE may connect; REVOKED is final."""

    PENDING = "pending"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"


class CertificateState(enum.StrEnum):
    """Where a certificate stands. ISSUING is recorded before the signature, so that none is unknown."""

    ISSUING = "issuing"
    ACTIVE = "active"
    SUPERSEDED = "superseded"
    REVOKED = "revoked"


class Approval(enum.StrEnum):
    """Whether a human has to look at a device before its token is worth a certificate."""

    NONE = "none"
    REQUIRED = "required"
    GRANTED = "granted"


@dataclass(frozen=True, slots=True)
class Token:
    """A one-time permission to enroll. `verifier` is what its secret is checked against.

    `key` is the SHA-256 of the public key that presented it, b"" before; no other key may use it then.
    `spent_at` is 0 until a `certificate` (DER) was issued for it.
    """

    verifier: bytes = field(repr=False)
    created_at: int
    expires_at: int
    approval: Approval = Approval.NONE
    key: bytes = b""
    spent_at: int = 0
    certificate: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class CertificateRecord:
    """One certificate of an identity. `sha256` is over the leaf's DER; b"" while ISSUING or never signed."""

    serial: int
    state: CertificateState
    not_after: int
    created_at: int
    changed_at: int
    sha256: bytes = b""


@dataclass(frozen=True, slots=True)
class Identity:
    """One enrolled identity. `uuid` names this enrollment in certificates, `template` its policy template.

    `verifier` is what a generated secret is checked against (`credentials.py`), b"" if it has none;
    `scram` the keys of the same secret for SCRAM, None if it has none. `token` is its latest permission to
    enroll, spent or not. `password_hash` is what a password is checked against that a person chose
    (`passwords.py`), "" if it has none. `psk_salt` is the salt of its key for TLS-PSK (`psk.py`), b"" if it
    has none.
    """

    id: str
    uuid: str
    template: str
    state: State
    created_at: int
    changed_at: int
    verifier: bytes = field(default=b"", repr=False)
    certificates: tuple[CertificateRecord, ...] = ()
    scram: ScramKeys | None = field(default=None, repr=False)
    token: Token | None = None
    password_hash: str = field(default="", repr=False)
    psk_salt: bytes = field(default=b"", repr=False)

    @property
    def has_password(self) -> bool:
        """Whether it has a password, generated or chosen."""
        return bool(self.verifier or self.password_hash)

    @property
    def without_secrets(self) -> "Identity":
        """As it is, but with no password and no key for TLS-PSK."""
        return replace(self, verifier=b"", scram=None, password_hash="", psk_salt=b"")

    @property
    def active_certificates(self) -> tuple[CertificateRecord, ...]:
        """Those that may be used to connect, as far as the registry says (they may have expired)."""
        return tuple(c for c in self.certificates if c.state is CertificateState.ACTIVE)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The registry at one moment; immutable, so any thread may read it without a lock.

    `generation` grows with each change. `certificates` maps the SHA-256 of every certificate that was
    ever issued, whatever its state, to the name of its identity.
    """

    generation: int = 0
    identities: Mapping[str, Identity] = field(default_factory=lambda: MappingProxyType({}))
    certificates: Mapping[bytes, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def templates(self) -> dict[str, str]:
        """Identity to the template it was enrolled with, of all that may connect now or again."""
        return {i.id: i.template for i in self.identities.values() if i.state is not State.REVOKED}

    def by_certificate(self, sha256: bytes) -> tuple[Identity, CertificateRecord] | None:
        """Whose certificate this is, and what is recorded of it; None for one we did not issue."""
        owner = self.identities.get(self.certificates.get(sha256, ""))
        if owner is None:
            return None
        return next(((owner, c) for c in owner.certificates if c.sha256 == sha256), None)

    def replacing(self, *changed: Identity) -> "Snapshot":
        """The next generation, with `changed` in place of what had their names."""
        identities = {**self.identities, **{i.id: i for i in changed}}
        issued = {c.sha256: i.id for i in changed for c in i.certificates if c.sha256}
        return replace(
            self,
            generation=self.generation + 1,
            identities=MappingProxyType(identities),
            certificates=MappingProxyType({**self.certificates, **issued}),
        )
