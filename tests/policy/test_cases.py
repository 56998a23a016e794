"""Cases that a policy must pass: how their file is read, and what passes."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bollard.base.errors import ConfigError
from bollard.base.toml import Document
from bollard.base.types import Action
from bollard.policy.cases import Case, Cases, check_topic, load_cases, read_cases, run

from .texts import policy_of

DEVICE = '[template.device]\npublish = ["d/${id}/#"]\nsubscribe = ["d/${id}/#"]\n'


def cases_of(text: str) -> Cases:
    return read_cases(Document(Path("tests/cases.toml"), "version = 1\n" + text))


def test_a_case_asks_for_each_of_those_it_names_and_each_topic() -> None:
    cases = cases_of(
        'policy = "policy.toml"\nat = 2030-01-01T00:00:00Z\n[enrolled]\nplug = "device"\n'
        '[[allow]]\nwho = "plug"\npublish = ["a",\n"b"]\n'
        '[[deny]]\nwho = ["plug", "lamp"]\nsubscribe = "#"\nrule = "deny.x"\n'
    )
    assert cases.policy == Path("tests/policy.toml")
    assert cases.at == datetime(2030, 1, 1, tzinfo=UTC)
    assert cases.enrolled == {"plug": "device"}
    assert cases.cases == (
        Case(8, "plug", Action.PUBLISH, "a", True),
        Case(9, "plug", Action.PUBLISH, "b", True),
        Case(12, "plug", Action.SUBSCRIBE, "#", False, "deny.x"),
        Case(12, "lamp", Action.SUBSCRIBE, "#", False, "deny.x"),
    )


@pytest.mark.parametrize(
    ("case", "passed"),
    [
        ('[[allow]]\nwho = "plug"\npublish = "d/plug/x"', True),
        ('[[allow]]\nwho = "plug"\npublish = "d/plug/x"\nrule = "template.device"', True),
        ('[[allow]]\nwho = "plug"\npublish = "d/plug/x"\nrule = "grant.other"', False),
        ('[[deny]]\nwho = "plug"\npublish = "d/plug/x"', False),
        ('[[deny]]\nwho = "plug"\npublish = "d/lamp/x"', True),
        ('[[deny]]\nwho = "plug"\npublish = "d/lamp/x"\nrule = "deny.d"', False),
        ('[[deny]]\nwho = "plug"\npublish = "d/plug/ota"\nrule = "deny.d"', True),
        ('[[allow]]\nwho = "plug"\nsubscribe = "$share/g/d/plug/#"', True),
        ('[[deny]]\nwho = "plug"\nsubscribe = "$share/g/d/#"', True),
        ('[[allow]]\nwho = "plug"\nreceive = "d/plug/x"', True),
        ('[[deny]]\nwho = "plug"\nretain = "d/plug/x"\nwill = "d/plug/x"', True),
    ],
)
def test_a_case_passes_if_the_policy_decides_so(case: str, passed: bool) -> None:
    cases = cases_of(f'[enrolled]\nplug = "device"\n{case}')
    policy = policy_of(DEVICE + '[deny.d]\nwho = "*"\npublish = ["d/+/ota"]', cases.enrolled)
    assert {outcome.passed for outcome in run(policy, cases)} == {passed}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "there are no cases"),
        ('[[allow]]\nwho = "a"', 2, "this case asks nothing"),
        ('[[allow]]\npublish = "x"', 2, "who is missing"),
        ('[[allow]]\nwho = "group:x"\npublish = "x"', 3, "cannot be an identity"),
        ('[[allow]]\nwho = 1\npublish = "x"', 3, "who is an integer"),
        ('[[allow]]\nwho = "a"\npublish = "x/#"', 4, "must not hold a wildcard"),
        ('[[allow]]\nwho = "a"\nsubscribe = ["x",\n"#/x"]', 5, "# must be the whole last level"),
        ('[[allow]]\nwho = "a"\npublish = [1]', 4, "publish is an array"),
        ('[[allow]]\nwho = "a"\npublsh = "x"', 4, 'unknown key "publsh"'),
        ('[[allow]]\nwho = "a"\npublish = "x"\nrule = 1', 5, "rule is an integer"),
        ('[allow]\nwho = "a"', 2, "not an array of tables"),
        ('at = 2030-01-01T00:00:00', 2, "not a date and time with a zone"),
        ("policy = 1", 2, "policy is an integer"),
        ('[enrolled]\n"a b" = "x"', 3, '"a b" is not enrolled so'),
        ("enrolled = 1", 2, "enrolled is an integer"),
        ("else = 1", 2, 'unknown key "else"'),
    ],
)  # fmt: skip
def test_a_wrong_file_of_cases_is_told_with_its_line(text: str, line: int, message: str) -> None:
    if not text.startswith(("[a", "[[")):
        text += '\n[[allow]]\nwho = "a"\npublish = "x"' if text else ""
    with pytest.raises(ConfigError) as caught:
        cases_of(text)
    assert message in caught.value.message
    assert caught.value.line == line


def test_a_file_of_another_version_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "cases.toml"
    path.write_text("version = true\n")
    with pytest.raises(ConfigError, match="no version that is known"):
        load_cases(path)


def test_topics_are_names_or_filters_as_the_action_has_it() -> None:
    assert check_topic(Action.PUBLISH, "a/+") != ""
    assert check_topic(Action.SUBSCRIBE, "a/+") == ""
    assert check_topic(Action.RECEIVE, "") != ""
