"""What the engine needs from outside, as types: exactly one of each, required, no defaults that allow.

Authorization is synchronous, in memory and asked for each message (its answers are cached until the
generation changes). Authentication may be slow, so it is a question that the shell answers later.
"""

from typing import Protocol

from bollard.base.types import Action, Decision, Principal


class Authorizer(Protocol):
    """An immutable snapshot of who may do what. `decide` never raises and never blocks."""

    def decide(self, principal: Principal, action: Action, topic: str) -> Decision:
        """May `principal` do `action` on `topic`: a filter for SUBSCRIBE, else a topic name."""
        ...


class DenyAll:
    """The authorizer of a broker that was given none."""

    def decide(self, principal: Principal, action: Action, topic: str) -> Decision:
        return Decision()


class Entropy(Protocol):
    """Source of identifiers that a peer must not be able to guess."""

    def token(self) -> str:
        """At least 120 random bits, as letters and digits only."""
        ...
