"""DOC checks: what only somebody on the machine can see of an installation of our own."""

from bollard.assess.checks.rows import check
from bollard.assess.model import Duty, Facts, Severity, Verdict, fails, passes, untested
from bollard.assess.probes.own import (
    AuthorityKeys,
    Backup,
    Lifetime,
    Lifetimes,
    Modes,
    Options,
    Policy,
    Record,
    Recovery,
    Running,
    Store,
)

DAY_S = 86_400
#: The broker renews its server certificates long before; one that is so near its end was not renewed.
SERVER_LEFT_S = 7 * DAY_S
#: Devices must learn of a new authority in time.
AUTHORITY_LEFT_S = 90 * DAY_S
BACKUP_S = 8 * DAY_S
#: So long the recovery sheet may lie where the first run put it.
RECOVERY_S = 7 * DAY_S
#: What one result lists of at most.
MAX_LISTED = 20


@check(
    "DOC-01",
    "Files of the broker are open to others",
    severity="H",
    group="SS",
    cwe=732,
    owner="Other users of this computer can read or change the files that keep your devices safe.",
    technical="The state directory, or a file in it, lets others than its owner in, or belongs to somebody else.",
    remedy="modes",
    evidence="e8",
    needs=(Modes,),
    subject="installation",
    duty=Duty.OWNER,
)
def modes(facts: Facts) -> Verdict:
    found = facts.get(Modes)
    if not found.open:
        return passes(f"All {found.looked} files and folders are their owner's alone.", looked=found.looked)
    places = [
        f"{each.path}: mode {each.mode:04o}{', of another owner' if each.foreign_owner else ''}"
        for each in found.open
    ]
    return fails(f"{len(places)} of {found.looked} are open to others.", places=places[:MAX_LISTED])


@check(
    "DOC-02",
    "A certificate runs out",
    severity="H",
    group="SV",
    cwe=298,
    owner="An identity card of the server is running out or has run out, and without a valid one your devices stop "
    "connecting.",
    technical="A certificate in the state directory has expired, a server certificate has less than 7 days left, or "
    "an authority less than 90.",
    remedy="renewal",
    evidence="e4",
    needs=(Lifetimes,),
    subject="installation",
    duty=Duty.OWNER,
)
def lifetimes(facts: Facts) -> Verdict:
    found = facts.get(Lifetimes)
    if not found.certificates:
        return untested("there is no certificate yet")
    ends = [f"{each.file}: {_left(each, found.read_at)}" for each in found.certificates]
    expired = [each for each in found.certificates if each.not_after <= found.read_at]
    late = [each for each in found.certificates if _is_late(each, found.read_at)]
    shown = {"certificates": ends, "unreadable": list(found.unreadable)}
    if expired:
        return fails(f"{expired[0].subject} has expired.", shown=shown)
    if found.unreadable:
        return fails(f"{found.unreadable[0]} is no certificate.", severity=Severity.MEDIUM, shown=shown)
    if late:
        return fails(
            f"{late[0].subject}: {_left(late[0], found.read_at)}.", severity=Severity.MEDIUM, shown=shown
        )
    return passes("No certificate is near its end.", shown=shown)


def _is_late(each: Lifetime, now: int) -> bool:
    return each.not_after - now < (AUTHORITY_LEFT_S if each.authority else SERVER_LEFT_S)


def _left(each: Lifetime, now: int) -> str:
    days = (each.not_after - now) // DAY_S
    return f"{days} days left" if days >= 0 else f"expired {-days} days ago"


@check(
    "DOC-03",
    "The store of sessions is damaged",
    severity="H",
    group="AV",
    cwe=354,
    owner="What the server stores for your devices is damaged, and part of it may be lost.",
    technical="The database of sessions and retained messages did not pass its own check.",
    remedy="store",
    evidence="e5",
    needs=(Store,),
    subject="installation",
    duty=Duty.OWNER,
)
def store(facts: Facts) -> Verdict:
    found = facts.get(Store)
    if found.problem:
        return fails(f"The check says: {found.problem}.", rows=found.rows)
    return passes("The store is sound.", rows=found.rows)


@check(
    "DOC-04",
    "No fresh backup",
    severity="M",
    group="AV",
    cwe=1188,
    owner="If this computer breaks, what the server stores is lost: there is no fresh copy.",
    technical="The backup that was named is older than eight days, or damaged.",
    remedy="backup",
    evidence="e5",
    needs=(Backup,),
    subject="installation",
    duty=Duty.OWNER,
)
def backup(facts: Facts) -> Verdict:
    found = facts.get(Backup)
    shown = {"file": found.file, "age_days": round(found.age_s / DAY_S, 1)}
    if found.problem:
        return fails(f"The backup cannot be used: {found.problem}.", shown=shown)
    if found.age_s > BACKUP_S:
        return fails(f"The backup is {found.age_s // DAY_S} days old.", shown=shown)
    return passes("The backup is sound and fresh.", shown=shown)


