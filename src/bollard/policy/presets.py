"""The built-in presets: the topics that well-known devices and applications use, as data.

`[preset.NAME]` with `use = "..."` makes one of them a template. Each keeps to its own identity where the
convention has a level for it. What a convention needs beyond that is a preset of its own, so that nobody gets
it unasked. Nothing is decided or read here.

In the filters, `{name}` is a parameter that the policy file may set, and fills one or more whole levels, or
none at all; `${id}` is the identity, as everywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bollard.policy.model import RIGHTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """`about` says what it is for. `parameters` are levels by name; None must be set, () is no level."""

    name: str
    about: str
    parameters: Mapping[str, tuple[str, ...] | None]
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    retain: tuple[str, ...] = ()
    will: tuple[str, ...] = ()
    share: tuple[str, ...] = ()

    def of(self, right: str) -> tuple[str, ...]:
        """The filters of the right called `right`."""
        filters: tuple[str, ...] = getattr(self, right)
        return filters


def expand(preset: Preset, values: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The filters of `preset` by right, with `values` in place of its parameters."""

    def filled(text: str) -> str:
        levels: list[str] = []
        for level in text.split("/"):
            name = level[1:-1] if level.startswith("{") else ""
            levels += values[name] if name else [level]
        return "/".join(levels)

    return {right: [filled(text) for text in preset.of(right)] for right in RIGHTS}


