"""Reading a policy: what it may say, and that every mistake in it is told with its line."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bollard.base.errors import ConfigError
from bollard.base.toml import Document
from bollard.policy.model import Pattern, Rights, Rules, Subjects
from bollard.policy.rules import parse_policy, read_rules

from .texts import FILE, rules_of


def test_a_whole_policy_becomes_its_rules(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(
        """version = 1
[template.sensor]
publish = ["d/${id}/#", "a/${group}"]
subscribe = ["x"]
retain = ["y/+"]
will = ["$w"]
[group.kitchen]
members = ["esp-*", "anna"]
apply = ["sensor"]
[grant."boiler"]
who = ["anna", "group:kitchen"]
publish = ["b"]
from = 2030-01-01T10:00:00Z
for = "90m"
reason = "annual service"
[deny.ota]
who = "*"
except = ["group:kitchen", "bob"]
publish = ["+/ota"]
"""
    )
    rules = parse_policy(path)
    assert rules.templates["sensor"].rights == Rights(
        publish=(Pattern(("d", "${id}", "#"), "d/${id}/#", 3), Pattern(("a", "${group}"), "a/${group}", 3)),
        subscribe=(Pattern(("x",), "x", 4),),
        retain=(Pattern(("y", "+"), "y/+", 5),),
        will=(Pattern(("$w",), "$w", 6),),
    )
    group = rules.groups["kitchen"]
    assert (group.members, group.apply, group.line) == (("esp-*", "anna"), ("sensor",), 7)
    grant = rules.grants["boiler"]
    assert grant.who == Subjects(False, frozenset({"anna"}), frozenset({"kitchen"}))
    assert (grant.starts, grant.ends) == (
        datetime(2030, 1, 1, 10, tzinfo=UTC),
        datetime(2030, 1, 1, 11, 30, tzinfo=UTC),
    )
    assert grant.reason == "annual service"
    deny = rules.denies["ota"]
    assert deny.who == Subjects(everyone=True)
    assert deny.exempt == Subjects(False, frozenset({"bob"}), frozenset({"kitchen"}))


def test_a_policy_of_a_version_alone_has_no_rules() -> None:
    assert rules_of("") == Rules({}, {}, {}, {})


def test_a_group_may_be_used_before_it_is_written() -> None:
    rules = rules_of('[grant.a]\nwho = "group:g"\npublish = ["x"]\n[group.g]\nmembers = ["b"]')
    assert rules.grants["a"].who.groups == {"g"}


@pytest.mark.parametrize(("unit", "seconds"), [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)])
def test_a_duration_has_a_unit(unit: str, seconds: int) -> None:
    rules = rules_of(f'[grant.a]\nwho="b"\npublish=["x"]\nfrom=2030-01-01T00:00:00+02:00\nfor="3{unit}"')
    grant = rules.grants["a"]
    assert grant.starts is not None
    assert grant.ends is not None
    assert (grant.ends - grant.starts).total_seconds() == 3 * seconds


@pytest.mark.parametrize(
    ("text", "line", "words", "remedy"),
    [
        ("", 1, "there is no version", "version = 1"),
        ("\nversion = 2", 2, "this version is not known", "version = 1"),
        ("version = true", 1, "this version is not known", "version = 1"),
        ("version = 1.0", 1, "this version is not known", "version = 1"),
    ],
    ids=["none", "2", "true", "1.0"],
)
def test_the_version_must_be_1(text: str, line: int, words: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_rules(Document(FILE, text))
    assert (caught.value.line, caught.value.message) == (line, words)
    assert remedy in caught.value.remedy


TEMPLATE = "[template.a]\n"
GRANT = '[grant.a]\nwho = "b"\n'
DENY = '[deny.a]\nwho = "b"\n'
PUBLISH = 'publish = ["x"]\n'

MISTAKES = {
    "unknown section": ("[templates.a]", 2, 'unknown key "templates"', 'Did you mean "template"?'),
    "section is a value": ("template = 3", 2, "template is an integer", "Write a table [template.NAME]."),
    "entry is a value": ("[template]\na = 3", 3, "template.a is an integer", "[template.NAME]"),
    "name of a rule": ('[template."a/b"]', 2, '"a/b" cannot be the name of a template', "letters"),
    "name too long": (f"[template.{'a' * 65}]", 2, "cannot be the name", "1 to 64"),
    "unknown right": (
        TEMPLATE + 'publsh = ["x"]',
        3,
        'unknown key "publsh" in [template.a]',
        'Did you mean "publish"?',
    ),
    "limit": (TEMPLATE + "max_queue = 1", 3, 'unknown key "max_queue"', "max_qos"),
    "limit of a deny": (
        '[deny.d]\nwho = "*"\npublish = ["a"]\nmax_qos = 1',
        5,
        'unknown key "max_qos"',
        "Expected one of",
    ),
    "qos": (TEMPLATE + "max_qos = 3", 3, "max_qos is not a whole number of 0 to 2", ""),
    "qos as truth": (TEMPLATE + "max_qos = true", 3, "max_qos is not a whole number", ""),
    "payload": (TEMPLATE + 'max_payload = "4 kilos"', 3, "max_payload is not a size", '"4KiB"'),
    "payload below nothing": (TEMPLATE + "max_payload = -1", 3, "max_payload is not a size of 0", ""),
    "rate": (TEMPLATE + 'rate = "10"', 3, '"10" is not a rate', '"10/s"'),
    "rate of nothing": (TEMPLATE + 'rate = "0/s"', 3, '"0/s" is not a rate', '"10/s"'),
    "no connection": (TEMPLATE + "max_connections = 0", 3, "max_connections is not a whole number of 1", ""),
    "option": ("[options]\nallow_all = true", 3, 'unknown key "allow_all"', "allow_foreign"),
    "option that is no truth": (
        '[options]\nallow_foreign_response_topics = "yes"',
        3,
        "expected true or false",
        "",
    ),
    "right is a text": (
        TEMPLATE + 'publish = "x"',
        3,
        "template.a.publish is a string, expected an array of strings",
        'publish = ["devices/${id}/#"]',
    ),
    "filter is a number": (
        TEMPLATE + 'publish = [\n "x",\n 3]',
        5,
        "template.a.publish[1] is an integer, expected a string",
        "For example",
    ),
    "empty filter": (TEMPLATE + 'publish = [""]', 3, '"" is not a topic filter', "levels between slashes"),
    "hash inside": (TEMPLATE + 'publish = ["x",\n"a/#/b"]', 4, '"a/#/b" is not a topic filter: #', "slashes"),
    "plus in a level": (TEMPLATE + 'will = ["a/b+"]', 3, '"a/b+" is not a topic filter: +', "slashes"),
    "NUL": (TEMPLATE + 'will = ["a\\u0000"]', 3, "is not a topic filter", "slashes"),
    "too many levels": (TEMPLATE + f'will = ["{"a/" * 128}"]', 3, "more than 128 levels", "slashes"),
    "shared filter": (
        TEMPLATE + 'subscribe = ["$share/g/x"]',
        3,
        '"$share/g/x" is a shared filter',
        "the filter inside it",
    ),
    "variable in a level": (
        TEMPLATE + 'publish = ["x/pre-${id}"]',
        3,
        '"pre-${id}": a variable fills a whole level',
        "a level of its own",
    ),
    "unknown variable": (
        TEMPLATE + 'publish = ["x/${user}"]',
        3,
        '"${user}" is not a variable',
        "Known here: ${id}, ${group}.",
    ),
    "variable without an end": (TEMPLATE + 'publish = ["${id"]', 3, '"${id" is not a variable', "Known here"),
    "group variable in a grant": (
        GRANT + 'publish = ["x/${group}"]',
        4,
        '"${group}" is not a variable',
        "Known here: ${id}.",
    ),
    "group variable without a group": (
        TEMPLATE + 'publish = ["x/${group}"]',
        2,
        '${group} has no value in template "a"',
        'apply = ["a"]',
    ),
    "member with a slash": ('[group.g]\nmembers = ["a",\n"b/c"]', 4, '"b/c" cannot be a member', "pattern"),
    "group as a member": ('[group.g]\nmembers = ["group:h"]', 3, '"group:h" is a group', "List its members"),
    "members is a text": ('[group.g]\nmembers = "a"', 3, "group.g.members is a string", ""),
    "unknown template": (
        '[template.sensor]\n[group.g]\napply = ["sensr"]',
        4,
        'there is no template "sensr"',
        'Did you mean "sensor"?',
    ),
    "unknown key of a group": ("[group.g]\nmember = []", 3, 'unknown key "member"', '"members"'),
    "grant for nobody": ("[grant.a]\n" + PUBLISH, 2, "who is missing", '"group:NAME"'),
    "grant for no one of none": ("[grant.a]\nwho = []\n" + PUBLISH, 3, "who names nobody", "identity"),
    "grant of nothing": (GRANT, 2, "grant.a has no rights, so it does nothing", "at least one of: publish"),
    "who is a number": ("[grant.a]\nwho = 3\n" + PUBLISH, 3, "grant.a.who is an integer", ""),
    "who is a pattern": (
        '[grant.a]\nwho = "esp-*"\n' + PUBLISH,
        3,
        '"esp-*" is a pattern, and patterns stand in groups only',
        "a member of a group",
    ),
    "who has a prefix": ('[grant.a]\nwho = "user:b"\n' + PUBLISH, 3, '"user:b" cannot be an identity', ""),
    "unknown group": (
        '[group.kitchen]\n[grant.a]\nwho = ["b",\n"group:kitchn"]\n' + PUBLISH,
        5,
        'there is no group "kitchn"',
        'Did you mean "kitchen"?',
    ),
    "reason of two lines": (GRANT + PUBLISH + 'reason = "a\\nb"', 5, "characters that do not print", "plain"),
    "reason is a number": (GRANT + PUBLISH + "reason = 3", 5, "grant.a.reason is an integer", ""),
    "until without a zone": (
        GRANT + PUBLISH + "until = 2030-01-01T10:00:00",
        5,
        "until has no time zone",
        "2030-01-01T10:00:00Z",
    ),
    "until is a day": (GRANT + PUBLISH + "until = 2030-01-01", 5, "grant.a.until is a date", ""),
    "until is a text": (GRANT + PUBLISH + 'until = "soon"', 5, "grant.a.until is a string", ""),
    "until and for": (
        GRANT + PUBLISH + 'until = 2030-01-01T10:00:00Z\nfor = "1h"',
        6,
        "both until and for say when it ends",
        "Remove one",
    ),
    "for without from": (GRANT + PUBLISH + 'for = "1h"', 5, "for needs from", "write until instead"),
    "for is not a duration": (
        GRANT + PUBLISH + 'from = 2030-01-01T10:00:00Z\nfor = "1 h"',
        6,
        '"1 h" is not a duration',
        'for = "4h"',
    ),
    "for is endless": (
        GRANT + PUBLISH + 'from = 2030-01-01T10:00:00Z\nfor = "999999999d"',
        6,
        "this duration is too long",
        "Leave it out",
    ),
    "for is nothing": (
        GRANT + PUBLISH + 'from = 2030-01-01T10:00:00Z\nfor = "0s"',
        5,
        "this is never in force",
        "Swap",
    ),
    "ends before it starts": (
        GRANT + PUBLISH + "from = 2030-01-01T10:00:00Z\nuntil = 2030-01-01T11:00:00+02:00",
        5,
        "this is never in force: it ends before it starts",
        "Swap",
    ),
    "deny without rights": (DENY, 2, "deny.a has no rights", "at least one"),
    "deny with a template": (DENY + 'apply = ["x"]', 4, 'unknown key "apply" in [deny.a]', ""),
    "deny with an end": (DENY + PUBLISH + "until = 2030-01-01T10:00:00Z", 5, 'unknown key "until"', ""),
    "deny that excepts all": (DENY + PUBLISH + 'except = ["*"]', 5, "this denies nobody", "Except fewer"),
    "deny that excepts whom it means": (
        DENY + PUBLISH + 'except = ["c", "b"]',
        5,
        "this denies nobody",
        "remove the rule",
    ),
    "deny that excepts none": (DENY + PUBLISH + "except = []", 5, "except names nobody", "identity"),
}


@pytest.mark.parametrize(("text", "line", "words", "remedy"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_told_with_its_line_and_a_remedy(text: str, line: int, words: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rules_of(text)
    assert words in caught.value.message
    assert caught.value.line == line
    assert caught.value.remedy
    assert remedy in caught.value.remedy
    assert str(caught.value).startswith(f"policy.toml:{line}: ")


def test_a_deny_may_except_some_of_whom_it_means() -> None:
    rules = rules_of('[deny.a]\nwho = ["b", "c"]\nexcept = "c"\n' + PUBLISH)
    assert rules.denies["a"].exempt.identities == {"c"}
