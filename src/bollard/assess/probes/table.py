"""Every probe of a scan: what looks, what evidence it gives, how much it disturbs, and in which order they run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bollard.assess.model import Caution, Evidence
from bollard.assess.probes import (
    bypass,
    canary,
    certificate,
    crowd,
    doors,
    early,
    ears,
    hello,
    reach,
    reflection,
    revocation,
    strain,
)
from bollard.assess.probes.evidence import (
    Bypass,
    Canary,
    ClientCertificates,
    Crowd,
    Doors,
    Ears,
    Fence,
    Guesses,
    Leaf,
    Offer,
    Origins,
    Patience,
    Ports,
    Product,
    Reach,
    Reflection,
    RevocationTrial,
    Strictness,
    Takeover,
    Tickets,
    TlsOffer,
)
from bollard.assess.probes.room import Room


@dataclass(frozen=True, slots=True)
class Probe:
    """What looks, what evidence it gives, and how much it disturbs."""

    name: str
    gives: tuple[type[Evidence], ...]
    run: Callable[[Room], Any]
    caution: Caution = Caution.SAFE


#: In the order in which they run: later ones use what earlier ones learn. The last two end rights: one
#: identity is revoked, and guesses may lock us out.
PROBES = (
    Probe("transport", (Reach,), reach.probe_reach),
    Probe("tls", (TlsOffer,), hello.probe_tls),
    Probe("tickets", (Tickets,), early.probe_tickets),
    Probe("certificate", (Leaf,), certificate.probe_certificate),
    Probe("entrances", (Doors,), doors.probe_doors),
    Probe("client certificates", (ClientCertificates,), certificate.probe_client_certificates),
    Probe("limits", (Offer,), doors.probe_offer),
    Probe("listening", (Ears, Product), ears.probe_ears),
    Probe("web pages", (Origins,), strain.probe_origins),
    Probe("canary", (Canary,), canary.probe_canary, Caution.ACTIVE),
    Probe("bypasses", (Bypass,), bypass.probe_bypass, Caution.ACTIVE),
    Probe("fence", (Fence,), bypass.probe_fence, Caution.ACTIVE),
    Probe("takeover", (Takeover,), bypass.probe_takeover, Caution.ACTIVE),
    Probe("response topics", (Reflection,), reflection.probe_reflection, Caution.ACTIVE),
    Probe("malformed packets", (Strictness,), strain.probe_strictness, Caution.ACTIVE),
    Probe("crowd", (Crowd,), crowd.probe_crowd, Caution.INTRUSIVE),
    Probe("revocation", (RevocationTrial,), revocation.probe_revocation, Caution.ACTIVE),
    Probe("guesses", (Guesses,), strain.probe_guesses, Caution.ACTIVE),
)
BESIDE = Probe("patience", (Patience,), strain.probe_patience)
OF_HOST = Probe("ports", (Ports,), strain.probe_ports)
