"""The built-in presets: what they give, and what is wrong with using them."""

import pytest

from bollard.base.errors import ConfigError
from bollard.base.types import Action
from bollard.policy.compile import Policy
from bollard.policy.model import RIGHTS
from bollard.policy.presets import PRESETS

from .texts import policy_of, rules_of


def policy(use: str, settings: str = "") -> Policy:
    return policy_of(f'[preset.p]\nuse = "{use}"\n{settings}', {"dev1": "p"})


def may(policy: Policy, action: Action, *topics: str) -> list[bool]:
    return [policy.decide("dev1", action, topic).allowed for topic in topics]


@pytest.mark.parametrize("use", PRESETS)
def test_every_preset_is_read_and_names_itself_in_decisions(use: str) -> None:
    settings = "".join(
        f'{name} = "site-1"\n' for name, default in PRESETS[use].parameters.items() if not default
    )
    rules = rules_of(f'[preset.p]\nuse = "{use}"\n{settings}')
    template = rules.templates["p"]
    assert template.rule == "preset.p"
    assert template.preset == use
    assert [len(template.rights.of(right)) for right in RIGHTS] == [
        len(PRESETS[use].of(right)) for right in RIGHTS
    ]
    assert "{" not in "".join(
        p.text.replace("${id}", "") for right in RIGHTS for p in template.rights.of(right)
    )


@pytest.mark.parametrize("use", PRESETS)
def test_what_a_preset_retains_or_leaves_as_a_will_it_may_publish(use: str) -> None:
    """Otherwise the message could be left behind in some way, but not sent in the plain one."""
    settings = "".join(
        f'{name} = "s"\n' for name, default in PRESETS[use].parameters.items() if default is None
    )
    of_use = policy(use, settings)
    rights = of_use.rules.templates["p"].rights
    for pattern in (*rights.retain, *rights.will):
        topic = "/".join({"${id}": "dev1", "+": "x", "#": "x"}.get(level, level) for level in pattern.levels)
        assert may(of_use, Action.PUBLISH, topic) == [True], topic


@pytest.mark.parametrize(
    ("use", "action", "allowed", "denied"),
    [
        ("sensor", Action.PUBLISH, ["devices/dev1/data/t", "devices/dev1/status"], ["devices/dev1/cmd/x", "devices/b/status"]),
        ("sensor", Action.SUBSCRIBE, ["devices/dev1/cmd/#"], ["devices/dev1/#", "devices/+/cmd/#"]),
        ("application", Action.PUBLISH, ["devices/b/cmd/on"], ["devices/b/data/x"]),
        ("homeassistant", Action.PUBLISH, ["homeassistant/sensor/dev1/config", "homeassistant/switch/dev1/relay/config"],
         ["homeassistant/sensor/b/config", "homeassistant/status"]),
        ("homeassistant", Action.RETAIN, ["homeassistant/device/dev1/config"], ["homeassistant/device/b/config"]),
        ("homeassistant-server", Action.WILL, ["homeassistant/status"], ["homeassistant/sensor/a/config"]),
        ("homie", Action.SUBSCRIBE, ["homie/5/dev1/+/+/set", "homie/5/$broadcast/#"], ["homie/5/#"]),
        ("homie", Action.WILL, ["homie/5/dev1/$state"], ["homie/5/b/$state"]),
        ("homie-controller", Action.PUBLISH, ["homie/5/b/relay/on/set"], ["homie/5/b/relay/on", "homie/5/b/$state"]),
        ("sparkplug-host", Action.RETAIN, ["spBv1.0/STATE/dev1"], ["spBv1.0/STATE/b"]),
        ("sparkplug-host", Action.PUBLISH, ["spBv1.0/g/NCMD/n", "spBv1.0/g/DCMD/n/d"], ["spBv1.0/g/NDATA/n"]),
        ("tasmota", Action.PUBLISH, ["tele/dev1/LWT", "stat/dev1/POWER"], ["tele/b/LWT", "cmnd/b/POWER"]),
        ("tasmota", Action.SUBSCRIBE, ["cmnd/dev1/#", "cmnd/tasmotas/#"], ["cmnd/#"]),
        ("tasmota-discovery", Action.RETAIN, ["tasmota/discovery/AABB/config"], ["tasmota/discovery/AABB/x"]),
        ("tasmota-app", Action.PUBLISH, ["cmnd/dev1/POWER"], ["stat/dev1/POWER"]),
        ("zigbee2mqtt", Action.SUBSCRIBE, ["zigbee2mqtt/#", "homeassistant/#"], ["#"]),
        ("zigbee2mqtt", Action.RETAIN, ["homeassistant/light/0x1/light/config"], ["homeassistant/status"]),
        ("zigbee2mqtt-app", Action.PUBLISH, ["zigbee2mqtt/lamp/set"], ["zigbee2mqtt/bridge/request/permit_join"]),
        ("shelly", Action.PUBLISH, ["dev1/events/rpc", "shelly-replies/app/rpc"], ["b/events/rpc", "dev1/rpc"]),
        ("shelly", Action.SUBSCRIBE, ["dev1/rpc", "dev1/command/switch:0"], ["+/rpc"]),
        ("shelly-gen1", Action.SUBSCRIBE, ["shellies/dev1/relay/0/command"], ["shellies/#"]),
    ],
)  # fmt: skip
def test_a_preset_gives_what_its_devices_use_and_no_more(
    use: str, action: Action, allowed: list[str], denied: list[str]
) -> None:
    assert may(policy(use), action, *allowed) == [True] * len(allowed)
    assert may(policy(use), action, *denied) == [False] * len(denied)


