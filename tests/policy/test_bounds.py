"""Limits in a policy: which of several hold, whatever their order, and how they are told."""

import random
from datetime import UTC, datetime
from itertools import permutations

import pytest

from bollard.base.allowance import Allowance, Rate
from bollard.base.types import ANONYMOUS, Action
from bollard.policy.diff import diff
from bollard.policy.explain import EffectiveLimit, effective, why

from .texts import policy_of, rules_of

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
TABLES = [
    '[template.sensor]\npublish = ["a/${id}"]\nmax_qos = 1\nmax_payload = "4KiB"\nrate = "10/s"\n',
    '[group.kitchen]\nmembers = ["esp-*"]\napply = ["sensor"]\nrate = "100/m"\nmax_connections = 2\n',
    '[group.all]\nmembers = ["*"]\nmax_payload = 9000\nmax_subscriptions = 5\n',
    '[grant.update]\nwho = "esp-2"\nmax_payload = "1MiB"\nuntil = 2030-01-01T13:00:00Z\n',
    '[grant.more]\nwho = "group:kitchen"\nmax_payload = "8KiB"\nfrom = 2030-01-01T12:00:00Z\nfor = "1h"\n',
    '[grant.over]\nwho = "*"\nrate = "1000/s"\nuntil = 2030-01-01T11:00:00Z\n',
]


@pytest.mark.parametrize(
    ("who", "allowance"),
    [
        ("esp-1", Allowance(max_qos=1, max_payload=8192, rate=Rate(100, 60), max_subscriptions=5, max_connections=2)),
        ("esp-2", Allowance(max_qos=1, max_payload=2**20, rate=Rate(100, 60), max_subscriptions=5, max_connections=2)),
        ("plug", Allowance(max_qos=1, max_payload=4096, rate=Rate(10, 1), max_subscriptions=5)),
        ("bob", Allowance(max_payload=9000, max_subscriptions=5)),
        (ANONYMOUS, Allowance(max_payload=9000, max_subscriptions=5)),
        ("not/one", None),
    ],
)  # fmt: skip
def test_the_strictest_of_templates_and_groups_counts_and_a_grant_takes_its_place(
    who: str, allowance: Allowance | None
) -> None:
    chance = random.Random(1)
    for _ in range(20):
        text = "".join(chance.sample(TABLES, len(TABLES)))
        assert policy_of(text, {"plug": "sensor"}, NOON).allowance(who) == allowance


def test_rates_are_compared_by_what_they_let_through_in_the_long_run() -> None:
    rates = ["100/m", "2/s", "5000/h"]
    for order in permutations(rates):
        groups = "".join(f'[group.g{n}]\nmembers = ["a"]\nrate = "{rate}"\n' for n, rate in enumerate(order))
        grants = "".join(f'[grant.g{n}]\nwho = "a"\nrate = "{rate}"\n' for n, rate in enumerate(order))
        assert policy_of(groups).allowance("a") == Allowance(rate=Rate(5000, 3600))
        assert policy_of(groups + grants).allowance("a") == Allowance(rate=Rate(2, 1))


def test_a_policy_without_limits_gives_nobody_any() -> None:
    assert policy_of('[template.t]\npublish = ["#"]', {"a": "t"}).allowance("a") is None


def test_a_preset_and_a_grant_of_limits_alone_may_have_them() -> None:
    policy = policy_of(
        '[preset.p]\nuse = "sensor"\nmax_qos = 0\n[grant.g]\nwho = "a"\nmax_qos = 2', {"b": "p"}
    )
    assert (policy.allowance("a"), policy.allowance("b")) == (Allowance(max_qos=2), Allowance(max_qos=0))


def test_what_holds_is_shown_with_its_rule() -> None:
    told = effective(policy_of("".join(TABLES), {}, NOON), "esp-2").limits
    assert told == (
        EffectiveLimit("max_qos", "1", "template.sensor"),
        EffectiveLimit("max_payload", "1048576", "grant.update"),
        EffectiveLimit("rate", "100/m", "group.kitchen"),
        EffectiveLimit("max_subscriptions", "5", "group.all"),
        EffectiveLimit("max_connections", "2", "group.kitchen"),
    )


def test_what_is_allowed_is_told_with_the_limits_that_it_has() -> None:
    policy = policy_of(TABLES[0], {"plug": "sensor"})
    told = why(policy, "plug", Action.PUBLISH, "a/plug")
    assert told.notes == (
        "limits: max_qos 1 (template.sensor), max_payload 4096 (template.sensor), rate 10/s (template.sensor)",
    )
    assert not any("limits" in note for note in why(policy, "plug", Action.PUBLISH, "b").notes)


def test_a_diff_says_whose_limits_change() -> None:
    old = '[template.t]\npublish = ["a"]\nrate = "10/s"\n'
    new = '[template.t]\npublish = ["a"]\nrate = "5/s"\nmax_qos = 1\n'

    def sentences(before: str, after: str) -> list[str]:
        return [str(change) for change in diff(rules_of(before), rules_of(after), NOON)]

    assert sentences(old, new) == [
        'whoever has template "t" loses room: max_qos 1, was no limit',
        'whoever has template "t" loses room: rate 5/s, was 10/s',
    ]
    assert sentences(new, old) == [
        'whoever has template "t" gains room: max_qos no limit, was 1',
        'whoever has template "t" gains room: rate 10/s, was 5/s',
    ]
    assert sentences(old, old) == []


def test_the_option_about_response_topics_is_off() -> None:
    option = "[options]\nallow_foreign_response_topics = true"
    assert not policy_of("").allow_foreign_response_topics
    assert policy_of(option).allow_foreign_response_topics


def test_the_policy_says_whether_the_qos_of_anybody_is_limited() -> None:
    assert policy_of(TABLES[0]).bounds_qos
    assert policy_of('[group.g]\nmembers = ["*"]\nmax_qos = 0\n').bounds_qos
    assert not policy_of(TABLES[2]).bounds_qos
    assert not policy_of("").bounds_qos
