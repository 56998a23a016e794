"""Grades, severities, and what counts as open."""

import msgspec
import pytest

from bollard.assess.model import (
    Acceptance,
    Check,
    Definition,
    Facts,
    Missing,
    Result,
    Severity,
    State,
    fails,
    grade,
    judge,
    passes,
    unsure,
    untested,
)
from bollard.assess.probes.evidence import Origins, Product


def result(state: State = State.FAIL, severity: Severity = Severity.HIGH, **changes: object) -> Result:
    made = Result(check="SCN-04", target="t", state=state, severity=severity, title="T", observed="O")
    return msgspec.structs.replace(made, **changes)


@pytest.mark.parametrize(
    ("severity", "letter"),
    [
        (Severity.CRITICAL, "F"),
        (Severity.HIGH, "D"),
        (Severity.MEDIUM, "C"),
        (Severity.LOW, "B"),
        (Severity.INFO, "A"),
    ],
)
def test_the_worst_open_problem_gives_the_grade(severity: Severity, letter: str) -> None:
    assert grade([result(severity=severity), result(State.PASS)]).letter == letter


def test_nothing_tested_is_no_grade() -> None:
    assert grade([result(State.NOT_TESTED), result(State.INCONCLUSIVE)]).letter == "?"
    assert grade([]).letter == "?"


def test_only_answers_count_as_coverage() -> None:
    made = grade(
        [result(State.PASS), result(State.FAIL), result(State.NOT_TESTED), result(State.INCONCLUSIVE)]
    )
    assert (made.ran, made.total) == (2, 4)


def test_an_accepted_problem_is_not_open_and_does_not_count() -> None:
    accepted = result(accepted=Acceptance(check="SCN-04", reason="lab", expires="2027-01-01"))
    assert not accepted.open
    assert (grade([accepted]).letter, grade([accepted]).open) == ("A", 0)
    assert grade([accepted, result()]).open == 1


def test_severity_rises_by_one_step_and_stops_at_the_top() -> None:
    assert Severity.HIGH.raised() is Severity.CRITICAL
    assert Severity.CRITICAL.raised() is Severity.CRITICAL
    assert Severity.INFO.raised() is Severity.INFO


def test_facts_are_found_by_their_type() -> None:
    facts = Facts([Product(name="x")])
    assert facts.get(Product).name == "x"
    assert facts.find(Origins) is None
    with pytest.raises(Missing, match="no probe"):
        facts.get(Origins)


def test_helpers_say_the_four_states() -> None:
    assert [each.state for each in (fails("a"), passes("b"), unsure("c"), untested("d"))] == list(State)


def test_a_check_may_know_the_severity_better() -> None:
    definition = Definition(
        id="XXX-01",
        title="T",
        owner_text="O.",
        technical_text="T.",
        severity=Severity.HIGH,
        evidence="e1",
        remedy="R.",
        group="AU",
        cwe=1,
    )
    check = Check(definition, lambda facts: fails("seen", severity=Severity.LOW, proof=1))
    made = judge(check, "t", Facts([]), raised=True)
    assert (made.severity, made.evidence) == (Severity.LOW, {"proof": 1})


def test_evidence_survives_the_way_through_json() -> None:
    product = Product(name="mosquitto", version="2.0.11")
    assert msgspec.json.decode(msgspec.json.encode(product), type=Product) == product
