"""What is remembered while learning: who did what, how often, when, how large. No payloads.

Bounded for each identity and for all; what finds no room is counted. After a proposal, what is done is judged
by it as well, without effect.
"""

import threading
from collections.abc import Callable

from msgspec.structs import replace

from bollard.base.types import Principal
from bollard.policy.compile import Policy
from bollard.policy.learn import ACTIONS
from bollard.server.learning_records import LearningState, Seen

#: What is remembered (attack: endless topics): of one identity, of all, and the longest topic.
MAX_TOPICS = 1000
MAX_ALL_TOPICS = 20_000
MAX_TOPIC_CHARS = 512
MAX_LEFT_OUT = 10_000
#: Things that the proposal would deny that are listed.
MAX_WOULD_DENY = 1000

_Key = tuple[str, str, str]


class Memory:
    """`engine.ports.Tap` that remembers, and judges by a shadow policy if there is one."""

    def __init__(
        self, state: LearningState, learns: Callable[[Principal], bool], clock: Callable[[], float]
    ) -> None:
        self._state = state
        self._learns = learns
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[_Key, Seen] = {(s.identity, s.right, s.topic): s for s in state.seen}
        self._topics: dict[str, int] = {}
        for seen in state.seen:
            self._topics[seen.identity] = self._topics.get(seen.identity, 0) + 1
        self._shadow: Policy | None = None
        self._verdicts: dict[_Key, bool] = {}
        self._would_deny: dict[_Key, Seen] = {(s.identity, s.right, s.topic): s for s in state.would_deny}

    # The engine's tap, on the loop -------------------------------------------------------------------

    def published(
        self, principal: Principal, topic: str, qos: int, retain: bool, size: int, allowed: bool
    ) -> None:
        if self._learns(principal):
            with self._lock:
                self._note(principal, "publish", topic, qos, size, allowed)
                if retain:
                    self._note(principal, "retain", topic, qos, size, allowed)

    def subscribed(self, principal: Principal, filter: str, group: str, qos: int, allowed: bool) -> None:
        if self._learns(principal):
            with self._lock:
                self._note(principal, "subscribe", filter, qos, 0, allowed)
                if group:
                    self._note(principal, "share", group, qos, 0, allowed)

    def left_will(
        self, principal: Principal, topic: str, qos: int, retain: bool, size: int, allowed: bool
    ) -> None:
        if self._learns(principal):
            with self._lock:
                self._note(principal, "will", topic, qos, size, allowed)
                if retain:
                    self._note(principal, "retain", topic, qos, size, allowed)

    def _note(self, identity: str, right: str, topic: str, qos: int, size: int, allowed: bool) -> None:
        now = self._clock()
        key = (identity, right, topic)
        seen = self._seen.get(key)
        if seen is None:
            topics = self._topics.get(identity, 0)
            if topics >= MAX_TOPICS or len(self._seen) >= MAX_ALL_TOPICS or len(topic) > MAX_TOPIC_CHARS:
                left_out = self._state.left_out
                if identity in left_out or len(left_out) < MAX_LEFT_OUT:
                    left_out[identity] = left_out.get(identity, 0) + 1
                return
            self._topics[identity] = topics + 1
            seen = self._seen[key] = Seen(identity=identity, right=right, topic=topic, first=now, last=now)
        _count(seen, now, qos, size)
        seen.allowed = allowed
        if self._shadow is not None and allowed:
            self._judge(self._shadow, key, now, qos, size)

    def _judge(self, shadow: Policy, key: _Key, now: float, qos: int, size: int) -> None:
        verdict = self._verdicts.get(key)
        if verdict is None:
            identity, right, topic = key
            verdict = self._verdicts[key] = shadow.decide(identity, ACTIONS[right], topic).allowed
        self._state.judged += 1
        if verdict:
            return
        denied = self._would_deny.get(key)
        if denied is None:
            if len(self._would_deny) >= MAX_WOULD_DENY:
                return
            denied = Seen(identity=key[0], right=key[1], topic=key[2], first=now, last=now)
            self._would_deny[key] = denied
        _count(denied, now, qos, size)

    # For other threads -------------------------------------------------------------------------------

    @property
    def until(self) -> float:
        """When learning ends, in seconds since the epoch."""
        return self._state.until

    def end(self, at: float) -> None:
        """Learning ends at `at`, if not before."""
        with self._lock:
            self._state.until = min(self._state.until, at)

    def judge_by(self, shadow: Policy | None) -> None:
        """Judge by `shadow` from now on; counts go on."""
        with self._lock:
            self._shadow = shadow
            self._verdicts.clear()

    def proposed(self, rules: str, shadow: Policy, at: float) -> None:
        """Keep the text of a proposal, and judge by the policy with it. Counts begin anew."""
        with self._lock:
            self._state.proposal, self._state.proposed_at = rules, at
            self._state.judged = 0
            self._would_deny.clear()
            self._shadow = shadow
            self._verdicts.clear()

    def snapshot(self) -> LearningState:
        """Everything as of now, to be kept or looked at."""
        with self._lock:
            return replace(
                self._state,
                seen=[replace(seen) for seen in self._seen.values()],
                left_out=dict(self._state.left_out),
                would_deny=[replace(seen) for seen in self._would_deny.values()],
            )


def _count(seen: Seen, now: float, qos: int, size: int) -> None:
    seen.count += 1
    seen.last = now
    seen.qos = max(seen.qos, qos)
    seen.size = max(seen.size, size)
