"""The owner's side of enrollment strings: opening one, approving a device, and how one stands.

Called by `control.py`, which checks names and templates first.
"""

import base64
import time
from collections.abc import Collection
from pathlib import Path

from bollard.base.errors import LocalError
from bollard.base.toml import suggest
from bollard.identity.authority import Authorities
from bollard.identity.enroll import Desk
from bollard.identity.records import Approval, Identity
from bollard.identity.registry import Registry
from bollard.identity.tokens import PIN_BYTES, EnrollmentString
from bollard.policy.presets import PRESETS
from bollard.server.config import Config
from bollard.server.requests import Enrolled, EnrollmentInfo


def open_token(
    registry: Registry,
    authorities: Authorities,
    config: Config,
    identity: str,
    at: tuple[str, int],
    *,
    life_s: float,
    approval: bool,
) -> Enrolled:
    """Give an identity that exists an enrollment string. `at` is where devices connect."""
    secret = Desk(registry, authorities).open(identity, now=time.time(), life_s=life_s, approval=approval)
    host, port = at
    pin = bytes.fromhex(authorities.pin)[:PIN_BYTES]
    known = registry.get(identity)
    return Enrolled(
        id=identity,
        client_id=identity,
        template=known.template,
        host=host,
        port=port,
        ca_file=str(authorities.root_file),
        root_pem=authorities.root_file.read_text("ascii"),
        token=EnrollmentString(host, port, pin, identity, secret).text(),
        expires_at=known.token.expires_at if known.token is not None else 0,
        est_url=est_url(config, host),
    )


def no_template(policy: Path, template: str, known: Collection[str]) -> LocalError:
    """The error for a `template` that the file `policy` does not have; `known` are those that it has."""
    remedy = suggest(template, known)
    if template in PRESETS:
        remedy = f'Add its preset to that file first: [preset.{template}] use = "{template}" on two lines.'
    return LocalError(f"{policy} has no template {template!r}", remedy)


def describe_token(identity: Identity, now: float) -> EnrollmentInfo | None:
    """How the enrollment string of `identity` stands; None if there is none that still means something."""
    token = identity.token
    if token is None or token.spent_at:
        return None
    state = "open" if now < token.expires_at else "expired"
    if state == "open" and token.key and token.approval is Approval.REQUIRED:
        state = "waits for approval"
    return EnrollmentInfo(state=state, expires_at=token.expires_at, key=fingerprint(token.key))


def fingerprint(key_sha256: bytes) -> str:
    """A key's hash as people compare it: eight groups of four; "" for none."""
    text = base64.b32encode(key_sha256[:20]).decode()
    return "-".join(text[i : i + 4] for i in range(0, len(text), 4))


def est_url(config: Config, host: str) -> str:
    """Where EST is served at `host`; "" if it is not."""
    est = config.est.bind
    return f"https://{_url_host(host)}:{est.port}/.well-known/est" if est is not None else ""


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
