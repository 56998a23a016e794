"""Who gets a message on one topic: worked out once, kept until rights or subscriptions change."""

from typing import Any

from bollard.routing.shared import SharedGroup

#: Whom a branch is for, as seen from the publisher of a message. [MQTT5-3.8.3-3]
EVERYONE = 0
OTHERS = 1
PUBLISHER = 2
#: Principals whose right to receive is remembered for one topic and shared subscription.
MAX_RIGHTS_OF_SHARE = 64


class Branch:
    """Receivers that get a message in the same way.

    `qos` is the maximum QoS granted, `retain_as_published` whether RETAIN is kept as the publisher set
    it, `identifiers` the Subscription Identifiers to send, `audience` who of them (No Local).
    """

    __slots__ = ("audience", "identifiers", "qos", "retain_as_published", "sessions")

    def __init__(
        self, qos: int, retain_as_published: bool, identifiers: tuple[int, ...], audience: int
    ) -> None:
        self.qos = qos
        self.retain_as_published = retain_as_published
        self.identifiers = identifiers
        self.audience = audience
        self.sessions: list[Any] = []


class Share:
    """A shared subscription that matches the topic of a plan, and which principals may receive that by it, as far
    as they were asked."""

    __slots__ = ("group", "rights")

    def __init__(self, group: SharedGroup) -> None:
        self.group = group
        self.rights: dict[str, bool] = {}


class Plan:
    """All receivers of one topic under one generation; `shares` are its shared subscriptions.

    `receivers` is how many deliveries it takes to hand a message out; `weight` what the plan costs in memory,
    in bytes.
    """

    __slots__ = ("branches", "generation", "receivers", "shares", "weight")

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.branches: list[Branch] = []
        self.shares: list[Share] = []
        self.receivers = 0
        self.weight = 0


class Route:
    """What one connection may do on one topic, and the plan that serves it.

    `allowed` and `may_retain` (-1 until asked) are the publisher's rights under policy generation
    `generation`; `rule` and `reason` explain a refusal.
    """

    __slots__ = ("allowed", "generation", "may_retain", "name", "plan", "reason", "rule")

    def __init__(self, name: str, generation: int) -> None:
        self.name = name
        self.generation = generation
        self.allowed = False
        self.may_retain = -1
        self.rule = ""
        self.reason = ""
        self.plan: Plan | None = None