_ALL = (
    Preset(
        name="sensor",
        about="A plain device: publishes its own readings and status, receives its own commands.",
        parameters={"base": ("devices",)},
        publish=("{base}/${id}/data/#", "{base}/${id}/status"),
        subscribe=("{base}/${id}/cmd/#",),
        retain=("{base}/${id}/status",),
        will=("{base}/${id}/status",),
    ),
    Preset(
        name="application",
        about="A plain application: reads all plain devices and commands them.",
        parameters={"base": ("devices",)},
        publish=("{base}/+/cmd/#",),
        subscribe=("{base}/#",),
        share=("${id}",),
    ),
    Preset(
        name="homeassistant",
        about="A device that announces itself to Home Assistant. Its states and commands are another template's.",
        parameters={"discovery": ("homeassistant",)},
        publish=("{discovery}/+/${id}/config", "{discovery}/+/${id}/+/config"),
        subscribe=("{discovery}/status",),
        retain=("{discovery}/+/${id}/config", "{discovery}/+/${id}/+/config"),
    ),
    Preset(
        name="homeassistant-server",
        about="Home Assistant itself: reads announcements and plain devices, commands plain devices.",
        parameters={"discovery": ("homeassistant",), "base": ("devices",)},
        publish=("{discovery}/status", "{base}/+/cmd/#"),
        subscribe=("{discovery}/#", "{base}/#"),
        share=("${id}",),
        retain=("{discovery}/status",),
        will=("{discovery}/status",),
    ),
    Preset(
        name="homie",
        about="A Homie 5 device whose device id is its identity. Child devices need grants of their own.",
        parameters={"domain": ("homie",)},
        publish=("{domain}/5/${id}/#",),
        subscribe=("{domain}/5/${id}/+/+/set", "{domain}/5/$broadcast/#"),
        retain=("{domain}/5/${id}/#",),
        will=("{domain}/5/${id}/$state",),
    ),
    Preset(
        name="homie-controller",
        about="A Homie 5 controller: reads all devices, sets their properties, broadcasts.",
        parameters={"domain": ("homie",)},
        publish=("{domain}/5/+/+/+/set", "{domain}/5/$broadcast/#"),
        subscribe=("{domain}/5/#",),
        share=("${id}",),
    ),
    Preset(
        name="sparkplug-node",
        about="A Sparkplug B edge node whose node id is its identity, with its devices.",
        parameters={"group": None},
        publish=(
            "spBv1.0/{group}/NBIRTH/${id}",
            "spBv1.0/{group}/NDATA/${id}",
            "spBv1.0/{group}/NDEATH/${id}",
            "spBv1.0/{group}/DBIRTH/${id}/+",
            "spBv1.0/{group}/DDATA/${id}/+",
            "spBv1.0/{group}/DDEATH/${id}/+",
        ),
        subscribe=("spBv1.0/{group}/NCMD/${id}/#", "spBv1.0/{group}/DCMD/${id}/#", "spBv1.0/STATE/#"),
        will=("spBv1.0/{group}/NDEATH/${id}",),
    ),
    Preset(
        name="sparkplug-host",
        about="A Sparkplug B host application whose host id is its identity.",
        parameters={},
        publish=("spBv1.0/+/NCMD/+", "spBv1.0/+/DCMD/+/+", "spBv1.0/STATE/${id}"),
        subscribe=("spBv1.0/#",),
        share=("${id}",),
        retain=("spBv1.0/STATE/${id}",),
        will=("spBv1.0/STATE/${id}",),
    ),
    Preset(
        name="tasmota",
        about="A Tasmota device whose Topic is its identity, with the default FullTopic %prefix%/%topic%/.",
        parameters={"group": ("tasmotas",)},
        publish=("stat/${id}/#", "tele/${id}/#", "cmnd/${id}/+"),
        subscribe=("cmnd/${id}/#", "cmnd/{group}/#"),
        retain=("stat/${id}/#", "tele/${id}/#"),
        will=("tele/${id}/LWT",),
    ),
    Preset(
        name="tasmota-discovery",
        about="What Tasmota's own discovery needs beside it. Its level is a MAC address: each can speak for all.",
        parameters={},
        publish=("tasmota/discovery/+/config", "tasmota/discovery/+/sensors"),
        retain=("tasmota/discovery/+/config", "tasmota/discovery/+/sensors"),
    ),
    Preset(
        name="tasmota-app",
        about="An application that reads and commands all Tasmota devices.",
        parameters={},
        publish=("cmnd/#",),
        subscribe=("stat/#", "tele/#", "tasmota/discovery/#"),
        share=("${id}",),
    ),
    Preset(
        name="zigbee2mqtt",
        about="The Zigbee2MQTT bridge, which speaks for all its Zigbee devices and announces them.",
        parameters={"base": ("zigbee2mqtt",), "discovery": ("homeassistant",)},
        publish=("{base}/#", "{discovery}/+/+/config", "{discovery}/+/+/+/config"),
        subscribe=("{base}/#", "{discovery}/#"),
        retain=("{base}/#", "{discovery}/+/+/config", "{discovery}/+/+/+/config"),
        will=("{base}/bridge/state",),
    ),
    Preset(
        name="zigbee2mqtt-app",
        about="An application that reads and sets Zigbee devices, but does not pair or remove them.",
        parameters={"base": ("zigbee2mqtt",)},
        publish=("{base}/+/set/#", "{base}/+/get/#"),
        subscribe=("{base}/#",),
        share=("${id}",),
    ),
    Preset(
        name="shelly",
        about="A Shelly device, generation 2 or later, whose MQTT prefix is its identity (below base, if set).",
        parameters={"base": (), "replies": ("shelly-replies",)},
        publish=(
            "{base}/${id}/online",
            "{base}/${id}/announce",
            "{base}/${id}/status/#",
            "{base}/${id}/events/rpc",
            "{base}/${id}/debug/#",
            "{replies}/rpc",
            "{replies}/+/rpc",
        ),
        subscribe=("{base}/${id}/rpc", "{base}/${id}/command/#", "shellies/command"),
        retain=("{base}/${id}/online", "{base}/${id}/status/#"),
        will=("{base}/${id}/online",),
    ),
    Preset(
        name="shelly-gen1",
        about="A Shelly device of generation 1 whose MQTT id is its identity.",
        parameters={},
        publish=("shellies/${id}/#", "shellies/announce"),
        subscribe=(
            "shellies/command",
            "shellies/${id}/command",
            "shellies/${id}/+/+/command",
            "shellies/${id}/+/+/set",
        ),
        retain=("shellies/${id}/#",),
        will=("shellies/${id}/online",),
    ),
    Preset(
        name="shelly-app",
        about="An application that reads and commands Shelly devices. Set base, in the devices too: without it"
        " their topics begin with a wildcard. It asks with a src of replies, or of one level below it.",
        parameters={"base": (), "replies": ("shelly-replies",)},
        publish=("{base}/+/rpc", "{base}/+/command/#"),
        subscribe=("{base}/+/online", "{base}/+/status/#", "{base}/+/events/rpc", "{replies}/#"),
        share=("${id}",),
    ),
)

#: Every preset by its name.
PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in _ALL}
