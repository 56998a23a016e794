"""How much one identity may use of what it has a right to, as policy says it and the engine keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Protocol

from bollard.base.types import Principal


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` messages in `seconds`, on the average; so many may also come at once."""

    count: int
    seconds: int

    def __str__(self) -> str:
        return f"{self.count}/{UNITS[self.seconds]}"


#: Seconds that a rate may be about, and how they are written.
UNITS: Mapping[int, str] = {1: "s", 60: "m", 3600: "h"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """Bounds for one identity, all its connections together; None is no bound of its own.

    `max_qos` (0 to 2) is for messages, wills and subscriptions, `max_payload` in bytes and `rate` for
    messages and wills. Every bound comes on top of the server's own, which it never widens.
    """

    max_qos: int | None = None
    max_payload: int | None = None
    rate: Rate | None = None
    max_subscriptions: int | None = None
    max_connections: int | None = None

    def items(self) -> list[tuple[str, "int | Rate"]]:
        """The bounds that there are, by name."""
        found = ((field.name, getattr(self, field.name)) for field in fields(self))
        return [(name, value) for name, value in found if value is not None]

    def __bool__(self) -> bool:
        return bool(self.items())


#: The names of the bounds, as policy files spell them.
BOUNDS = tuple(field.name for field in fields(Allowance))

UNBOUNDED = Allowance()


class Rationing(Protocol):
    """What an authorizer may offer beside its decisions. One that wraps another passes it on: `PassedOn`."""

    def allowance(self, principal: Principal) -> Allowance | None:
        """The limits of `principal`, None for none beside the server's own. Never raises, never blocks."""
        ...

    @property
    def bounds_qos(self) -> bool:
        """Whether anybody's QoS is limited."""
        ...

    @property
    def allow_foreign_response_topics(self) -> bool:
        """Whether messages may ask for answers on topics that their sender may not receive."""
        ...


def allowance_from(authorizer: object, principal: Principal) -> Allowance | None:
    """`Rationing.allowance` of an authorizer; None where it has no such thing."""
    ask = getattr(authorizer, "allowance", None)
    found: Allowance | None = ask(principal) if ask is not None else None
    return found


def bounds_qos(authorizer: object) -> bool:
    """`Rationing.bounds_qos` of an authorizer; where it does not say, whether it limits at all."""
    return bool(getattr(authorizer, "bounds_qos", hasattr(authorizer, "allowance")))


def allows_foreign(authorizer: object) -> bool:
    """`Rationing.allow_foreign_response_topics` of an authorizer; False where it does not say."""
    return getattr(authorizer, "allow_foreign_response_topics", False) is True


class PassedOn:
    """The part of an authorizer over another that says what `inner` says: limits and options."""

    __slots__ = ("_inner",)

    def __init__(self, inner: object) -> None:
        self._inner = inner

    def allowance(self, principal: Principal) -> Allowance | None:
        """As `Rationing.allowance`."""
        return allowance_from(self._inner, principal)

    @property
    def bounds_qos(self) -> bool:
        """As `Rationing.bounds_qos`."""
        return bounds_qos(self._inner)

    @property
    def allow_foreign_response_topics(self) -> bool:
        """As `Rationing.allow_foreign_response_topics`."""
        return allows_foreign(self._inner)
