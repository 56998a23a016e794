"""The policy in force: read from its file, compiled against the registry, renewed when either changes.

A file that cannot be read or is wrong never opens or closes anything: the rules in force stay, and the
caller gets the error to shout about.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from bollard.base.errors import ConfigError
from bollard.identity.records import Snapshot
from bollard.identity.revoke import OnlyActive
from bollard.policy.compile import Policy
from bollard.policy.rules import parse_policy

#: Modification time, size and inode: together they change with every edit that matters.
_Stamp = tuple[int, int, int]
#: A file that was written later than this many seconds ago may still be half of what it is going to be.
SETTLE_S = 0.5


class Access:
    """Rules of one file together with the templates of the registry."""

    def __init__(self, path: Path, templates: Callable[[], Mapping[str, str]]) -> None:
        """Read the file at `path`; raises ConfigError. `templates` gives identity to template, as of now."""
        self.path = path
        self._templates = templates
        self._stamp = _stamp(path)
        self._rules = parse_policy(path)
        self._changes_at: datetime | None = None
        self._current: Policy | None = None
        #: Why the file is not in force as it is now; "" if it is.
        self.fault = ""

    def policy(self) -> Policy:
        """What holds now: compile anew for the present registry and time."""
        policy = self._current = Policy(self._rules, self._templates(), datetime.now(UTC))
        self._changes_at = policy.changes_at
        return policy

    def current(self) -> Policy:
        """The policy that `policy` gave last: what the broker decides by."""
        return self._current or self.policy()

    def weaknesses(self) -> tuple[str, ...]:
        """What the options of the policy file weaken, in sentences."""
        if not self._rules.allow_foreign_response_topics:
            return ()
        return ("policy: messages may ask for answers where their sender may not read",)

    def authorizer(self, registry: Snapshot) -> OnlyActive:
        """What the engine asks: the policy that holds now, for who is active in `registry`."""
        return OnlyActive(self.policy(), registry)

    def expired(self) -> bool:
        """Whether a grant has begun or ended since the last `policy`, so that a new one is due."""
        return self._changes_at is not None and datetime.now(UTC) >= self._changes_at

    def changed(self) -> bool:
        """Whether the file differs from when it was last read, or tried. A missing file counts once.

        One that is just being written does not count yet: its first half may be a whole policy without the
        denials that follow.
        """
        stamp = _stamp(self.path)
        return stamp != self._stamp and not 0 <= time.time() - stamp[0] / 1e9 < SETTLE_S

    def reload(self) -> None:
        """Read the file again. Raises ConfigError and keeps the rules in force if it is wrong."""
        self._stamp = _stamp(self.path)
        try:
            self._rules = parse_policy(self.path)
            self.fault = ""
        except ConfigError as error:
            self.fault = str(error)
            error.remedy = f"{error.remedy} The policy that was in force stays in force.".strip()
            raise


def _stamp(path: Path) -> _Stamp:
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_size, status.st_ino)
