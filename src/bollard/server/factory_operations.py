"""Taking in a factory's batch: what the broker's owner asks, and what he then hands on to whoever installs.

Called by `control.py`. The command has verified the manifest and its key; here names, templates and life are
judged, and stored in one transaction.
"""

import base64
import time

from bollard.identity.authority import Authorities
from bollard.identity.factory import adopt
from bollard.identity.registry import Registry
from bollard.identity.tokens import PIN_BYTES
from bollard.policy.rules import parse_policy
from bollard.server.config import Config
from bollard.server.enrollment_operations import est_url, no_template
from bollard.server.requests import BatchImported, ImportBatch


def import_batch(
    registry: Registry, authorities: Authorities, config: Config, request: ImportBatch, at: tuple[str, int]
) -> BatchImported:
    """Enroll every device of `request`, or none. `at` is where devices connect. Raises `LocalError`."""
    known = parse_policy(config.policy).templates
    for template in sorted({device.template for device in request.devices} - set(known)):
        raise no_template(config.policy, template, known)
    now = int(time.time())
    added, there = adopt(registry, request.devices, now=now, life_s=request.life_s)
    host, port = at
    pin = base64.b32encode(bytes.fromhex(authorities.pin)[:PIN_BYTES]).decode().rstrip("=")
    return BatchImported(
        added=added,
        there=there,
        expires_at=now + request.life_s,
        host=host,
        port=port,
        pin=pin,
        est_url=est_url(config, host),
    )
