"""Notes about rules that mean nobody who is there."""

import pytest

from bollard.base.types import ANONYMOUS
from bollard.policy.absent import NOBODY, absent
from bollard.policy.default import DEFAULT_POLICY

from .texts import rules_of

RIGHT = 'publish = ["x"]\n'


def told(text: str, *present: str, templates: tuple[str, ...] = ()) -> list[str]:
    notes = absent(rules_of(text), templates, present)
    assert {note.code for note in notes} <= {NOBODY}
    return [f"{note.line} {note.rule}: {note.text}" for note in notes]


def test_the_policy_of_a_new_installation_has_no_notes() -> None:
    assert told(DEFAULT_POLICY.replace("version = 1", "")) == []


@pytest.mark.parametrize(
    ("text", "present", "note"),
    [
        (f'[grant.g]\nwho = "ana"\n{RIGHT}', ("anna",),
         '2 grant.g: nobody is enrolled as "ana", or it is revoked'),
        (f'[grant.g]\nwho = ["anna", "ana"]\n{RIGHT}', ("anna",),
         '2 grant.g: nobody is enrolled as "ana", or it is revoked'),
        (f'[deny.d]\nwho = "ana"\n{RIGHT}', ("anna",),
         '2 deny.d: nobody is enrolled as "ana", or it is revoked'),
        (f'[grant.g]\nwho = "{ANONYMOUS}"\n{RIGHT}', ("anna",), "2 grant.g: no listener admits anonymous"),
        (f'[template.t]\n{RIGHT}', ("anna",),
         "2 template.t: nobody is enrolled with it, and no group applies it"),
        (f'[template.t]\n{RIGHT}[group.g]\nmembers = ["esp-*"]\napply = ["t"]', ("esp", ANONYMOUS),
         '4 group.g: nobody is like "esp-*"'),
    ],
)  # fmt: skip
def test_whom_a_rule_means_and_who_is_not_there_is_noted(
    text: str, present: tuple[str, ...], note: str
) -> None:
    assert told(text, *present) == [note]


def test_a_rule_for_groups_without_anybody_is_noted_beside_the_groups() -> None:
    group = '[group.g]\nmembers = ["a", "b-?"]\n'
    text = f'{group}[grant.x]\nwho = "group:g"\n{RIGHT}'
    assert told(text, "c") == [
        '2 group.g: nobody is enrolled as "a", or it is revoked',
        '2 group.g: nobody is like "b-?"',
        "4 grant.x: nobody is in its groups",
    ]
    assert told(text, "b-1", "a") == []


@pytest.mark.parametrize(
    "text",
    [
        f'[grant.g]\nwho = "*"\n{RIGHT}',
        f'[grant.g]\nwho = ["anna", "{ANONYMOUS}"]\n{RIGHT}',
        f'[template.t]\n{RIGHT}[group.g]\nmembers = ["an*"]\napply = ["t"]',
        f"[template.used]\n{RIGHT}",
    ],
)
def test_what_means_somebody_is_not_noted(text: str) -> None:
    assert told(text, "anna", ANONYMOUS, templates=("used",)) == []
