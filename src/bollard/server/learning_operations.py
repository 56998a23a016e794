"""The operations of learning: from requests to the memory of the broker, or of its state directory, and back."""

from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import asdict

from bollard.base.toml import MAX_FILE_BYTES
from bollard.identity.records import Snapshot
from bollard.policy.learn import ACTIONS, Observation, propose
from bollard.policy.learn_text import fitting, proposal_text, rules_text
from bollard.policy.rules import parse_policy
from bollard.server.learning import Learning, shadow_policy
from bollard.server.learning_records import (
    AskLearning,
    LearningInfo,
    LearnProposal,
    LearnPropose,
    LearnStart,
    LearnStop,
    LeftOut,
)

#: The longest proposal. Two hundred devices of the usual kinds need some kilobytes.
MAX_PROPOSAL_BYTES = 256 * 1024

LearnRequest = LearnStart | AskLearning | LearnPropose | LearnStop


def learn(
    learning: Learning, request: LearnRequest, policy: Path, registry: Snapshot
) -> LearningInfo | LearnProposal:
    """Do what `request` says. Raises LocalError. A running broker has to be told after it."""
    match request:
        case LearnStart():
            return learning.start(request, parse_policy(policy))
        case AskLearning():
            return learning.info()
        case LearnStop():
            return learning.stop(forget=request.forget, applied=request.applied)
        case LearnPropose():
            return _propose(learning, request, policy, registry.templates, registry)


def _room(policy: Path) -> int:
    """Bytes that a proposal may have: half of what the file at `policy` has left, so that people can go on
    editing it, and not so much that reading it takes the broker long."""
    return min((MAX_FILE_BYTES - policy.stat().st_size) // 2, MAX_PROPOSAL_BYTES)


def _propose(
    learning: Learning,
    request: LearnPropose,
    policy: Path,
    templates: Mapping[str, str],
    registry: Snapshot,
) -> LearnProposal:
    seen = [Observation(**asdict(one)) for one in learning.state().seen]
    proposal = propose(
        seen,
        shadow_policy(policy, "", templates),
        registry.identities,
        applications=request.applications,
        trusted=request.trusted,
        complete=request.complete,
    )
    proposal = fitting(proposal, _room(policy))
    rules = rules_text(proposal)
    shadow = shadow_policy(policy, rules, templates)
    learning.proposed(rules, shadow)
    passes = [one for one in seen if shadow.decide(one.identity, ACTIONS[one.right], one.topic).allowed]
    return LearnProposal(
        text=proposal_text(proposal),
        rules=rules,
        members=len({member for rule in proposal.rules for member in rule.members}),
        messages=sum(one.count for one in seen),
        passes=sum(one.count for one in passes),
        suspects=dict(proposal.suspects),
        left_out=tuple(
            LeftOut(one.seen.identity, one.seen.right, one.seen.topic, one.seen.count, one.reason)
            for one in proposal.excluded
        ),
    )
