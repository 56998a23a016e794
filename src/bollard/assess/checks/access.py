"""SCN checks about rights: each proven by an own canary, or by the broker's own refusal."""

from bollard.assess.checks.rows import check
from bollard.assess.model import Caution, Facts, Verdict, fails, passes, unsure, untested
from bollard.assess.probes.evidence import (
    Bypass,
    Canary,
    Reflection,
    RevocationTrial,
    Takeover,
    Trick,
)

REFUSED = 0x80


def _code(code: int) -> str:
    return f"0x{code:02X}" if code >= 0 else "none"


@check(
    "SCN-14",
    "Anyone's message reaches other clients",
    severity="C",
    group="AZ",
    cwe=862,
    owner="A stranger can send commands to your devices, if they take commands this way.",
    technical="A message on a random topic, to which nobody was given a right, was published by one connection and "
    "received by another: publishing is not restricted.",
    remedy="acl",
    evidence="e2",
    needs=(Canary,),
    caution=Caution.ACTIVE,
)
def publish_anywhere(facts: Facts) -> Verdict:
    canary = facts.get(Canary)
    shown = {
        "sender": canary.sender,
        "receiver": canary.receiver,
        "puback": _code(canary.sent_code),
        "suback": _code(canary.heard_code),
    }
    if canary.arrived:
        return fails("A canary on a random topic was published and received.", proven=True, shown=shown)
    if canary.sent_code >= REFUSED:
        return passes("The broker refused to publish on a random topic.", proven=True, shown=shown)
    if canary.heard_code >= REFUSED:
        return unsure(
            "The receiver may not subscribe to a random topic, so nothing could be seen.", shown=shown
        )
    return unsure(
        "The broker acknowledged and delivered nothing; that may be a right or a fault.", shown=shown
    )


def _judge_tricks(tricks: tuple[Trick, ...], denied: tuple[Trick, ...]) -> Verdict:
    shown = {
        "denied": [each.filter for each in denied],
        "tried": {each.filter: _code(each.code) for each in tricks},
    }
    through = [each.filter for each in tricks if each.arrived]
    if not denied:
        return untested("no subscription was refused, so there is nothing to get around")
    if through:
        return fails(f"A canary came through {', '.join(through)}.", proven=True, shown=shown)
    if all(each.code >= REFUSED for each in tricks):
        return passes("Every other spelling was refused as well.", shown=shown)
    return unsure("Another spelling was granted, and nothing came through it.", shown=shown)


@check(
    "SCN-15",
    "Another spelling of a refused filter works",
    severity="H",
    group="AZ",
    cwe=155,
    owner="The server's rules on who may read what can be got around by asking in different words.",
    technical="A filter that covers the same topics as a refused one, such as +/# for #, was granted and delivered.",
    remedy="acl",
    evidence="e2",
    needs=(Bypass,),
    caution=Caution.ACTIVE,
)
def equivalents(facts: Facts) -> Verdict:
    bypass = facts.get(Bypass)
    return _judge_tricks(bypass.equivalents, bypass.denied)


@check(
    "SCN-16",
    "Shared subscription gets around a refusal",
    severity="H",
    group="AZ",
    cwe=863,
    owner="The server's rules on who may read what can be got around by asking in the name of a group.",
    technical="$share/GROUP/FILTER was granted and delivered although FILTER itself is refused.",
    remedy="acl",
    evidence="e2",
    needs=(Bypass,),
    caution=Caution.ACTIVE,
)
def shared(facts: Facts) -> Verdict:
    bypass = facts.get(Bypass)
    return _judge_tricks(bypass.shared, bypass.denied)


@check(
    "SCN-17",
    "A will is published where publishing is refused",
    severity="H",
    group="AZ",
    cwe=862,
    owner="Somebody who is not allowed to send commands can leave one with the server, which then sends it for them.",
    technical="A CONNECT whose will names a topic to which the client may not publish was accepted, and the will "
    "was delivered when the connection was cut.",
    remedy="acl",
    evidence="e2",
    needs=(Bypass,),
    caution=Caution.ACTIVE,
    references=("CVE-2018-3778",),
)
def will(facts: Facts) -> Verdict:
    bypass = facts.get(Bypass)
    if not bypass.publish_denied:
        return untested("no publish was refused with a reason code, so there is nothing to get around")
    if bypass.will_arrived:
        return fails("The will came through to another client.", proven=True, connect=bypass.will_outcome)
    if bypass.will_outcome in ("refused", "closed"):
        return passes("The CONNECT with such a will was turned away.", connect=bypass.will_outcome)
    # The receiver's own rights may be what kept it away, so its silence proves nothing.
    return unsure("The will was taken, and did not come through to us.", connect=bypass.will_outcome)


@check(
    "SCN-18",
    "Anyone can leave retained messages",
    severity="M",
    group="AZ",
    cwe=862,
    owner="A stranger can leave a command on the server, which gives it to every device that connects later.",
    technical="A retained canary on a random topic reached a later subscriber. It was removed afterwards.",
    remedy="acl",
    evidence="e2",
    needs=(Canary,),
    caution=Caution.ACTIVE,
)
def retain(facts: Facts) -> Verdict:
    canary = facts.get(Canary)
    topic = f"{canary.namespace}/kept"
    shown = {"puback": _code(canary.retained_code), "topic": topic, "cleaned": canary.cleaned}
    if canary.retained_arrived:
        left = f" It could not be removed: clear the topic {topic}." if canary.cleaned is False else ""
        return fails(f"A retained canary reached a later subscriber.{left}", proven=True, shown=shown)
    if canary.sent_code >= REFUSED or canary.retained_code >= REFUSED:
        return passes("The broker refused it.", puback=_code(max(canary.sent_code, canary.retained_code)))
    if canary.arrived:
        return passes("The message was delivered and not retained.", proven=True, shown=shown)
    return unsure("No canary came through, so nothing can be said of retained ones.", shown=shown)


