"""The DEV checks: a device with the flaw, one without, and one that cannot be tested."""

import asyncio
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from assess.trap.running import by_id, trapped
from bollard.assess.checks.device import CHECKS
from bollard.assess.model import Facts, Severity, State, Verdict
from bollard.assess.trap.evidence import OVERSIZE, Rung, Stay, Trapped, Visit

FOOLISH = Path(__file__).parent / "devices" / "foolish_device.py"
JUDGES = {each.definition.id: each.judge for each in CHECKS}
TRUSTING = Stay(
    check="CONTROL", watched_s=1, wanted=1, visits=(Visit(at_s=0, rung=3, ended="ours", greeted=True),)
)


def visit(rung: int = Rung.ABORTED, at_s: float = 0.0, **fields: Any) -> Visit:
    return Visit(**{"at_s": at_s, "rung": rung, "ended": "closed", "greeted": True, **fields})


def verdict(id: str, *visits: Visit, wanted: int = 1, control: Stay = TRUSTING, **fields: Any) -> Verdict:
    stay = Stay(check=id, watched_s=5, wanted=wanted, visits=visits, **fields)
    return JUDGES[id](Facts([Trapped(control=control, stays={id: stay})]))


@pytest.mark.parametrize("id", [f"DEV-{n:02d}" for n in (*range(1, 13), 18)])
def test_a_handshake_that_should_have_ended(id: str) -> None:
    assert verdict(id, visit(Rung.HANDSHAKE)).state is State.FAIL
    assert verdict(id, visit(), visit(), wanted=2).state is State.PASS
    assert verdict(id, visit(), wanted=2).state is State.INCONCLUSIVE
    assert verdict(id).state is State.INCONCLUSIVE
    assert verdict(id, visit(ended="stalled")).state is State.INCONCLUSIVE
    stranger = Stay(check="CONTROL", watched_s=1, wanted=1, visits=(visit(),))
    assert verdict(id, visit(), control=stranger).observed.startswith("Void")


def test_a_credential_makes_it_critical_except_where_the_name_was_right() -> None:
    assert verdict("DEV-01", visit(Rung.CONNECT)).severity is None
    assert verdict("DEV-01", visit(Rung.CREDENTIAL)).severity is Severity.CRITICAL
    assert verdict("DEV-09", visit(Rung.CREDENTIAL)).severity is None


def test_a_weak_offer_is_a_finding_without_any_handshake() -> None:
    assert verdict("DEV-11", visit(weak_offers=("RSA_NULL_SHA",))).state is State.FAIL


def test_plaintext() -> None:
    spoken = visit(Rung.CREDENTIAL, plaintext=True, greeted=False)
    assert verdict("DEV-13", visit(), decoy=(spoken,)).severity is Severity.CRITICAL
    assert verdict("DEV-13", spoken).state is State.FAIL
    assert verdict("DEV-13", visit()).state is State.PASS
    assert verdict("DEV-13").state is State.INCONCLUSIVE
    assert verdict("DEV-03", spoken).state is State.INCONCLUSIVE


def test_scram() -> None:
    assert (
        verdict("DEV-14", visit(2, method="SCRAM-SHA-256", proof_sent=True, acted=True)).state is State.FAIL
    )
    assert verdict("DEV-14", visit(2, method="SCRAM-SHA-256", proof_sent=True)).state is State.PASS
    assert verdict("DEV-14", visit(2, proof_sent=True, ended="ours")).state is State.INCONCLUSIVE
    assert verdict("DEV-14", visit(3)).state is State.NOT_TESTED


def test_malformed_packets() -> None:
    assert verdict("DEV-15", visit(4, case="x", accepted=1)).state is State.FAIL
    assert verdict("DEV-15", visit(3, case="x"), crashed=True, command="SIGSEGV").state is State.FAIL
    assert verdict("DEV-15", visit(3, case="x")).state is State.PASS
    assert verdict("DEV-15", visit(3, case="x", ended="ours")).state is State.INCONCLUSIVE
    assert verdict("DEV-15", visit(3, case="x"), wanted=4).state is State.INCONCLUSIVE


