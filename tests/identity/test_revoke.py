"""What has ended stays ended: before the policy, in the log, and for connections that live."""

import hashlib
from dataclasses import replace

import pytest

from bollard.base.types import Action, Decision
from bollard.identity.records import CertificateRecord, CertificateState, Identity, Snapshot, State
from bollard.identity.revoke import (
    Ending,
    OnlyActive,
    What,
    endings_of_credentials,
    endings_of_identity,
    lapsed,
    unnoted,
    without_ended,
)

NOW = 1_795_392_000
CERTIFICATE = b"der of a certificate"
SHA256 = hashlib.sha256(CERTIFICATE).digest()
RECORD = CertificateRecord(0xABC, CertificateState.ACTIVE, NOW + 100, NOW, NOW, SHA256)
PLUG = Identity(
    "plug", "uuid-plug", "device", State.ACTIVE, NOW, NOW, verifier=b"v" * 32, certificates=(RECORD,)
)


class Everything:
    """A policy that a careless "*" made."""

    def decide(self, principal: str, action: Action, topic: str) -> Decision:
        return Decision(True, "group.all", "")


def asked(identity: Identity, principal: str = "plug") -> Decision:
    guard = OnlyActive(Everything(), Snapshot().replacing(identity))
    return guard.decide(principal, Action.PUBLISH, "a")


def test_who_is_active_has_what_the_policy_gives() -> None:
    assert asked(PLUG).allowed


@pytest.mark.parametrize("state", [State.PENDING, State.SUSPENDED, State.REVOKED])
def test_who_is_not_active_has_no_right_even_where_a_pattern_names_everybody(state: State) -> None:
    decision = asked(replace(PLUG, state=state))
    assert not decision.allowed
    assert decision == Decision(False, "registry", f"the identity is {state}")


def test_who_is_not_enrolled_has_no_right() -> None:
    assert not asked(PLUG, "stranger").allowed


def test_anonymous_is_not_in_the_registry_and_left_to_the_policy() -> None:
    assert asked(PLUG, "anonymous").allowed


def test_a_revocation_and_a_suspension_are_noted_once() -> None:
    revoked = replace(PLUG, state=State.REVOKED, changed_at=NOW + 1)
    assert endings_of_identity(PLUG, revoked) == [Ending(NOW + 1, "plug", "uuid-plug", What.REVOKED)]
    assert endings_of_identity(revoked, revoked) == []
    suspended = replace(PLUG, state=State.SUSPENDED)
    assert [e.what for e in endings_of_identity(PLUG, suspended)] == [What.SUSPENDED]


def test_replaced_credentials_are_noted_without_anything_to_guess_from() -> None:
    superseded = replace(RECORD, state=CertificateState.SUPERSEDED)
    after = replace(PLUG, verifier=b"w" * 32, certificates=(superseded,))
    password, certificate = endings_of_credentials(PLUG, after)
    assert (password.what, certificate.what) == (What.PASSWORD, What.CERTIFICATE)
    assert certificate.value == "abc"
    assert (b"v" * 32).hex() not in password.value
    assert endings_of_credentials(after, after) == []


def test_an_older_registry_brings_nobody_back() -> None:
    log = [Ending(NOW, "plug", "uuid-plug", What.REVOKED)]
    (plug,) = without_ended([PLUG], log, now=NOW + 5)
    assert plug.state is State.REVOKED
    assert plug.certificates[0].state is CertificateState.REVOKED
    assert without_ended([plug], log, now=NOW + 5) == []


def test_a_revoked_name_that_the_registry_has_forgotten_stays_taken() -> None:
    (plug,) = without_ended([], [Ending(NOW, "plug", "uuid-plug", What.REVOKED)], now=NOW + 5)
    assert (plug.id, plug.state, plug.verifier, plug.certificates) == ("plug", State.REVOKED, b"", ())


def test_an_older_registry_does_not_bring_back_a_replaced_credential() -> None:
    after = replace(
        PLUG,
        verifier=b"w" * 32,
        certificates=(replace(RECORD, state=CertificateState.SUPERSEDED),),
    )
    log = endings_of_credentials(PLUG, after)
    (plug,) = without_ended([PLUG], log, now=NOW)
    assert plug.verifier == b""
    assert plug.certificates[0].state is CertificateState.REVOKED
    assert without_ended([after], log, now=NOW) == []


def test_the_last_word_of_the_log_on_a_suspension_counts() -> None:
    suspended = Ending(NOW, "plug", "uuid-plug", What.SUSPENDED)
    (plug,) = without_ended([PLUG], [suspended], now=NOW)
    assert plug.state is State.SUSPENDED
    resumed = Ending(NOW, "plug", "uuid-plug", What.RESUMED)
    assert without_ended([PLUG], [suspended, resumed], now=NOW) == []


def test_a_log_that_is_new_learns_what_the_registry_knows() -> None:
    revoked = replace(
        PLUG, state=State.REVOKED, certificates=(replace(RECORD, state=CertificateState.REVOKED),)
    )
    missing = unnoted([revoked], [])
    assert [ending.what for ending in missing] == [What.REVOKED, What.CERTIFICATE]
    assert unnoted([revoked], missing) == []


@pytest.mark.parametrize(
    ("record", "at", "says"),
    [
        (RECORD, NOW, ""),
        (RECORD, NOW + 100, "has expired"),
        (replace(RECORD, state=CertificateState.SUPERSEDED), NOW, "superseded"),
        (replace(RECORD, state=CertificateState.REVOKED), NOW, "revoked"),
        (replace(RECORD, sha256=b"\1" * 32), NOW, "not in the registry"),
    ],
)
def test_a_connection_outlives_its_certificate_no_longer_than_the_next_sweep(
    record: CertificateRecord, at: int, says: str
) -> None:
    registry = Snapshot().replacing(replace(PLUG, certificates=(record,)))
    reason = lapsed(registry, CERTIFICATE, at)
    assert says in reason
    assert bool(reason) == bool(says)
