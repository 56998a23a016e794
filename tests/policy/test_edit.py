"""Grants that are put into the text of a policy and taken out again, with everything around them kept."""

import random
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bollard.base.errors import ConfigError, LocalError
from bollard.base.toml import Document
from bollard.policy.default import DEFAULT_POLICY
from bollard.policy.edit import NewGrant, add_grant, free_name, grant_block, remove_grant
from bollard.policy.rules import read_rules

from .texts import rules_of
from .tools import policy_cases

FILE = Path("policy.toml")
UNTIL = datetime(2030, 1, 31, 18, tzinfo=UTC)
SERVICE = NewGrant(
    who="anna", rights={"publish": ["devices/boiler/cmd/#"]}, until=UNTIL, reason="annual service"
)

BLOCK = """\
[grant.anna-1]
who = "anna"
publish = ["devices/boiler/cmd/#"]
until = 2030-01-31T18:00:00Z
reason = "annual service"
"""


def test_a_grant_goes_to_the_end_and_all_before_it_stays() -> None:
    edited = add_grant(FILE, DEFAULT_POLICY, "anna-1", SERVICE)
    assert edited == f"{DEFAULT_POLICY}\n{BLOCK}"
    grant = read_rules(Document(FILE, edited)).grants["anna-1"]
    assert (grant.who.identities, grant.ends, grant.reason) == ({"anna"}, UNTIL, "annual service")


@pytest.mark.parametrize(
    ("before", "gap"), [("version = 1", "\n\n"), ("version = 1\n", "\n"), ("version = 1\n\n", "")]
)
def test_one_empty_line_stands_before_it(before: str, gap: str) -> None:
    assert add_grant(FILE, before, "anna-1", SERVICE) == before + gap + BLOCK


def test_line_ends_of_the_file_are_kept() -> None:
    edited = add_grant(FILE, "version = 1\r\n", "anna-1", SERVICE)
    assert edited == "version = 1\r\n\r\n" + BLOCK.replace("\n", "\r\n")
    assert remove_grant(FILE, edited, "anna-1") == "version = 1\r\n\r\n"


def test_a_grant_without_an_end_or_a_reason_has_none() -> None:
    grant = NewGrant(who="group:ops", rights={"subscribe": ["a", "b"], "will": []})
    assert grant_block("a.b", grant) == '[grant."a.b"]\nwho = "group:ops"\nsubscribe = ["a", "b"]\n'


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20))
def test_every_text_is_read_again_as_it_was(text: str) -> None:
    block = grant_block("g", NewGrant(who=text, rights={"publish": [text]}, reason=text))
    table = tomllib.loads(block)["grant"]["g"]
    assert (table["who"], table["publish"], table.get("reason", "")) == (text, [text], text)


@pytest.mark.parametrize(
    ("name", "grant", "message"),
    [
        ("old", SERVICE, 'there is a grant "old" already'),
        ("a b", SERVICE, '"a b" cannot be the name of a grant'),
        ("new", NewGrant(who="group:x", rights={"publish": ["a"]}), 'there is no group "x"'),
        ("new", NewGrant(who="anna", rights={"publish": ["a/#/b"]}), "is not a topic filter"),
        ("new", NewGrant(who="anna", rights={}), "has no rights"),
    ],
)
def test_a_wrong_grant_is_refused_and_told_without_a_line_that_nobody_wrote(
    name: str, grant: NewGrant, message: str
) -> None:
    text = 'version = 1\n[grant.old]\nwho = "bob"\npublish = ["x"]\n'
    with pytest.raises(LocalError) as caught:
        add_grant(FILE, text, name, grant)
    assert message in caught.value.message
    assert not isinstance(caught.value, ConfigError)


def test_a_policy_that_is_wrong_already_is_not_edited() -> None:
    for edit in (
        lambda: add_grant(FILE, "version = 2", "a", SERVICE),
        lambda: remove_grant(FILE, "version = 2", "a"),
    ):
        with pytest.raises(ConfigError, match="this version is not known"):
            edit()


def test_grants_that_are_written_within_one_line_cannot_be_added_to_but_are_not_harmed() -> None:
    text = 'version = 1\ngrant = {a = {who = "x", publish = ["a"]}, b = {who = "y", publish = ["b"]}}\n'
    with pytest.raises(LocalError, match="cannot be edited safely"):
        add_grant(FILE, text, "c", SERVICE)
    assert tomllib.loads(remove_grant(FILE, text, "a"))["grant"] == {"b": {"who": "y", "publish": ["b"]}}


MIXED = """\
version = 1
# grants begin
[grant.a] # the first
who = "x"
publish = ["a",  # in it
  "b"]

# what nobody may
[deny.d]
who = "*"
publish = ["z"]  # z
[grant.b]
who = "x"
publish = ["b"]
[template.t]
publish = ["q"]
# the last
[grant.c]
who = "y"
publish = ["c"]
# the end
"""


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        ("a", '[grant.a] # the first\nwho = "x"\npublish = ["a",  # in it\n  "b"]\n\n'),
        ("b", '[grant.b]\nwho = "x"\npublish = ["b"]\n'),
        ("c", '[grant.c]\nwho = "y"\npublish = ["c"]\n'),
    ],
)
def test_only_the_grant_goes_and_the_comments_of_others_stay(name: str, gone: str) -> None:
    assert gone in MIXED
    assert remove_grant(FILE, MIXED, name) == MIXED.replace(gone, "")


def test_a_grant_that_is_not_there_is_told_with_the_name_nearest_to_it() -> None:
    with pytest.raises(LocalError) as caught:
        remove_grant(FILE, f"version = 1\n{BLOCK}", "ana-1")
    assert caught.value.remedy == 'Did you mean "anna-1"?'


def test_dotted_grants_are_removed_too() -> None:
    text = (
        'version = 1\ngrant.a.who = "x"\ngrant.a.publish = ["a"]\ngrant.b.who = "y"\ngrant.b.will = ["b"]\n'
    )
    assert remove_grant(FILE, text, "a") == 'version = 1\ngrant.b.who = "y"\ngrant.b.will = ["b"]\n'


def test_names_are_made_from_who_it_is_for() -> None:
    rules = rules_of('[grant.anna-1]\nwho = "anna"\npublish = ["a"]')
    assert free_name(rules, "anna") == "anna-2"
    assert free_name(rules, "group:ops") == "ops-1"
    assert free_name(rules, "*") == "everybody-1"
    assert len(free_name(rules, "x" * 64)) <= 64


def test_in_random_policies_a_grant_comes_and_each_goes_without_a_trace() -> None:
    chance = random.Random(4)
    for _ in range(10):
        text = policy_cases().random_model(chance).text(chance)
        edited = add_grant(FILE, text, "new", SERVICE)
        assert remove_grant(FILE, edited, "new").rstrip() == text.rstrip()
        for name in tomllib.loads(text).get("grant", {}):
            left = tomllib.loads(remove_grant(FILE, edited, name))
            expected = tomllib.loads(edited)
            del expected["grant"][name]
            assert left == expected
