"""Learning in the running broker: who is learned may use a ceiling for a while, and what they do is noted.

    the ceiling   `LearningRights` stands before the policy and says yes where it is only silent: an explicit
                  deny, a revocation and what belongs to the server stay as they are. It ends by itself.
    the memory    what is done goes to `learning_memory.py`, the engine's tap
    the shadow    after a proposal, what is done is judged by it as well, without effect

Nothing here is asked or called while nothing is learned. What is made of the memory is in `policy/learn.py`.
"""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bollard.base.allowance import PassedOn
from bollard.base.errors import ConfigError, LocalError
from bollard.base.toml import Document
from bollard.base.types import Action, Decision, Principal
from bollard.engine.ports import Authorizer, Tap
from bollard.identity.files import write_private
from bollard.policy.compile import Policy
from bollard.policy.learn_text import add_rules
from bollard.policy.model import Rules
from bollard.policy.rules import parse_policy, read_rules
from bollard.server.learning_memory import MAX_ALL_TOPICS, Memory
from bollard.server.learning_records import MAX_LIFE_S, LearningInfo, LearningState, LearnStart

#: A state file larger than this is none of ours.
MAX_FILE_BYTES = 64 * 1024 * 1024

RULE = "learning"
_ALLOWED = Decision(True, RULE, "it is being learned, within the ceiling")


class LearningRights(PassedOn):
    """`engine.ports.Authorizer` that lets those who are learned use the ceiling where policy is silent.

    `tap` is what the engine tells of what is done.
    """

    def __init__(self, others: Authorizer, ceiling: Policy, learns: Callable[[str], bool], tap: Tap) -> None:
        super().__init__(others)
        self._others = others
        self._ceiling = ceiling
        self._learns = learns
        self.tap = tap

    def decide(self, principal: Principal, action: Action, topic: str) -> Decision:
        decision = self._others.decide(principal, action, topic)
        # Whoever joins a shared group takes messages away from others: no ceiling lets anybody do that.
        if decision.allowed or decision.rule or action is Action.SHARE or not self._learns(principal):
            return decision
        return _ALLOWED if self._ceiling.decide(principal, action, topic).allowed else decision


