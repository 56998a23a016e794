"""The operations on authorities, and how they are told. What a replacement does is in `identity/rotation.py`."""

from dataclasses import replace

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity import rotation
from bollard.identity.authority import RECOVERY_FILE, Authorities
from bollard.identity.profile import Signer
from bollard.identity.records import CertificateState, Identity
from bollard.identity.registry import Registry
from bollard.server.requests import AuthorityInfo, AuthorityStatus


def describe(
    authorities: Authorities, registry: Registry, *, warning: str = "", now: float
) -> AuthorityStatus:
    """How the authorities are."""
    ready = rotation.readiness(authorities, registry.list(), now=now)
    sheet = authorities.directory / "ca" / RECOVERY_FILE
    signers = [
        ("server-ca", authorities.server_ca),
        ("server-ca (RSA)", authorities.server_ca_rsa),
        ("device-ca", authorities.device_ca),
    ]
    if authorities.retiring is not None:
        signers.append(("device-ca (retiring)", authorities.retiring))
    return AuthorityStatus(
        authorities=tuple(_info(role, signer) for role, signer in signers),
        pin=authorities.pin,
        root_file=str(authorities.root_file),
        crl_file=str(authorities.crl_file),
        recovery_file=str(sheet) if sheet.exists() else "",
        ready=ready.ready if ready else None,
        waiting=ready.waiting if ready else (),
        warning=warning,
    )


def replace_authority(
    authorities: Authorities,
    registry: Registry,
    which: str,
    sheet: Secret,
    *,
    finish: bool,
    force: bool,
    now: float,
) -> tuple[str, ...]:
    """Do one step and reload `authorities`; the identities whose certificates ended with it.

    Raises LocalError; then nothing was changed.
    """
    ended: tuple[str, ...] = ()
    if which == "server-ca":
        rotation.renew_server_authorities(authorities, sheet, now=now)
    elif finish:
        ended = _end_waiting(authorities, registry, force=force, now=now)
        rotation.finish_device_ca(authorities)
    else:
        rotation.begin_device_ca(authorities, now=now)
    authorities.reload()
    return ended


def _end_waiting(authorities: Authorities, registry: Registry, *, force: bool, now: float) -> tuple[str, ...]:
    """End the certificates of the old device CA: only those that nobody needs any more, unless forced."""
    ready = rotation.readiness(authorities, registry.list(), now=now)
    waiting = ready.waiting if ready else ()
    if waiting and not force:
        shown = ", ".join(waiting[:5]) + (", …" if len(waiting) > 5 else "")
        raise LocalError(
            f"{len(waiting)} identities have no certificate of the new device CA yet: {shown}",
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


def _info(role: str, signer: Signer) -> AuthorityInfo:
    certificate = signer.certificate
    return AuthorityInfo(
        role=role,
        subject=certificate.subject.rfc4514_string(),
        not_after=int(certificate.not_valid_after_utc.timestamp()),
    )
