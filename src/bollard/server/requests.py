"""What can be asked of control, and what it answers, as typed records.

The same records serve a call inside the process and the line protocol of the control socket, so a
command behaves alike with and without a running broker. No behaviour here.
"""

from typing import Literal

import msgspec

from bollard.identity.factory import FactoryDevice
from bollard.server.learning_records import (
    AskLearning,
    LearningInfo,
    LearnProposal,
    LearnPropose,
    LearnStart,
    LearnStop,
)
from bollard.server.why_connection import ConnectionWhy

Credential = Literal["password", "certificate", "token"]

#: How long an enrollment string may be spent, unless its owner says otherwise.
TOKEN_LIFE_S = 3600.0


class Enroll(msgspec.Struct, frozen=True, tag_field="op", tag="enroll", forbid_unknown_fields=True):
    """Enroll `id` with a new credential; `template` is the policy template that it gets.

    For a token: `life_s` is how long it may be spent, `approval` whether the owner has to approve the
    device that does.
    """

    id: str
    credential: Credential = "password"
    template: str = "device"
    life_s: float = TOKEN_LIFE_S
    approval: bool = False


class ApproveDevice(msgspec.Struct, frozen=True, tag_field="op", tag="approve", forbid_unknown_fields=True):
    """Let the device in that asked as `id` and waits for approval."""

    id: str


class ListDevices(msgspec.Struct, frozen=True, tag_field="op", tag="devices", forbid_unknown_fields=True):
    """Every identity."""


class ShowDevice(msgspec.Struct, frozen=True, tag_field="op", tag="show", forbid_unknown_fields=True):
    id: str


class ChangeDevice(msgspec.Struct, frozen=True, tag_field="op", tag="change", forbid_unknown_fields=True):
    """Revoke (for good), suspend or resume `id`. With `purge` a suspension also ends its sessions and
    removes what it retained, as a revocation always does."""

    id: str
    to: Literal["revoked", "suspended", "active"]
    purge: bool = False


class Rotate(msgspec.Struct, frozen=True, tag_field="op", tag="rotate", forbid_unknown_fields=True):
    """A new credential for `id`; the old one ends at once, or, for a token, when it is spent. With `purge` also its
    sessions and what it retained, because whoever had the old one may have left them."""

    id: str
    credential: Credential = "password"
    purge: bool = False
    life_s: float = TOKEN_LIFE_S
    approval: bool = False


class SetPassword(msgspec.Struct, frozen=True, tag_field="op", tag="password", forbid_unknown_fields=True):
    """`password`, chosen by a person, for `id`, in place of every other credential. With `purge` as `Rotate`."""

    id: str
    password: str
    purge: bool = False

    def __repr__(self) -> str:
        return f"SetPassword({self.id!r})"


class GivePsk(msgspec.Struct, frozen=True, tag_field="op", tag="psk", forbid_unknown_fields=True):
    """A new key for TLS-PSK for `id`, in place of every other credential; one that is not enrolled yet is
    enrolled with `template`. With `purge` as `Rotate`."""

    id: str
    template: str = "device"
    purge: bool = False


class ImportBatch(msgspec.Struct, frozen=True, tag_field="op", tag="factory", forbid_unknown_fields=True):
    """Enroll the devices of a factory's manifest, all or none; their labels may be spent for `life_s`."""

    devices: tuple[FactoryDevice, ...]
    life_s: int


class AskStatus(msgspec.Struct, frozen=True, tag_field="op", tag="status", forbid_unknown_fields=True):
    """How the running broker is."""


class WhyConnection(msgspec.Struct, frozen=True, tag_field="op", tag="why", forbid_unknown_fields=True):
    """Why `id` does not get in, in one answer."""

    id: str


class Examine(msgspec.Struct, frozen=True, tag_field="op", tag="examine", forbid_unknown_fields=True):
    """`bollard doctor` looks at the listeners from `addresses`, for `for_s` more seconds: what is refused there
    meanwhile is counted, not taken for a device. Bounds are those of `Failures.examined`."""

    addresses: tuple[str, ...]
    for_s: float


