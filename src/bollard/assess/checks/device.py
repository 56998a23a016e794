"""The DEV checks: pure judgement over the visits of a device. Their texts are rows in device.toml.

A finding needs no more than one visit. A good verdict needs a device that went on at the good endpoint, and as
many refusals as attempts were wanted: silence is none.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise
from statistics import median
from typing import Any

from bollard.assess.checks.rows import definition, rows
from bollard.assess.model import (
    Caution,
    Check,
    Duty,
    Facts,
    Severity,
    State,
    Verdict,
    fails,
    passes,
    unsure,
    untested,
)
from bollard.assess.trap.evidence import OVERSIZE, RUNGS, Rung, Stay, Trapped, Visit

#: Whoever waits so long between connections burdens nobody, growing waits or not.
POLITE_GAP_S = 10.0
#: Waits that are seen before they are judged, and how much longer the later half must be than the first.
MIN_GAPS, GROWTH = 3, 1.5
#: Findings of these checks do not get worse with what the device sent.
_FIXED = {"DEV-09", "DEV-10", "DEV-12"}
_CLOCK = {"DEV-04", "DEV-05"}
_NO_TLS = "The device speaks MQTT without TLS here, so there is nothing to verify: see DEV-13."

_Judge = Callable[[Stay, Trapped], Verdict]


def judge_stay(id: str) -> Callable[[Facts], Verdict]:
    """The judgement of the check `id`, or why there is none."""
    judgement = _JUDGES.get(id, _impostor)

    def judge(facts: Facts) -> Verdict:
        trapped = facts.get(Trapped)
        if id in trapped.skipped:
            return _left_out(id, trapped)
        stay = trapped.stays.get(id)
        if stay is None:
            return untested("this endpoint was not asked for")
        found = judgement(stay, trapped)
        if found.state is State.PASS and stay.turned_away:
            # Else a device could hide the one bad connection in a flood of good ones.
            return unsure(
                f"{found.observed} But {stay.turned_away} more of its connections were cut off unseen.",
                shown=found.evidence,
            )
        return found

    return judge


def _left_out(id: str, trapped: Trapped) -> Verdict:
    reason = trapped.skipped[id]
    if id == "DEV-20":
        asked = [
            each
            for stay in (trapped.control, *trapped.stays.values())
            for each in stay.visits
            if each.early_data
        ]
        if asked:
            return fails(
                "A ClientHello asked to send early data.", visits=len(asked), severity=Severity.MEDIUM
            )
    return unsure(_sentence(reason)) if reason.startswith("void") else untested(reason)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _impostor(stay: Stay, trapped: Trapped) -> Verdict:
    """Endpoints whose certificate or TLS should end the handshake."""
    shown = _shown(stay)
    if stay.rung >= Rung.HANDSHAKE and not all(each.plaintext for each in stay.visits if each.rung):
        severity = None
        if stay.check not in _FIXED and stay.rung >= Rung.CREDENTIAL:
            severity = Severity.CRITICAL
        return fails(
            f"The device {RUNGS[Rung(stay.rung)]}.",
            shown=shown,
            proven=stay.rung >= Rung.CONNECT,
            severity=severity,
        )
    if any(each.plaintext for each in stay.visits):
        return unsure(_NO_TLS, shown=shown)
    if stay.check == "DEV-11" and (offers := _weak_offers(trapped)):
        return fails(
            "Its ClientHello offers broken suites.", shown=shown, offers=offers, severity=Severity.MEDIUM
        )
    return _refused(stay, trapped, shown)


def _refused(stay: Stay, trapped: Trapped, shown: dict[str, Any]) -> Verdict:
    """Nothing bad was seen; was enough seen?"""
    count = len(stay.tries)
    if not count:
        return unsure(_silence(stay), shown=shown)
    if not trapped.trusts:
        return unsure(
            "Void: the device refused this endpoint, and the good one as well: it does not trust the test root.",
            shown=shown,
        )
    if count < stay.wanted:
        return unsure(f"The device refused, but came only {count} of {stay.wanted} times.", shown=shown)
    clock = " It has a clock, or takes no certificate at all without one." if stay.check in _CLOCK else ""
    return passes(f"The device refused each time ({count}).{clock}", shown=shown)


def _silence(stay: Stay) -> str:
    if stay.visits:
        return f"The device connected here, and within {stay.watched_s:.0f} s came to nothing that can be judged."
    return f"The device did not come here within {stay.watched_s:.0f} s" + (
        f"; {stay.command}." if stay.command else "; that says nothing."
    )


def _plaintext(stay: Stay, trapped: Trapped) -> Verdict:
    open_visits = [each for each in (*stay.visits, *stay.decoy, *trapped.control.visits) if each.plaintext]
    shown = _shown(stay)
    if open_visits:
        rung = max(each.rung for each in open_visits)
        severity = Severity.CRITICAL if rung >= Rung.CREDENTIAL else None
        return fails(
            f"Without TLS, the device {RUNGS[Rung(rung)]}.", shown=shown, proven=True, severity=severity
        )
    if not stay.tries:
        return unsure(_silence(stay), shown=shown)
    if not trapped.trusts:
        return unsure("Void: it did not go without TLS, but refused the good endpoint as well.", shown=shown)
    if len(stay.tries) < stay.wanted:
        return unsure(f"The device tried only {len(stay.tries)} of {stay.wanted} times.", shown=shown)
    return passes(
        f"TLS was cut each time ({len(stay.tries)}), and the device did not go without.", shown=shown
    )


def _scram(stay: Stay, trapped: Trapped) -> Verdict:
    proofs = [each for each in stay.visits if each.proof_sent and (each.ended != "cut" or each.acted)]
    shown = _shown(stay)
    if not proofs:
        if not stay.tries:
            return unsure(_silence(stay), shown=shown)
        return untested("void: the device does not use SCRAM")
    if any(each.acted for each in proofs):
        return fails("The device went on after a signature that proves nothing.", shown=shown, proven=True)
    if any(each.ended == "ours" for each in proofs):
        return unsure("The device neither went on nor hung up.", shown=shown)
    return passes("The device hung up at the wrong signature.", shown=shown)


def _malformed(stay: Stay, trapped: Trapped) -> Verdict:
    cases = [each for each in stay.visits if each.case and (each.ended != "cut" or each.accepted)]
    shown = _shown(stay) | {"cases": list(dict.fromkeys(each.case for each in cases))}
    if stay.crashed:
        return fails(f"The device's program crashed: {stay.command}.", shown=shown, proven=True)
    taken = list(dict.fromkeys(each.case for each in cases if each.accepted))
    if taken:
        return fails(
            f"The device took a command right after {taken[0]}.", shown=shown, proven=True, taken=taken
        )
    # Who waits for what was announced does nothing wrong, if it has not made room for all of it at once.
    waited = {each.case for each in cases if each.ended == "ours"}
    stuck = [case for case in dict.fromkeys(each.case for each in cases) if case in waited - {OVERSIZE}]
    if stuck:
        return unsure(f"The device neither hung up nor went on after {stuck[0]}.", shown=shown, stuck=stuck)
    if len(cases) < stay.wanted:
        return unsure(f"The device came to only {len(cases)} of {stay.wanted} cases.", shown=shown)
    hung_up = sum(each.case not in waited for each in cases)
    patient = ", waited for one of 256 MiB" if OVERSIZE in waited else ""
    return passes(f"The device hung up at {hung_up} malformed packets{patient}, and came back.", shown=shown)


def _method_refused(stay: Stay, trapped: Trapped) -> Verdict:
    shown = _shown(stay)
    first = next((at for at, each in enumerate(stay.visits) if each.method), None)
    if first is None:
        return (
            untested("void: the device does not use enhanced authentication")
            if stay.tries
            else unsure(_silence(stay), shown=shown)
        )
    if any(each.credential and not each.method for each in stay.visits[first:]):
        return fails("Refused, the device came back with a plain password.", shown=shown, proven=True)
    if len(stay.tries) < stay.wanted:
        return unsure(f"The device came only {len(stay.tries)} of {stay.wanted} times.", shown=shown)
    return passes("Refused, the device sent no plain password.", shown=shown)


def _redirected(stay: Stay, trapped: Trapped) -> Verdict:
    shown = _shown(stay)
    if stay.decoy:
        rung = max(each.rung for each in stay.decoy)
        severity = Severity.CRITICAL if rung >= Rung.CREDENTIAL else None
        return fails(
            f"At the other server, the device {RUNGS[Rung(rung)]}.",
            shown=shown,
            proven=True,
            severity=severity,
        )
    told = [each for each in stay.visits if each.mqtt == 5]
    if not told:
        return (
            untested("void: MQTT 3.1.1 has no redirection")
            if stay.tries
            else unsure(_silence(stay), shown=shown)
        )
    if len(stay.tries) < stay.wanted:
        return unsure(f"The device came only {len(stay.tries)} of {stay.wanted} times.", shown=shown)
    return passes("The device did not go to the other server.", shown=shown)


def _commanded(stay: Stay, trapped: Trapped) -> Verdict:
    shown = _shown(stay)
    if any(each.accepted for each in stay.visits):
        return fails(
            "The device took commands of an impostor.", shown=shown, proven=True, severity=Severity.CRITICAL
        )
    if stay.rung >= Rung.CONNECT and not any(each.plaintext for each in stay.visits):
        return unsure(
            "The device accepted the impostor, and took no command while it was watched.", shown=shown
        )
    return _impostor(stay, trapped)


def _reconnects(stay: Stay, trapped: Trapped) -> Verdict:
    times = sorted(each.at_s for each in stay.visits if each.greeted or each.plaintext)
    gaps = [round(later - earlier, 2) for earlier, later in pairwise(times)]
    shown = _shown(stay) | {"waits_s": gaps[:20]}
    if not times:
        return unsure(_silence(stay), shown=shown)
    growing = all(later >= GROWTH * earlier for earlier, later in pairwise(gaps))
    if len(gaps) < MIN_GAPS and not (growing and len(gaps) == MIN_GAPS - 1):
        if stay.command:
            return untested(f"void: {stay.command} rather than connect again")
        if stay.watched_s / len(times) >= POLITE_GAP_S:
            return passes(f"It came {len(times)} times in {stay.watched_s:.0f} s.", shown=shown)
        return unsure("The device came too rarely to judge how it waits.", shown=shown)
    # Of halves, not of the first and the last: one wait is longer by chance, on a busy machine.
    half = len(gaps) // 2
    early, late = median(gaps[:half]), median(gaps[half:])
    if gaps[-1] >= POLITE_GAP_S or late >= GROWTH * max(early, 0.05):
        return passes("The waits between its connections grow, or are long.", shown=shown)
    return fails(
        f"It came {len(times)} times in {times[-1] - times[0]:.1f} s, without waiting longer.", shown=shown
    )


_JUDGES: dict[str, _Judge] = {
    "DEV-13": _plaintext,
    "DEV-14": _scram,
    "DEV-15": _malformed,
    "DEV-16": _method_refused,
    "DEV-17": _redirected,
    "DEV-18": _commanded,
    "DEV-19": _reconnects,
}


def _weak_offers(trapped: Trapped) -> list[str]:
    stays = (trapped.control, *trapped.stays.values())
    found = {name: None for stay in stays for visit in stay.visits for name in visit.weak_offers}
    return list(found)[:20]


def _shown(stay: Stay) -> dict[str, Any]:
    """The evidence as a report tells it."""
    visits = (*stay.visits, *stay.decoy)
    shown: dict[str, Any] = {
        "visits": len(stay.visits),
        "reached": RUNGS[Rung(stay.rung)] if stay.rung >= 0 else "nothing: it did not come",
        "alerts": _distinct(each.alert for each in visits),
        "reasons": _distinct(each.fault for each in visits),
        "tls": _distinct(each.tls for each in visits),
        "oldest_offer": _distinct(each.lowest_offer for each in visits),
        "mqtt": _distinct(_protocol(each) for each in visits),
        "credential": _distinct(_credential(each) for each in visits),
        "elsewhere": len(stay.decoy),
        "list_fetched": stay.lists_fetched,
    }
    return {key: value for key, value in shown.items() if value not in ([], 0) or key == "visits"}


def _distinct(texts: Iterable[str]) -> list[str]:
    return [each for each in dict.fromkeys(texts) if each]


def _protocol(visit: Visit) -> str:
    return {4: "3.1.1", 5: "5.0"}.get(visit.mqtt, "")


def _credential(visit: Visit) -> str:
    if not visit.credential:
        return "proof of SCRAM" if visit.proof_sent else ""
    return f"{visit.credential} of {visit.credential_bytes} bytes, salted hash {visit.credential_hash}"


_SHARED = {
    "subject": "device",
    "caution": Caution.ACTIVE,
    "requires": (Trapped.__name__,),
    "duty_holder": Duty.DEVICE_MAKER,
}
CHECKS = tuple(Check(definition(row, "e7", **_SHARED), judge_stay(row["id"])) for row in rows("device.toml"))