def test_a_device_may_wait_for_a_large_packet_and_must_come_back() -> None:
    waits = visit(3, case=OVERSIZE, ended="ours")
    back = verdict("DEV-15", waits, visit(3, case="x"), wanted=2)
    assert back.state is State.PASS
    assert "waited for one of 256 MiB" in back.observed
    assert verdict("DEV-15", waits, wanted=2).state is State.INCONCLUSIVE
    assert verdict("DEV-15", waits, visit(3, case="x", ended="ours"), wanted=2).state is State.INCONCLUSIVE
    assert verdict("DEV-15", waits, crashed=True, command="SIGKILL").state is State.FAIL


def test_a_refused_method() -> None:
    refused, plain = visit(2, method="X", mqtt=5), visit(3, credential="password", mqtt=5)
    assert verdict("DEV-16", refused, plain).state is State.FAIL
    assert verdict("DEV-16", refused, refused, wanted=2).state is State.PASS
    assert verdict("DEV-16", plain).state is State.NOT_TESTED


def test_a_redirection() -> None:
    assert verdict("DEV-17", visit(3, mqtt=5), decoy=(visit(),)).state is State.FAIL
    assert verdict("DEV-17", visit(3, mqtt=5)).state is State.PASS
    assert verdict("DEV-17", visit(3, mqtt=4)).state is State.NOT_TESTED


@pytest.mark.parametrize(
    ("times", "state"),
    [
        ((0, 1, 2, 3), State.FAIL),
        ((0, 0.01, 0.02, 0.03, 0.04), State.FAIL),
        ((0, 1, 3, 7), State.PASS),
        ((0, 1, 3), State.PASS),
        ((0, 30, 60, 90), State.PASS),
        ((0, 0.2, 0.4, 0.6, 0.8, 1.4), State.FAIL),  # the last is longer by chance
        ((0, 0.5, 2.2, 3.4, 9.4), State.PASS),  # they grow, and differ by chance
        ((0, 1, 2), State.INCONCLUSIVE),
        ((), State.INCONCLUSIVE),
    ],
)
def test_waits_between_connections(times: tuple[float, ...], state: State) -> None:
    assert verdict("DEV-19", *(visit(2, each) for each in times)).state is state


def test_early_data_is_found_only_where_it_is_asked_for() -> None:
    for asked, state in ((True, State.FAIL), (False, State.NOT_TESTED)):
        control = Stay(check="CONTROL", watched_s=1, wanted=1, visits=(visit(3, early_data=asked),))
        facts = Facts([Trapped(control=control, skipped={"DEV-20": "not offered"})])
        assert JUDGES["DEV-20"](facts).state is state


def test_a_foolish_device_is_caught_at_each_step() -> None:
    command = f"{shlex.quote(sys.executable)} {FOOLISH} {{host}} {{port}} {{cafile}}"
    only = frozenset({"DEV-03", "DEV-14", "DEV-16", "DEV-17"})
    results = by_id(asyncio.run(trapped(command=command, only=only)))
    assert {id: each.state for id, each in results.items()} == {
        "DEV-03": State.PASS,
        "DEV-14": State.FAIL,
        "DEV-16": State.FAIL,
        "DEV-17": State.FAIL,
    }
    assert results["DEV-17"].severity is Severity.CRITICAL


def test_a_device_that_hid_connections_in_a_flood_has_passed_nothing_and_failed_all_the_same() -> None:
    hidden = verdict("DEV-03", visit(), turned_away=7)
    assert hidden.state is State.INCONCLUSIVE
    assert (
        hidden.observed
        == "The device refused each time (1). But 7 more of its connections were cut off unseen."
    )
    assert verdict("DEV-03", visit(Rung.CONNECT), turned_away=7).state is State.FAIL


def test_a_visit_that_was_cut_off_proves_what_it_showed_and_nothing_by_its_end() -> None:
    assert verdict("DEV-03", visit(ended="cut")).state is State.INCONCLUSIVE
    assert verdict("DEV-03", visit(Rung.CREDENTIAL, ended="cut")).severity is Severity.CRITICAL
    cut = visit(Rung.CREDENTIAL, case="x", ended="cut")
    assert verdict("DEV-15", visit(3, case="y"), cut).state is State.PASS
    assert verdict("DEV-15", visit(3, case="y"), cut, wanted=2).state is State.INCONCLUSIVE
    assert verdict("DEV-14", visit(3, proof_sent=True, ended="cut")).state is State.INCONCLUSIVE
    acted = visit(3, proof_sent=True, ended="cut", acted=True)
    assert verdict("DEV-14", acted).state is State.FAIL