class AskAuthority(msgspec.Struct, frozen=True, tag_field="op", tag="authority", forbid_unknown_fields=True):
    """The authorities, and how far a replacement is. With `crl` the revocation list is made anew first."""

    crl: bool = False


class RotateAuthority(
    msgspec.Struct, frozen=True, tag_field="op", tag="rotate_authority", forbid_unknown_fields=True
):
    """Replace the server CAs, with the text of the recovery `sheet`; or begin, or with `finish` end, the
    replacement of the device CA or of the server roots, these with the `sheet` of the new ones. `force` ends
    it although some are not ready, and shuts those out. `abandon` gives the new server roots up."""

    authority: Literal["server-ca", "device-ca", "server-root"]
    sheet: str = ""
    finish: bool = False
    force: bool = False
    abandon: bool = False

    def __repr__(self) -> str:
        return f"RotateAuthority({self.authority!r})"


class HandedRoots(
    msgspec.Struct, frozen=True, tag_field="op", tag="handed_roots", forbid_unknown_fields=True
):
    """The owner has given the server roots that are to follow to the devices `ids`, by himself."""

    ids: tuple[str, ...]


class Reload(msgspec.Struct, frozen=True, tag_field="op", tag="reload", forbid_unknown_fields=True):
    """Read certificates and policy again."""


Request = (
    Enroll
    | ApproveDevice
    | ListDevices
    | ShowDevice
    | ChangeDevice
    | Rotate
    | SetPassword
    | GivePsk
    | ImportBatch
    | AskStatus
    | Reload
    | WhyConnection
    | Examine
    | AskAuthority
    | RotateAuthority
    | HandedRoots
    | LearnStart
    | AskLearning
    | LearnPropose
    | LearnStop
)


class Enrolled(msgspec.Struct, frozen=True, kw_only=True):
    """A new credential. It exists nowhere else in readable form, so it has no `repr`.

    With a password: `username` and `password`. With a certificate: `chain_pem` and `key_pem`. With a
    token: `token`, the enrollment string, until `expires_at`, and where EST is served, if it is.
    For TLS-PSK: `username`, which is the identity of the handshake, and `psk`, its key in hex.
    `root_pem` is what the device pins, `ca_file` where that lies on this machine.
    """

    id: str
    client_id: str
    template: str
    host: str
    port: int
    ca_file: str
    root_pem: str
    username: str = ""
    password: str = ""
    chain_pem: str = ""
    key_pem: str = ""
    not_after: int = 0
    token: str = ""
    expires_at: int = 0
    est_url: str = ""
    psk: str = ""
    ended: "Ended | None" = None

    def __repr__(self) -> str:
        return f"Enrolled(id={self.id!r})"


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What a change of the registry ended in the running broker, and within which time."""

    connections: int = 0
    sessions: int = 0
    wills: int = 0
    retained: int = 0
    took_ms: float = 0.0


class BatchImported(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that is in the registry: `added` are new, `there` were imported before and left as they are.
    Labels of the new ones end at `expires_at`. `host`, `port`, `pin` (base32) are what a device needs beside
    its label; `est_url` is "" where EST is not served."""

    added: int
    there: int
    expires_at: int
    host: str
    port: int
    pin: str
    est_url: str = ""


class CertificateInfo(msgspec.Struct, frozen=True, kw_only=True):
    """`serial` and `sha256` in hex; times in seconds since the epoch."""

    serial: str
    sha256: str
    state: str
    created_at: int
    not_after: int


class EnrollmentInfo(msgspec.Struct, frozen=True, kw_only=True):
    """How an enrollment string stands: "open", "waits for approval" or "expired". `key` is the fingerprint
    of the device that asked with it, "" if none has."""

    state: str
    expires_at: int
    key: str = ""


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What an identity has done, and what it was refused, since the broker started: messages, as seen from
    the broker, with the bytes of their payloads. `denied_receive` counts messages, or topics, withheld."""

    received: int = 0
    received_bytes: int = 0
    sent: int = 0
    sent_bytes: int = 0
    denied_publish: int = 0
    denied_subscribe: int = 0
    denied_receive: int = 0
    denied_will: int = 0


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One identity as the registry knows it. `connected` is None if no broker runs; `traffic` is told of one
    alone."""

    id: str
    state: str
    template: str
    password: bool
    certificates: tuple[CertificateInfo, ...]
    created_at: int
    changed_at: int
    connected: int | None = None
    enrollment: EnrollmentInfo | None = None
    psk: bool = False
    traffic: Traffic | None = None