@check(
    "SCN-19",
    "One identity throws out another",
    severity="H",
    group="SE",
    cwe=639,
    owner="Any device, or an intruder with one password, can throw any other device off the server.",
    technical="A second identity connected with the client id of the first, and the first lost its connection.",
    remedy="sessions",
    evidence="e1",
    needs=(Takeover,),
    caution=Caution.ACTIVE,
)
def takeover(facts: Facts) -> Verdict:
    trial = facts.get(Takeover)
    shown = {"second": trial.second_outcome, "disconnect": f"0x{trial.first_code:02X}"}
    if trial.first_ended and trial.second_outcome == "accepted":
        return fails("The first connection ended when the second came.", proven=True, shown=shown)
    if trial.first_ended:
        return unsure("The first connection ended, and the second was not let in.", shown=shown)
    return passes("The first connection stayed.", proven=True, shown=shown)


@check(
    "SCN-20",
    "One identity gets another's session",
    severity="H",
    group="SE",
    cwe=384,
    owner="Any device, or an intruder with one password, can get the messages that are waiting for another device.",
    technical="A second identity resumed the session that the first had left: its subscriptions and its queue.",
    remedy="sessions",
    evidence="e1",
    needs=(Takeover,),
    caution=Caution.ACTIVE,
)
def session_theft(facts: Facts) -> Verdict:
    trial = facts.get(Takeover)
    if trial.session_handed_over:
        return fails("The CONNACK to the second identity said that a session is present.", proven=True)
    if not trial.session_kept:
        return unsure(
            "No session was kept for the first identity either; --own-topic gives it something to subscribe to.",
            second=trial.second_outcome,
        )
    return passes("The second identity got no session.", proven=True, second=trial.second_outcome)


@check(
    "SCN-21",
    "Rights outlive their revocation",
    severity="H",
    group="SE",
    cwe=613,
    owner="Somebody whose access you have ended can still act through what they left on the server.",
    technical="After a revocation, wills, retained or queued messages, subscriptions or sessions of the revoked "
    "identity still have effect. The operator's own command (--revoke-command) revokes it during the scan.",
    remedy="revocation",
    evidence="e2",
    needs=(RevocationTrial,),
    caution=Caution.ACTIVE,
)
def revocation(facts: Facts) -> Verdict:
    trial = facts.get(RevocationTrial)
    shown = {"revoked": trial.revoked, "ended": list(trial.ended), "command_ms": trial.command_ms}
    if trial.still_working:
        ways = list(trial.still_working)
        return fails(
            f"The revocation was outlived by: {', '.join(ways)}.", proven=True, ways=ways, shown=shown
        )
    return passes("Nothing outlived the revocation.", proven=True, shown=shown)


@check(
    "SCN-22",
    "Wildcard in an own id widens rights",
    severity="H",
    group="AZ",
    cwe=155,
    owner="A device that gives itself a certain name gets the rights of all other devices.",
    technical="With the client id +, filters were granted that the same identity is refused with an ordinary id: "
    "the id is put into a pattern of the rules as it is.",
    remedy="acl",
    evidence="e1",
    needs=(Bypass,),
    caution=Caution.ACTIVE,
    references=("CVE-2017-7650",),
)
def wildcard_id(facts: Facts) -> Verdict:
    bypass = facts.get(Bypass)
    if not bypass.wildcard_id:
        return untested("no subscription was refused with an ordinary id, so none can be gained")
    if bypass.wildcard_gained:
        return fails("The client id + gained filters.", gained=list(bypass.wildcard_gained))
    if bypass.wildcard_id == "refused":
        return passes("The client id + was turned away.")
    return passes("The client id + was let in and gained none of the usual filters.")


@check(
    "SCN-24",
    "Response topic makes others write",
    severity="M",
    group="AZ",
    cwe=441,
    owner="A device that may not send a command can get another device to send it.",
    technical="The broker passed on a request whose Response Topic the requester may not write to, and the answer "
    "of a responder that may arrived there. Requester and responder were both our own.",
    remedy="acl",
    evidence="e2",
    needs=(Reflection,),
    caution=Caution.ACTIVE,
)
def reflection(facts: Facts) -> Verdict:
    trial = facts.get(Reflection)
    if trial.arrived:
        return fails("A responder wrote where the requester may not.", proven=True)
    if not trial.passed_on:
        return passes("The request was not passed on with such a Response Topic.", proven=True)
    return unsure("The request was passed on, and the answer to it did not arrive.")


@check(
    "SCN-32",
    "Overlapping subscriptions multiply messages",
    severity="L",
    group="AV",
    cwe=405,
    owner="A single device can have every message sent to it many times over, which slows the server down.",
    technical="One message arrived once for each of several overlapping filters of one client. Both versions of "
    "the specification allow it; it multiplies traffic.",
    remedy="limits",
    evidence="e2",
    needs=(Canary,),
    caution=Caution.ACTIVE,
)
def overlap(facts: Facts) -> Verdict:
    canary = facts.get(Canary)
    if not canary.copies:
        return untested("no canary came through")
    if canary.copies > 1:
        return fails(
            f"One message on four filters came {canary.copies} times.", proven=True, copies=canary.copies
        )
    return passes("One message on four filters came once.", proven=True, copies=1)


CHECKS = (
    publish_anywhere,
    equivalents,
    shared,
    will,
    retain,
    takeover,
    session_theft,
    revocation,
    wildcard_id,
    reflection,
    overlap,
)
