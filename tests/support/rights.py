"""Authorizers for tests: everything, nothing, and everything but what is named."""

from bollard.base.types import Action, Decision, Principal
from bollard.wire.topics import matches

#: Stands for every principal, every action or every topic in a denial.
ANY = None

Denial = tuple[Principal | None, Action | None, str | None]


class Rights:
    """Allows all but the denials: (principal, action, filter), each of which may be `ANY`.

    For SUBSCRIBE the filter of the denial must equal the one that is asked about. As in a policy, to deny
    PUBLISH is to deny WILL there, too.
    """

    def __init__(self, *denials: Denial) -> None:
        self.denials = denials
        self.asked = 0

    def decide(self, principal: Principal, action: Action, topic: str) -> Decision:
        self.asked += 1
        for who, what, where in self.denials:
            denied = (action, Action.PUBLISH) if action == Action.WILL else (action,)
            if who not in (ANY, principal) or (what is not ANY and what not in denied):
                continue
            if where in (ANY, topic) or (action != Action.SUBSCRIBE and matches(where, topic)):
                return Decision(False, "test", "the test denies it")
        return Decision(True, "test", "the test allows it")


class Broken:
    """An authorizer that fails on every question."""

    def decide(self, principal: Principal, action: Action, topic: str) -> Decision:
        raise RuntimeError("the policy could not be read")
