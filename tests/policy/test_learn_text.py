"""A proposal as text: readable, safe to read, and added to a policy without touching the rest."""

import tomllib
from pathlib import Path

import pytest

from bollard.base.errors import ConfigError, LocalError
from bollard.policy.learn import Observation, propose
from bollard.policy.learn_text import MAX_LISTED, add_rules, fitting, proposal_text, rules_text
from policy.texts import policy_of

FILE = Path("policy.toml")
OLD = '# my rules\nversion = 1\n\n[grant.old] # kept\nwho = "anna"\npublish = ["a/b"]\n'


def seen(identity: str, topic: str, right: str = "publish", **options: object) -> Observation:
    options = {"count": 7, "first": 1.9e9, "last": 1.9e9 + 86_400, "qos": 1, "size": 12, **options}
    return Observation(identity=identity, right=right, topic=topic, **options)  # type: ignore[arg-type]


def texts(*observations: Observation) -> tuple[str, str]:
    """What goes into the policy, and what people read."""
    proposal = propose(observations, policy_of(""), ())
    return rules_text(proposal), proposal_text(proposal)


def test_each_filter_has_its_evidence_beside_it() -> None:
    rules, _ = texts(seen("boiler", "home/boiler/heat"))
    assert rules == (
        '[grant."learned-boiler"]\n'
        'who = "boiler"\n'
        "publish = [\n"
        "  # 1 device, 7 times, 2030-03-17 to 2030-03-18, QoS 1 at most, 12 bytes at most; such as home/boiler/heat\n"
        '  "home/${id}/heat",\n'
        "]\n"
        'reason = "learned"\n'
    )


def test_several_devices_get_a_template_and_a_group() -> None:
    rules, _ = texts(seen("plug-1", "home/plug-1/x"), seen("plug-2", "home/plug-2/x"))
    found = tomllib.loads(rules)
    assert found["template"] == {"learned-plug": {"publish": ["home/${id}/x"]}}
    assert found["group"] == {"learned-plug": {"members": ["plug-1", "plug-2"], "apply": ["learned-plug"]}}


def test_who_is_suspicious_and_what_is_left_out_stands_in_comments() -> None:
    _, text = texts(seen("plug-1", "home/plug-1/x"), seen("cam", "garage/set"))
    assert "# SUSPICIOUS, gets nothing: cam (publish garage/set: it commands devices)" in text
    assert "#   cam publish garage/set, 7 times: it commands devices" in text
    assert tomllib.loads(text).keys() == {"grant"}


def test_what_is_left_out_is_listed_up_to_a_bound() -> None:
    _, text = texts(*(seen("cam", f"garage/{n}/set") for n in range(MAX_LISTED + 5)))
    assert "#   and 5 more" in text
    assert text.count("commands devices") == MAX_LISTED + 1


@pytest.mark.parametrize(
    "topic", ['a"]\nwho = "*"\n#', "a\\", "a\x1b[2J", "\u2028x", "a'''", 'x"""', "a\x7f", "é/ü"]
)
def test_text_of_an_attacker_stays_text(topic: str) -> None:
    topic = f"cam/{topic}"
    rules, text = texts(seen("cam", topic))
    assert tomllib.loads(rules)["grant"]["learned-cam"]["publish"] == ["${id}" + topic[3:]]
    assert tomllib.loads(text)["grant"].keys() == {"learned-cam"}
    assert "\x1b" not in text
    comments = [line for line in text.splitlines() if line.lstrip().startswith("#")]
    assert all(line.isprintable() for line in comments)


def test_rules_that_find_no_room_are_left_out_and_the_small_ones_stay() -> None:
    greedy = [seen("cam", f"cam/{'x' * 200}/{n}") for n in range(50)]
    proposal = propose([seen("boiler", "home/boiler/heat"), *greedy], policy_of(""), ())
    whole = rules_text(proposal)
    assert fitting(proposal, len(whole.encode()) + 1) == proposal
    fitted = fitting(proposal, 2_000)
    assert [rule.members for rule in fitted.rules] == [("boiler",)]
    assert len(rules_text(fitted).encode()) <= 2_000
    left = [one for one in fitted.excluded if "no room" in one.reason]
    assert {(one.seen.identity, one.seen.right, one.seen.count) for one in left} == {("cam", "publish", 7)}
    assert len(left) == 50
    assert "# Left out:" in proposal_text(fitted)


def test_rules_are_added_at_the_end_and_the_rest_stays_as_it_is() -> None:
    rules, _ = texts(seen("boiler", "home/boiler/heat"))
    edited = add_rules(FILE, OLD, rules)
    assert edited == OLD + "\n" + rules
    windows = OLD.replace("\n", "\r\n")
    assert add_rules(FILE, windows, rules).startswith(windows)
    assert "\n" not in add_rules(FILE, windows, rules).replace("\r\n", "")
    assert add_rules(FILE, OLD.rstrip("\n"), rules).startswith(OLD)


def test_rules_that_do_not_fit_are_refused_whole() -> None:
    rules, _ = texts(seen("boiler", "home/boiler/heat"))
    edited = add_rules(FILE, OLD, rules)
    with pytest.raises(LocalError, match="does not fit"):
        add_rules(FILE, edited, rules)
    with pytest.raises(ConfigError):
        add_rules(FILE, "version = 2", rules)


def test_rules_that_change_others_are_refused() -> None:
    with pytest.raises(LocalError, match="would change rules"):
        add_rules(FILE, OLD, 'subscribe = ["secret/#"]\n')
