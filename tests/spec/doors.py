"""Who may come in and what they may do, for conversations: everybody and everything, but for named exceptions."""

from dataclasses import dataclass

from bollard.base.authentication import Accepted, Answer, Challenge, Question, Refused
from bollard.base.types import Action, Decision, Principal

STRANGER = "stranger"
FORBIDDEN_ID = "forbidden"
TOLD = "this name is not known here, ask whoever runs the broker"
METHOD = "RIDDLE"


@dataclass(frozen=True)
class Rules:
    """Allows all but `denied`: pairs of an action and a topic (or filter)."""

    denied: frozenset[tuple[Action, str]] = frozenset()

    def decide(self, principal: Principal, action: Action, topic: str) -> Decision:
        allowed = (action, topic) not in self.denied
        return Decision(allowed, "conversation", "as the script says")


def denying(*pairs: tuple[Action, str]) -> Rules:
    return Rules(frozenset(pairs))


class Doorman:
    """Accepts everyone as `everyone`, so that a client id alone decides whose session it is.

    Refuses the user `STRANGER` (0x86) and the client id `FORBIDDEN_ID` (0x85). With the Authentication Method
    `METHOD` it poses riddles: each AUTH with b"again" earns another one, b"right" is accepted, anything else
    is refused (0x87). Other methods are refused (0x8C).
    """

    def answer(self, question: Question) -> Answer:
        if question.method:
            return self._riddle(question)
        if question.client_id == FORBIDDEN_ID:
            return Refused(0x85, "the script forbids this client id")
        if question.username == STRANGER:
            return Refused(0x86, "the script knows no strangers", TOLD)
        return Accepted("everyone")

    def _riddle(self, question: Question) -> Answer:
        if question.method != METHOD:
            return Refused(0x8C, "the script knows one method")
        if question.data in (b"", b"again"):
            return Challenge(b"riddle")
        if question.data == b"right":
            return Accepted("everyone", b"well done")
        return Refused(0x87, "wrong answer")


class Counting:
    """Identifiers that are unique and never surprise; a test needs no randomness."""

    def __init__(self) -> None:
        self.count = 0

    def token(self) -> str:
        self.count += 1
        return f"auto{self.count:020}"
