"""Limits in a policy: which of several hold for one identity.

The order of rules never matters here either. Of templates and groups the strictest counts, each key by itself:
a limit takes away, as a deny does. A grant is an exception with an end, so what a grant says of a key takes the
place of what templates and groups say of it, and of several grants the most generous counts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from bollard.base.allowance import BOUNDS, Allowance, Rate

Value = int | Rate


@dataclass(frozen=True, slots=True)
class Bound:
    """The limits that one rule sets for an identity; `grants` whether the rule is a grant."""

    rule: str
    grants: bool
    allowance: Allowance


def generosity(value: Value) -> tuple[Fraction, int]:
    """Something that grows with what a limit leaves: for rates, how many a second, then how many at once."""
    if isinstance(value, Rate):
        return Fraction(value.count, value.seconds), value.count
    return Fraction(value), 0


def in_force(bounds: Iterable[Bound]) -> dict[str, tuple[Value, str]]:
    """Each limit that holds, and the rule that it comes from."""
    found: dict[str, tuple[Value, str]] = {}
    all_bounds = sorted(bounds, key=lambda bound: bound.rule)
    for key in BOUNDS:
        said = [
            (value, bound.rule, bound.grants)
            for bound in all_bounds
            for value in [getattr(bound.allowance, key)]
            if value is not None
        ]
        granted = [(value, rule) for value, rule, grants in said if grants]
        if granted:
            found[key] = max(granted, key=lambda one: generosity(one[0]))
        elif said:
            found[key] = min(((value, rule) for value, rule, _ in said), key=lambda one: generosity(one[0]))
    return found


def allowance_of(limits: Mapping[str, tuple[Value, str]]) -> Allowance | None:
    """`limits`, as `in_force` gives them, for the engine; None if there are none."""
    values: dict[str, object] = {key: value for key, (value, _) in limits.items()}
    return Allowance(**values) if values else None  # type: ignore[arg-type]  # each under the key that it had
