"""The operations on authorities, and how they are told. What a replacement does is in `identity/rotation.py`."""

import contextlib
from collections.abc import Iterable
from dataclasses import replace

from cryptography import x509

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity import rotation
from bollard.identity.authority import Authorities
from bollard.identity.profile import BACKDATE_S
from bollard.identity.records import CertificateState, Identity
from bollard.identity.registry import Registry
from bollard.identity.roots import IN_FORCE, NEXT, RECOVERY_FILE, left_behind, pin_of
from bollard.server.requests import AuthorityInfo, AuthorityStatus, RootReplacement

#: Names that a refusal tells; `bollard authority --json` has them all.
TOLD = 5


def describe(
    authorities: Authorities, registry: Registry, *, warning: str = "", now: float
) -> AuthorityStatus:
    """How the authorities are."""
    ready = rotation.readiness(authorities, registry.list(), now=now)
    ca = authorities.directory / "ca"
    sheet = next((path for path in (ca / NEXT / RECOVERY_FILE, ca / RECOVERY_FILE) if path.exists()), None)
    signers = [
        ("server-ca", authorities.server_ca),
        ("server-ca (RSA)", authorities.server_ca_rsa),
        ("device-ca", authorities.device_ca),
    ]
    if authorities.retiring is not None:
        signers.append(("device-ca (retiring)", authorities.retiring))
    named = [(role, signer.certificate) for role, signer in signers]
    for suffix, roots in (("", authorities.roots), (" (to follow)", authorities.trusted[IN_FORCE:])):
        named += zip((f"server-root{suffix}", f"server-root (RSA){suffix}"), roots, strict=False)
    return AuthorityStatus(
        authorities=tuple(_info(role, certificate) for role, certificate in named),
        pin=authorities.pin,
        root_file=str(authorities.root_file),
        crl_file=str(authorities.crl_file),
        recovery_file=str(sheet or ""),
        ready=ready.ready if ready else None,
        waiting=ready.waiting if ready else (),
        warning=warning,
        next_root=_root_replacement(authorities, registry, now),
    )


def replace_authority(
    authorities: Authorities,
    registry: Registry,
    which: str,
    sheet: Secret,
    *,
    finish: bool,
    force: bool,
    abandon: bool,
    now: float,
) -> tuple[str, ...]:
    """Do one step and reload `authorities`; the identities whose certificates ended with it.

    Raises LocalError; then nothing was changed.
    """
    ended: tuple[str, ...] = ()
    if which == "server-ca":
        rotation.renew_server_authorities(authorities, sheet, now=now)
    elif which == "server-root" and abandon:
        rotation.abandon_server_root(authorities)
    elif which == "server-root" and finish:
        without = _without_roots(authorities, registry, force=force, now=now)
        rotation.finish_server_root(authorities, sheet, without, now=now)
    elif which == "server-root":
        rotation.begin_server_root(authorities, now=now)
    elif finish:
        ended = _end_waiting(authorities, registry, force=force, now=now)
        rotation.finish_device_ca(authorities)
    else:
        rotation.begin_device_ca(authorities, now=now)
    authorities.reload()
    return ended


def note_handed(authorities: Authorities, registry: Registry, ids: Iterable[str]) -> None:
    """The owner has put the roots that are to follow on these devices. `LocalError` for one that is not
    enrolled, or if none are to follow; then nothing is noted."""
    following = authorities.next_roots
    if following is None:
        raise LocalError(
            "the server root is not being replaced", "Begin: bollard authority rotate server-root"
        )
    for identity in [registry.get(each).id for each in ids]:
        following.holders.add(identity)


def give_roots(authorities: Authorities, identity: str) -> None:
    """The file of roots goes to `identity` with its new credential. Who cannot be noted down counts as unknown:
    that is no reason to lose the credential."""
    with contextlib.suppress(LocalError):
        authorities.handed_over(identity)


def replaced_without(authorities: Authorities, identity: str) -> float:
    """When the present server root came into force, if `identity` did not have it then; else 0."""
    found = left_behind(authorities.directory / "ca")
    return found.at if identity in found.identities else 0.0


def _root_replacement(authorities: Authorities, registry: Registry, now: float) -> RootReplacement | None:
    following = authorities.next_roots
    found = rotation.root_readiness(authorities, registry.list(), now=now)
    if following is None or found is None:
        return None
    return RootReplacement(
        pin=pin_of(following.certificates[0]),
        begun_at=int(following.certificates[0].not_valid_before_utc.timestamp()) + BACKDATE_S,
        ready=found.ready,
        waiting=found.waiting,
        unknown=found.unknown,
    )


def _without_roots(
    authorities: Authorities, registry: Registry, *, force: bool, now: float
) -> tuple[str, ...]:
    """Who does not have the roots that are to follow, as far as is known: nobody, unless forced."""
    found = rotation.root_readiness(authorities, registry.list(), now=now) or rotation.RootReadiness()
    without = (*found.waiting, *found.unknown)
    if without and not force:
        raise LocalError(
            f"{len(found.waiting)} identities do not have the new server root yet ({_some(found.waiting)}), and of "
            f"{len(found.unknown)} it is not known ({_some(found.unknown)})",
            "`bollard authority --json` names all. The first get it by themselves as they renew; give the others "
            "the new server-root.crt and say so: bollard authority handed ID, or issue their recipe again. "
            "--force goes on, and who does not have it will refuse this broker.",
        )
    return without


def _some(names: tuple[str, ...]) -> str:
    return (", ".join(names[:TOLD]) or "none") + (", …" if len(names) > TOLD else "")


def _end_waiting(authorities: Authorities, registry: Registry, *, force: bool, now: float) -> tuple[str, ...]:
    """End the certificates of the old device CA: only those that nobody needs any more, unless forced."""
    ready = rotation.readiness(authorities, registry.list(), now=now)
    waiting = ready.waiting if ready else ()
    if waiting and not force:
        raise LocalError(
            f"{len(waiting)} identities have no certificate of the new device CA yet: {_some(waiting)}",
            "Wait until they have renewed, or give them new ones: bollard devices rotate ID --certificate. "
            "--force ends their certificates, and they cannot connect by them any more.",
        )
    if ready is not None:
        for identity in registry.list():
            if any(_is_old(record.created_at, authorities) for record in identity.active_certificates):
                registry.change(identity.id, lambda known: _without_old(known, authorities, int(now)))
    return waiting


def _without_old(identity: Identity, authorities: Authorities, now: int) -> Identity:
    certificates = tuple(
        replace(record, state=CertificateState.SUPERSEDED, changed_at=now)
        if record.state is CertificateState.ACTIVE and _is_old(record.created_at, authorities)
        else record
        for record in identity.certificates
    )
    return replace(identity, certificates=certificates, changed_at=now)


def _is_old(created_at: int, authorities: Authorities) -> bool:
    return created_at <= rotation.begun_at(authorities)


def _info(role: str, certificate: x509.Certificate) -> AuthorityInfo:
    return AuthorityInfo(
        role=role,
        subject=certificate.subject.rfc4514_string(),
        not_after=int(certificate.not_valid_after_utc.timestamp()),
    )
