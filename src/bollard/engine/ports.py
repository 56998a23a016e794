"""What the engine needs from outside, as types: exactly one of each, required, no defaults that allow.

Authorization is synchronous, in memory and asked for each message (its answers are cached until the
generation changes). Authentication may be slow, so it is a question that the shell answers later.
"""

from typing import Protocol

from bollard.base.types import Action, Decision, Principal


class Authorizer(Protocol):
    """An immutable snapshot of who may do what. `decide` never raises and never blocks.

    It may offer `base.allowance.Rationing` as well: how much each may use of its rights.
    """

    def decide(self, principal: Principal, action: Action, topic: str) -> Decision:
        """May `principal` do `action` on `topic`: a filter for SUBSCRIBE, else a topic name."""
        ...


class DenyAll:
    """The authorizer of a broker that was given none."""

    def decide(self, principal: Principal, action: Action, topic: str) -> Decision:
        return Decision()


class Tap(Protocol):
    """Hears what clients do with their rights, allowed or not. Quick, never raises, alters nothing."""

    def published(
        self, principal: Principal, topic: str, qos: int, retain: bool, size: int, allowed: bool
    ) -> None:
        """A message of `size` bytes. Whether it may be retained is asked for later."""
        ...

    def subscribed(self, principal: Principal, filter: str, group: str, qos: int, allowed: bool) -> None:
        """A subscription to `filter`, which has no $share prefix; `group` is the one of that prefix, or ""."""
        ...

    def left_will(
        self, principal: Principal, topic: str, qos: int, retain: bool, size: int, allowed: bool
    ) -> None:
        """A CONNECT with a will."""
        ...


def tap_of(authorizer: object) -> Tap | None:
    """The tap that came with an authorizer; None where it has none, as nearly always."""
    tap: Tap | None = getattr(authorizer, "tap", None)
    return tap


class Entropy(Protocol):
    """Source of identifiers that a peer must not be able to guess."""

    def token(self) -> str:
        """At least 120 random bits, as letters and digits only."""
        ...
