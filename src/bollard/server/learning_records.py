"""Records of learning: what is kept of what was seen, and what control asks and answers. No behaviour."""

import msgspec

#: How long is learned unless somebody says otherwise, and at most.
LEARN_LIFE_S = 7 * 86_400.0
MAX_LIFE_S = 90 * 86_400.0

#: What a device may use while it is learned, beside what policy grants: topics with its own name in a level.
OWN_TOPICS = ("${id}/#", "+/${id}/#", "+/+/${id}/#", "+/+/+/${id}/#")


class Seen(msgspec.Struct, kw_only=True):
    """What one identity has done on one topic; the fields are those of `policy.learn.Observation`."""

    identity: str
    right: str
    topic: str
    first: float
    last: float
    count: int = 0
    qos: int = 0
    size: int = 0
    allowed: bool = True


class LearningState(msgspec.Struct, kw_only=True):
    """Learning as it is kept on disk. Times in seconds since the epoch.

    `who` is as in a grant, `ceiling` are filters. `left_out` counts, by identity, what found no room.
    `proposal` is the text of the rules that were proposed last, `would_deny` what has been allowed since that
    they would deny.
    """

    who: tuple[str, ...]
    ceiling: tuple[str, ...]
    started_at: float
    until: float
    seen: list[Seen] = []
    left_out: dict[str, int] = {}
    proposal: str = ""
    proposed_at: float = 0.0
    judged: int = 0
    would_deny: list[Seen] = []


class LearnStart(msgspec.Struct, frozen=True, tag_field="op", tag="learn_start", forbid_unknown_fields=True):
    """Learn what `who` does for `life_s` seconds: identities, "group:NAME", or "*". Meanwhile they may use
    `ceiling` too, filters as in a policy."""

    who: tuple[str, ...]
    life_s: float = LEARN_LIFE_S
    ceiling: tuple[str, ...] = OWN_TOPICS


class AskLearning(
    msgspec.Struct, frozen=True, tag_field="op", tag="learn_status", forbid_unknown_fields=True
):
    """How learning stands."""


class LearnPropose(
    msgspec.Struct, frozen=True, tag_field="op", tag="learn_propose", forbid_unknown_fields=True
):
    """Propose rules by what was seen, and judge by them, without effect, what is done from now on."""

    applications: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()
    complete: bool = False


class LearnStop(msgspec.Struct, frozen=True, tag_field="op", tag="learn_stop", forbid_unknown_fields=True):
    """End learning. With `forget` what was seen is forgotten, with `applied` because its rules are in force."""

    forget: bool = False
    applied: bool = False


class LearningInfo(msgspec.Struct, frozen=True, kw_only=True):
    """How learning stands: `phase` is "off", "learning", or "over" when its time is up or it was stopped.

    `messages` counts what was seen, `denied` what of it was refused. `proposal` is the text of the rules that
    were proposed last; `judged` counts what was done since and `would_deny` lists what of it they would deny.
    """

    phase: str = "off"
    who: tuple[str, ...] = ()
    ceiling: tuple[str, ...] = ()
    started_at: float = 0.0
    until: float = 0.0
    identities: int = 0
    topics: int = 0
    messages: int = 0
    denied: int = 0
    left_out: dict[str, int] = {}
    proposal: str = ""
    proposed_at: float = 0.0
    judged: int = 0
    would_deny: tuple[Seen, ...] = ()


class LeftOut(msgspec.Struct, frozen=True):
    """Something that was seen and that no rule is proposed for."""

    identity: str
    right: str
    topic: str
    count: int
    reason: str


class LearnProposal(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal: `text` for people, `rules` for the policy file, "" if there is nothing to propose.

    Of the `messages` seen, `passes` would pass under the policy with these rules.
    """

    text: str
    rules: str
    members: int
    messages: int
    passes: int
    suspects: dict[str, str]
    left_out: tuple[LeftOut, ...]
