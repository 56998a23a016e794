"""What a device is told of its own denials, on a topic that it alone may read: `$diag/ID/denied`.

An observer: it turns refusals into messages and alters none. A device whose QoS 0 messages vanish, or that
speaks 3.1.1, learns of it nowhere else. Each message is one JSON object; it is published and not retained.
"""

import json
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime

from bollard.base.events import AccessDenied, Event, LimitReached
from bollard.base.types import ANONYMOUS, Action, Principal
from bollard.policy.cases import ACTIONS
from bollard.policy.compile import Policy, denied_topic
from bollard.policy.explain import why
from bollard.policy.model import IDENTITY

#: Messages to one identity: so many at once, and one in so many seconds after that.
BURST = 10
GAP_S = 1.0
#: Messages to all together in a second: finding the nearest rule takes time, and a fleet may be misconfigured.
MAX_PER_S = 50
#: Identities whose rate is remembered.
MAX_IDENTITIES = 10_000
#: Longest text of a field; topics may be much longer.
MAX_TEXT_CHARS = 300
#: What limits of policy are called in events.
POLICY_LIMIT = "policy."


class Diagnosis:
    """Publishes what was denied. Call `observe` with every event, on the loop."""

    def __init__(
        self,
        publish: Callable[[str, bytes], None],
        policy: Callable[[], Policy],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`publish` sends a message of the server's own, `policy` gives the one in force, `clock` seconds
        since the epoch."""
        self._publish = publish
        self._policy = policy
        self._clock = clock
        self._rates: OrderedDict[Principal, _Bucket] = OrderedDict()
        self._all = _Bucket(MAX_PER_S, 1 / MAX_PER_S, clock())

    def observe(self, event: Event) -> None:
        """Tell the identity that `event` is about, if it is a refusal by policy."""
        match event:
            case AccessDenied():
                fields = {"action": event.action, "topic": event.topic, "rule": event.rule}
                self._tell(event.principal, fields | {"reason": event.reason})
            case LimitReached() if event.limit.startswith(POLICY_LIMIT):
                action, _, detail = event.detail.partition(": ")
                limit = event.limit.removeprefix(POLICY_LIMIT)
                self._tell(event.principal, {"action": action, "limit": limit, "reason": detail})

    def _tell(self, principal: Principal, fields: dict[str, str]) -> None:
        if principal == ANONYMOUS or not IDENTITY.fullmatch(principal):
            return
        now = self._clock()
        rate = self._rates.setdefault(principal, _Bucket(BURST, GAP_S, now))
        self._rates.move_to_end(principal)
        if len(self._rates) > MAX_IDENTITIES:
            self._rates.popitem(last=False)
        if not rate.take(now) or not self._all.take(now):
            rate.left_out += 1
            return
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
        }
        told |= {key: value[:MAX_TEXT_CHARS] for key, value in fields.items() if value}
        if not fields.get("rule") and "limit" not in fields:
            told |= self._nearest(principal, fields["action"], fields["topic"])
        if rate.left_out:
            told["left_out"], rate.left_out = rate.left_out, 0
        self._publish(denied_topic(principal), json.dumps(told).encode())

    def _nearest(self, principal: Principal, action: str, topic: str) -> dict[str, object]:
        """The granted filter that comes nearest, and the rule that it stands in."""
        asked = ACTIONS.get(action, Action.PUBLISH)
        near = why(self._policy(), principal, asked, topic).nearest
        return {"nearest": {"rule": near.rule, "filter": near.filter, "level": near.level}} if near else {}


class _Bucket:
    """So many at once, then one in `gap_s`; `left_out` counts what found it empty."""

    __slots__ = ("_at", "_burst", "_gap_s", "_level", "left_out")

    def __init__(self, burst: int, gap_s: float, now: float) -> None:
        self._burst = self._level = float(burst)
        self._gap_s = gap_s
        self._at = now
        self.left_out = 0

    def take(self, now: float) -> bool:
        self._level = min(self._level + max(now - self._at, 0.0) / self._gap_s, self._burst)
        self._at = now
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True