@check(
    "DOC-05",
    "The policy does not do what it seems to",
    severity="L",
    group="AZ",
    cwe=863,
    owner="Some of your rules on who may do what have no effect, or allow more than you may think.",
    technical="A reading of the policy found rules that are idle, contradict others or reach further than the rest.",
    remedy="policy",
    evidence="e5",
    needs=(Policy,),
    subject="installation",
    duty=Duty.OWNER,
)
def policy(facts: Facts) -> Verdict:
    found = facts.get(Policy)
    if found.remarks:
        return fails(
            f"{len(found.remarks)} remarks about {found.file}.", places=list(found.remarks[:MAX_LISTED])
        )
    return passes(f"Nothing to remark about {found.rules} rules.", file=found.file)


@check(
    "DOC-06",
    "Protection is switched off by name",
    severity="M",
    group="SU",
    cwe=1188,
    owner="Somebody has switched off a protection of the server.",
    technical="An option whose name begins with allow_ is on.",
    remedy="options",
    evidence="e5",
    needs=(Options,),
    subject="installation",
    duty=Duty.OWNER,
)
def options(facts: Facts) -> Verdict:
    found = facts.get(Options)
    if found.weakened:
        return fails(f"{len(found.weakened)} protections are off.", places=list(found.weakened))
    return passes("Every protection is on.")


@check(
    "DOC-07",
    "The recovery sheet lies beside what it opens",
    severity="L",
    group="SS",
    cwe=522,
    owner="The recovery sheet, which opens the server's most important key, still lies on the same computer as that "
    "key.",
    technical="The recovery sheet of the root key is in the state directory; who copies the one has the other.",
    remedy="recovery",
    evidence="e8",
    needs=(Recovery,),
    subject="installation",
    duty=Duty.OWNER,
)
def recovery(facts: Facts) -> Verdict:
    found = facts.get(Recovery)
    if not found.present:
        return passes("It is not on this machine.")
    early = found.age_s < RECOVERY_S
    return fails(
        "It is where the first run put it; print it, and take it off this machine.",
        severity=Severity.INFO if early else None,
        age_days=found.age_s // DAY_S,
    )


@check(
    "DOC-08",
    "The record of changes was altered",
    severity="H",
    group="LM",
    cwe=345,
    owner="Somebody has changed the server's own diary, or part of it is gone.",
    technical="The chain of signed entries in the audit log does not hold.",
    remedy="record",
    evidence="e5",
    needs=(Record,),
    subject="installation",
    duty=Duty.OWNER,
)
def record(facts: Facts) -> Verdict:
    found = facts.get(Record)
    shown = {"entries": found.entries, "notes": list(found.notes)}
    if found.fault:
        return fails(f"{found.fault}.", shown=shown)
    return passes(f"All {found.entries} entries are as they were written.", shown=shown)


@check(
    "DOC-09",
    "The broker runs as root",
    severity="M",
    group="SU",
    cwe=250,
    owner="An attacker who finds a mistake in the server's program gets the whole computer.",
    technical="The running process belongs to the super-user, whose rights it does not need.",
    remedy="user",
    evidence="e8",
    needs=(Running,),
    subject="installation",
    duty=Duty.OWNER,
)
def user(facts: Facts) -> Verdict:
    found = facts.get(Running)
    if found.user == 0:
        return fails("The process belongs to root.", user=0)
    return passes("The process has a user of its own.", user=found.user)


@check(
    "DOC-10",
    "The slow variant runs",
    severity="I",
    group="AV",
    cwe=1176,
    owner="The server is slower than it could be.",
    technical="The modules on the way of a message run as plain Python rather than compiled.",
    remedy="compiled",
    evidence="e5",
    needs=(Running,),
    subject="installation",
    duty=Duty.OWNER,
)
def variant(facts: Facts) -> Verdict:
    found = facts.get(Running)
    if found.compiled:
        return passes(f"{found.version} runs compiled.")
    return fails(f"{found.version} runs as plain Python.")


@check(
    "DOC-11",
    "The authorities' keys can be opened in a way that should be gone",
    severity="M",
    group="SS",
    cwe=522,
    owner="The server's most important secrets can still be opened without what you chose to lock them with.",
    technical="A key of an authority is not encrypted, or is still in a file, or a file that opens the keys is still "
    "there although the configuration says another way.",
    remedy="authority-keys",
    evidence="e8",
    needs=(AuthorityKeys,),
    subject="installation",
    duty=Duty.OWNER,
)
def authority_keys(facts: Facts) -> Verdict:
    found = facts.get(AuthorityKeys)
    places = [*found.unprotected, *found.left][:MAX_LISTED]
    if found.unprotected:
        return fails(
            f"{len(found.unprotected)} keys of authorities are not encrypted.",
            severity=Severity.HIGH,
            places=places,
        )
    if found.left:
        return fails(f"{found.left[0]} should be gone: {found.opened_by}.", places=places)
    return passes(f"{found.opened_by}.")


CHECKS = (
    *(modes, lifetimes, store, backup, policy, options, recovery, record, user, variant),
    authority_keys,
)
