"""What the trap brings home: visits of a device, one after the other. No secret, no payload, no judgement."""

import enum

import msgspec

from bollard.assess.model import Evidence

#: The case of malformed packets that announces more than it sends.
OVERSIZE = "a PUBLISH of 256 MiB that does not come"


class Rung(enum.IntEnum):
    """How far a device went with a server that it should have refused."""

    ABORTED = 0
    HANDSHAKE = 1
    CONNECT = 2
    CREDENTIAL = 3
    OBEYED = 4


RUNGS = {
    Rung.ABORTED: "ended the connection before a byte of MQTT",
    Rung.HANDSHAKE: "completed the TLS handshake and stayed",
    Rung.CONNECT: "sent its CONNECT",
    Rung.CREDENTIAL: "sent its credential",
    Rung.OBEYED: "accepted commands",
}


class Visit(msgspec.Struct, kw_only=True):
    """One connection, written down while it lasts and left alone after. `at_s` counts from the start of the endpoint.

    `ended` is "alert", "closed", "stalled" (the device said nothing more), "ours" (we hung up), "cut" (the endpoint
    was through before the visit was) or "malformed".
    `alert` is what the device said in TLS, such as "unknown_ca"; `fault` why our side could not agree with it.
    `plaintext`: it spoke MQTT without TLS. Of a credential, only its kind, its length and a hash remain, made with
    a key of this run that nobody keeps: it shows whether two visits brought the same one.
    """

    at_s: float
    rung: int = Rung.ABORTED
    ended: str = "closed"
    alert: str = ""
    fault: str = ""
    tls: str = ""
    greeted: bool = False
    plaintext: bool = False
    server_name: str = ""
    lowest_offer: str = ""
    weak_offers: tuple[str, ...] = ()
    early_data: bool = False
    mqtt: int = 0
    method: str = ""
    credential: str = ""
    credential_bytes: int = 0
    credential_hash: str = ""
    proof_sent: bool = False
    acted: bool = False
    subscriptions: int = 0
    published: int = 0
    commands: int = 0
    accepted: int = 0
    case: str = ""

    def climb(self, rung: Rung) -> None:
        """It has gone so far, if not further."""
        self.rung = max(self.rung, rung)


class Stay(msgspec.Struct, frozen=True, kw_only=True):
    """All visits at one endpoint. `wanted` are the attempts that a good verdict needs.

    `decoy` are visits where no correct device goes: the plaintext port, or the server that a redirection named.
    `turned_away` counts connections beyond those that are received, which were cut off at once. `command` says how
    the device's command ended, if it did before the endpoint was through.
    """

    check: str
    watched_s: float
    wanted: int
    visits: tuple[Visit, ...] = ()
    decoy: tuple[Visit, ...] = ()
    lists_fetched: int = 0
    turned_away: int = 0
    command: str = ""
    crashed: bool = False

    @property
    def rung(self) -> int:
        """The highest that was reached."""
        return max((visit.rung for visit in self.visits), default=-1)

    @property
    def tries(self) -> tuple[Visit, ...]:
        """Visits that say something: the device began TLS or MQTT, did not merely stall, and was not cut off."""
        return tuple(
            each
            for each in self.visits
            if (each.greeted or each.plaintext) and each.ended not in ("stalled", "cut")
        )


class Trapped(Evidence, frozen=True, kw_only=True):
    """Everything about one device. `skipped` says for an endpoint why it was left out.

    `control` is the stay at an endpoint without defect: only a device that went on there has anything to prove.
    """

    control: Stay
    stays: dict[str, Stay] = {}
    skipped: dict[str, str] = {}

    @property
    def trusts(self) -> bool:
        """Did the device accept the good endpoint, and therefore the test root?"""
        return any(each.rung >= Rung.CONNECT and not each.plaintext for each in self.control.visits)

    @property
    def came(self) -> bool:
        return bool(self.control.visits)
