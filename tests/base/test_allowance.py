"""What stands over an authorizer passes on how much may be used of rights."""

import pytest

from bollard.base.allowance import UNBOUNDED, Allowance, PassedOn, allowance_from, allows_foreign, bounds_qos
from bollard.identity.enrollment_rights import EnrollmentRights
from bollard.identity.revoke import OnlyActive
from bollard.server.learning import LearningRights


class Rationed:
    bounds_qos = True
    allow_foreign_response_topics = True

    def allowance(self, principal: str) -> Allowance | None:
        return Allowance(max_qos=1) if principal == "plug" else None


class Silent:
    """Has rights only."""


def test_limits_and_options_come_through_however_many_stand_over_them() -> None:
    over = PassedOn(PassedOn(Rationed()))
    assert allowance_from(over, "plug") == Allowance(max_qos=1)
    assert allowance_from(over, "lamp") is None
    assert bounds_qos(over)
    assert allows_foreign(over)


def test_who_says_nothing_of_limits_has_none() -> None:
    for one in (Silent(), PassedOn(Silent())):
        assert allowance_from(one, "plug") is None
        assert not bounds_qos(one)
        assert not allows_foreign(one)


def test_whoever_limits_and_does_not_say_of_what_may_limit_qos() -> None:
    class Terse:
        def allowance(self, principal: str) -> Allowance | None:
            return UNBOUNDED

    assert bounds_qos(Terse())


@pytest.mark.parametrize("over", [OnlyActive, EnrollmentRights, LearningRights])
def test_every_authorizer_over_another_passes_them_on(over: type) -> None:
    assert issubclass(over, PassedOn)