class Learning:
    """What is learned in one state directory, and kept in a file of it. For any thread."""

    def __init__(
        self,
        path: Path,
        record: Callable[..., None] = lambda kind, **facts: None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Go on with what is at `path`. Raises LocalError. `record` writes to the audit log."""
        self._path = path
        self._record = record
        self._clock = clock
        self._ceiling: Policy | None = None
        self._learned: dict[str, bool] = {}
        self._in_force = False
        self._saving = threading.Lock()
        state = _load(path)
        self._memory = Memory(state, self._learns, clock) if state is not None else None

    # --- operations ----------------------------------------------------------------------------------

    def start(self, request: LearnStart, rules: Rules) -> LearningInfo:
        """Begin to learn. Raises LocalError if something is learned already, or the request is wrong."""
        if not 60 <= request.life_s <= MAX_LIFE_S:
            raise LocalError("learning takes from a minute to 90 days", 'Write --for as "7d" or "12h".')
        _ceiling_policy(request.who, request.ceiling, rules)
        if self.active:
            raise LocalError(
                "something is being learned already",
                "Look at it with bollard learn status, or stop it first.",
            )
        now = self._clock()
        state = LearningState(
            who=request.who, ceiling=request.ceiling, started_at=now, until=now + request.life_s
        )
        self._memory = Memory(state, self._learns, self._clock)
        self._forget_answers()
        self.save()
        who, ceiling = list(request.who), list(request.ceiling)
        self._record("learning.started", who=who, ceiling=ceiling, life_s=round(request.life_s))
        return self.info()

    def stop(self, *, forget: bool, applied: bool) -> LearningInfo:
        """End learning: the ceiling counts no more. Raises LocalError if nothing was ever learned.

        What has ended before is not noted a second time, unless it is forgotten now or was applied.
        """
        memory = self._memory
        if memory is None:
            raise LocalError("nothing is being learned", "Begin with bollard learn start ID.")
        now = self._clock()
        state = memory.snapshot()
        if not (forget or applied or self.active):
            return self.info()
        if forget:
            with self._saving:
                self._memory = None
                self._path.unlink(missing_ok=True)
        else:
            memory.end(now)
            self.save()
        self._record("learning.applied" if applied else "learning.stopped", who=list(state.who))
        return self.info()

    def state(self) -> LearningState:
        """What was learned so far. Raises LocalError if nothing was."""
        if self._memory is None:
            raise LocalError("nothing was learned yet", "Begin with bollard learn start ID.")
        return self._memory.snapshot()

    def proposed(self, rules: str, shadow: Policy) -> None:
        """Keep the text of a proposal, and judge by `shadow`, the policy with it, from now on."""
        memory = self._memory
        if memory is not None:
            memory.proposed(rules, shadow, self._clock())
            self.save()
            self._record("learning.proposed", who=list(memory.snapshot().who))

    def info(self) -> LearningInfo:
        """How it stands."""
        if self._memory is None:
            return LearningInfo()
        state = self._memory.snapshot()
        seen = [one for one in state.seen if one.right != "retain"]
        return LearningInfo(
            phase="learning" if self.active else "over",
            who=state.who,
            ceiling=state.ceiling,
            started_at=state.started_at,
            until=state.until,
            identities=len({one.identity for one in seen}),
            topics=len(state.seen),
            messages=sum(one.count for one in seen),
            denied=sum(one.count for one in seen if not one.allowed),
            left_out=state.left_out,
            proposal=state.proposal,
            proposed_at=state.proposed_at,
            judged=state.judged,
            would_deny=tuple(sorted(state.would_deny, key=lambda one: -one.count)),
        )

    def save(self) -> None:
        """Write what was learned to disk. Raises LocalError."""
        with self._saving:
            if self._memory is not None:
                write_private(self._path, msgspec.json.encode(self._memory.snapshot()))

    # --- in the broker -------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether the ceiling counts now."""
        return self._memory is not None and self._clock() < self._memory.until

    def lapsed(self) -> bool:
        """Whether the ceiling stands over the policy although its time is up."""
        return self._in_force and not self.active

    def weaknesses(self) -> tuple[str, ...]:
        """A sentence while the ceiling counts."""
        if not self.active:
            return ()
        state = self.state()
        end = datetime.fromtimestamp(state.until, UTC).strftime("%Y-%m-%d %H:%M")
        who, ceiling = ", ".join(state.who), ", ".join(state.ceiling)
        return (f"learning: until {end} UTC, {who} may use {ceiling} beside what policy grants",)

    def over(
        self, others: Authorizer, policy: Path, rules: Rules, templates: Callable[[], Mapping[str, str]]
    ) -> Authorizer:
        """`others`, with the ceiling over it while something is learned. `rules` are those in `policy`,
        `templates` gives identity to template."""
        memory = self._memory
        self._in_force = False
        if memory is None or not self.active:
            return others
        state = memory.snapshot()
        self._forget_answers()
        try:
            self._ceiling = _ceiling_policy(state.who, state.ceiling, rules)
        except LocalError:  # a group that the policy does not have any more: nobody is learned
            return others
        memory.judge_by(_shadow(policy, state.proposal, templates()))
        self._in_force = True
        return LearningRights(others, self._ceiling, self._learns, memory)

    def _learns(self, principal: Principal) -> bool:
        known = self._learned.get(principal)
        if known is None:
            ceiling = self._ceiling
            if ceiling is None:
                return False
            if len(self._learned) > MAX_ALL_TOPICS:
                self._learned.clear()
            known = self._learned[principal] = bool(ceiling.applied(principal))
        return known

    def _forget_answers(self) -> None:
        self._ceiling = None
        self._learned = {}


def _load(path: Path) -> LearningState | None:
    try:
        if not path.exists():
            return None
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError("it is too large")
        return msgspec.json.decode(path.read_bytes(), type=LearningState)
    except OSError as error:
        raise LocalError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise LocalError(
            f"{path} is damaged: {error}", "Remove it: only what was learned and not applied is lost."
        ) from None


def _ceiling_policy(who: tuple[str, ...], ceiling: tuple[str, ...], rules: Rules) -> Policy:
    """A policy that grants `who` the `ceiling` and nobody anything else. Raises LocalError."""
    quoted = msgspec.json.encode
    lines = ["version = 1"]
    for group in rules.groups.values():
        name, members = quoted(group.name).decode(), quoted(group.members).decode()
        lines.append(f"[group.{name}]\nmembers = {members}")
    filters = quoted(ceiling).decode()
    rights = "\n".join(f"{right} = {filters}" for right in ("publish", "subscribe", "retain", "will"))
    lines.append(f"[grant.{RULE}]\nwho = {quoted(who).decode()}\n{rights}\n")
    try:
        return Policy(read_rules(Document(Path("learning"), "\n".join(lines))), {})
    except ConfigError as error:
        raise LocalError(error.message, error.remedy) from None


def _shadow(policy: Path, proposal: str, templates: Mapping[str, str]) -> Policy | None:
    """The policy in the file `policy` with `proposal`; None if there is none, or they do not fit any more."""
    if not proposal:
        return None
    try:
        return shadow_policy(policy, proposal, templates)
    except (LocalError, OSError, UnicodeDecodeError):
        return None


def shadow_policy(policy: Path, proposal: str, templates: Mapping[str, str]) -> Policy:
    """The policy in the file `policy` with the rules of `proposal`. Raises LocalError."""
    if not proposal:
        return Policy(parse_policy(policy), templates, datetime.now(UTC))
    text = add_rules(policy, policy.read_text("utf-8-sig"), proposal)
    return Policy(read_rules(Document(policy, text)), templates, datetime.now(UTC))