class Devices(msgspec.Struct, frozen=True):
    devices: tuple[Device, ...]


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """The identity after a change, and what ended with it. `running` tells whether a broker runs;
    `warning` what went wrong beside the change, which is done."""

    id: str
    state: str
    running: bool
    ended: Ended
    warning: str = ""


class ClientInfo(msgspec.Struct, frozen=True, kw_only=True):
    principal: str
    client_id: str
    address: str
    listener: str
    version: str


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """`running` False: nothing else is filled in. At most `MAX_CLIENTS` clients are listed, and `traffic` of as
    many identities: those with the most denials, then those with the most messages. `policy_fault` says what
    is wrong with the policy file while an older one is in force."""

    running: bool
    version: str = ""
    compiled: bool = False
    pid: int = 0
    uptime_s: float = 0.0
    listeners: tuple[str, ...] = ()
    weaknesses: tuple[str, ...] = ()
    policy_fault: str = ""
    counters: dict[str, int] = {}
    connected: int = 0
    clients: tuple[ClientInfo, ...] = ()
    traffic: dict[str, Traffic] = {}


class Reloaded(msgspec.Struct, frozen=True):
    """Sentences about what was read again."""

    done: tuple[str, ...]


class Noted(msgspec.Struct, frozen=True):
    """It is noted; there is nothing to tell."""


class AuthorityInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One authority. `not_after` in seconds since the epoch."""

    role: str
    subject: str
    not_after: int


class RootReplacement(msgspec.Struct, frozen=True, kw_only=True):
    """The server roots that are to follow: `pin` of the P-256 one, since when, and who has them, by name.

    `waiting` get them by themselves; `unknown` were configured by hand.
    """

    pin: str
    begun_at: int
    ready: tuple[str, ...]
    waiting: tuple[str, ...]
    unknown: tuple[str, ...]


class AuthorityStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The authorities. `recovery_file` is the path of the recovery sheet while it is still on this machine.
    `next_root` is there while the server roots are being replaced.

    While the device CA is being replaced, `ready` counts identities with a certificate of the new one and
    `waiting` names the others; else `ready` is None.
    """

    authorities: tuple[AuthorityInfo, ...]
    pin: str
    root_file: str
    crl_file: str
    recovery_file: str = ""
    ready: int | None = None
    waiting: tuple[str, ...] = ()
    warning: str = ""
    next_root: RootReplacement | None = None


Result = (
    Enrolled
    | Devices
    | Device
    | Changed
    | Status
    | Reloaded
    | ConnectionWhy
    | Noted
    | BatchImported
    | AuthorityStatus
    | LearningInfo
    | LearnProposal
)

#: Clients that a status lists; the rest are only counted.
MAX_CLIENTS = 1000

#: Which record answers which request.
ANSWERS: dict[type[Request], type[Result]] = {
    Enroll: Enrolled,
    ApproveDevice: Device,
    ListDevices: Devices,
    ShowDevice: Device,
    ChangeDevice: Changed,
    Rotate: Enrolled,
    ImportBatch: BatchImported,
    SetPassword: Changed,
    GivePsk: Enrolled,
    AskStatus: Status,
    Reload: Reloaded,
    WhyConnection: ConnectionWhy,
    Examine: Noted,
    AskAuthority: AuthorityStatus,
    RotateAuthority: AuthorityStatus,
    HandedRoots: AuthorityStatus,
    LearnStart: LearningInfo,
    AskLearning: LearningInfo,
    LearnPropose: LearnProposal,
    LearnStop: LearningInfo,
}


class Failure(msgspec.Struct, frozen=True):
    """Why an operation was refused, for the user; `exit_code` is what the command ends with."""

    message: str
    remedy: str = ""
    exit_code: int = 2