def test_a_parameter_takes_the_place_of_one_or_more_levels_or_none() -> None:
    assert may(policy("sensor", 'base = "home/floor 1"'), Action.PUBLISH, "home/floor 1/dev1/status") == [
        True
    ]
    assert may(policy("sensor", 'base = ""'), Action.PUBLISH, "dev1/status", "devices/dev1/status") == [
        True,
        False,
    ]
    plant = policy("sparkplug-node", 'group = "Plant 1"')
    assert may(plant, Action.WILL, "spBv1.0/Plant 1/NDEATH/dev1", "spBv1.0/Plant 2/NDEATH/dev1") == [
        True,
        False,
    ]


def test_groups_and_enrolments_apply_presets_by_name() -> None:
    of_group = policy_of('[preset.ha]\nuse = "homeassistant"\n[group.g]\nmembers = ["esp-*"]\napply = ["ha"]')
    decision = of_group.decide("esp-1", Action.PUBLISH, "homeassistant/sensor/esp-1/config")
    assert decision.allowed
    assert decision.rule == "preset.ha"
    assert decision.reason == 'preset "ha" grants publish on homeassistant/+/${id}/config'


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('[preset.p]\n', 2, "use is missing"),
        ('[preset.p]\nuse = "tasmotta"', 3, 'there is no preset "tasmotta"'),
        ('[preset.p]\nuse = 1', 3, "preset.p.use is an integer"),
        ('[preset.p]\nuse = "sensor"\nbsae = "x"', 4, 'unknown key "bsae"'),
        ('[preset.p]\nuse = "homie"\npublish = ["#"]', 4, 'unknown key "publish"'),
        ('[preset.p]\nuse = "sparkplug-node"', 3, 'preset "sparkplug-node" needs group'),
        ('[preset.p]\nuse = "sensor"\nbase = "a/+"', 4, "is not a part of a topic"),
        ('[preset.p]\nuse = "sensor"\nbase = "#"', 4, "is not a part of a topic"),
        ('[preset.p]\nuse = "sensor"\nbase = "${id}"', 4, "is not a part of a topic"),
        ('[preset.p]\nuse = "sensor"\nbase = "$share/g"', 4, "is not a part of a topic"),
        ('[preset.p]\nuse = "sensor"\nbase = "a//b"', 4, "is not a part of a topic"),
        ('[preset.p]\nuse = "sensor"\nbase = "a/"', 4, "is not a part of a topic"),
        ('[preset.p]\nuse = "sensor"\n[template.p]\npublish = ["a"]', 2, '"p" is a template and a preset'),
    ],
)  # fmt: skip
def test_a_wrong_preset_is_told_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rules_of(text)
    assert message in caught.value.message
    assert caught.value.line == line
    assert caught.value.remedy
