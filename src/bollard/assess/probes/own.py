"""Evidence about an installation of our own, as `bollard doctor` gathers it. No I/O, no judgement, no secret."""

import msgspec

from bollard.assess.model import Evidence


class OpenFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file, or the directory itself, whose `mode` lets others in or whose owner is somebody else."""

    path: str
    mode: int
    foreign_owner: bool = False


class Modes(Evidence, frozen=True, kw_only=True):
    """What of the state directory is open to others, of so many entries that were looked at."""

    looked: int
    open: tuple[OpenFile, ...]


class Lifetime(msgspec.Struct, frozen=True, kw_only=True):
    """One certificate: `authority` if it signs others. Times are seconds since the epoch."""

    file: str
    subject: str
    authority: bool
    not_before: int
    not_after: int


class Lifetimes(Evidence, frozen=True, kw_only=True):
    """The certificates of the state directory, read at `read_at`."""

    read_at: int
    certificates: tuple[Lifetime, ...]
    unreadable: tuple[str, ...] = ()


class Store(Evidence, frozen=True, kw_only=True):
    """What a check of the session store said; `problem` is "" when it is sound."""

    problem: str
    rows: dict[str, int] = {}


class Backup(Evidence, frozen=True, kw_only=True):
    """The copy that the owner named, and how old it is."""

    file: str
    age_s: int
    problem: str


class Policy(Evidence, frozen=True, kw_only=True):
    """What a reading of the policy remarked, each as `line: text`."""

    file: str
    rules: int
    remarks: tuple[str, ...]


class Options(Evidence, frozen=True, kw_only=True):
    """The sentences of every `allow_` that is on."""

    weakened: tuple[str, ...]


class Recovery(Evidence, frozen=True, kw_only=True):
    """Whether the sheet that opens the root key still lies beside it, and since when."""

    present: bool
    age_s: int = 0


class AuthorityKeys(Evidence, frozen=True, kw_only=True):
    """What opens the keys of the authorities, in words. `unprotected` are key files that nothing encrypts,
    `left` files that open the keys, or hold them, and should be gone by what the configuration says."""

    opened_by: str
    unprotected: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


class Record(Evidence, frozen=True, kw_only=True):
    """What a check of the audit log said; `fault` is "" when it is whole."""

    fault: str
    entries: int
    notes: tuple[str, ...] = ()


class Running(Evidence, frozen=True, kw_only=True):
    """The process of the broker: whose it is, and whether its hot modules are compiled."""

    user: int
    compiled: bool
    version: str
