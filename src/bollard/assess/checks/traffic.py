"""PCP checks about MQTT in the clear. Silence is only good news where all could be read.

Those about TLS, servers and the inventory have their own file, and share the helpers here.
"""

from collections.abc import Callable, Sequence

from bollard.assess.capture.evidence import Seen, Traffic, shown
from bollard.assess.checks.rows import check
from bollard.assess.model import (
    Confidence,
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

#: What one result lists of at most; its sentence tells the whole number.
MAX_LISTED = 50
NO_MQTT = "no MQTT was seen in the capture"
ALL_SECRET = "all MQTT that was seen is inside TLS"  # noqa: S105 -- a sentence


def quiet(traffic: Traffic, sentence: str) -> Verdict:
    """Nothing was seen: good news if all was read, no news otherwise."""
    missing = traffic.unread.total
    if missing:
        return unsure(
            f"{sentence} But not everything could be read: {missing} parts.", unread=_unread(traffic)
        )
    return passes(sentence)


def _unread(traffic: Traffic) -> dict[str, int]:
    unread = traffic.unread
    return {
        name: count for name, count in {**unread.streams, **unread.frames, **unread.talks}.items() if count
    }


def sample(seen: Sequence[Seen]) -> list[str]:
    return shown(tuple(seen[:MAX_LISTED]))


def of_clear_traffic(judge: Callable[[Traffic], Verdict]) -> Callable[[Facts], Verdict]:
    """A judgement over what only MQTT in the clear shows: without any there is nothing to judge, and it says so."""

    def judge_facts(facts: Facts) -> Verdict:
        traffic = facts.get(Traffic)
        if not traffic.mqtt:
            return untested(NO_MQTT)
        return judge(traffic) if traffic.clear else untested(ALL_SECRET)

    return judge_facts


@check(
    "PCP-01",
    "MQTT in the clear",
    severity="H",
    group="TC",
    cwe=319,
    owner="Devices in this network talk unencrypted: anybody on the way, such as a guest in your Wi-Fi, can read "
    "and change what they say.",
    technical="MQTT without TLS was found by its content, on whatever port, over TCP or WebSocket.",
    remedy="tls",
    evidence="e6",
    needs=(Traffic,),
    subject="capture",
)
def in_clear(facts: Facts) -> Verdict:
    traffic = facts.get(Traffic)
    if traffic.clear:
        sentence = f"Connections with MQTT in the clear: {traffic.clear}."
        inside = traffic.clear == traffic.clear_inside
        if inside:
            sentence = f"Connections with MQTT in the clear: {traffic.clear}, all within one machine."
        certain = traffic.clear > traffic.inferred
        return Verdict(
            state=State.FAIL,
            observed=sentence,
            evidence={"connections": sample(traffic.clear_seen), "without_beginning": traffic.inferred},
            severity=Severity.INFO if inside else None,
            confidence=Confidence.OBSERVED if certain else Confidence.INFERRED,
        )
    if not traffic.mqtt:
        return untested(NO_MQTT)
    return quiet(traffic, "All MQTT that was seen is inside TLS.")


@check(
    "PCP-02",
    "Passwords in the clear",
    severity="C",
    group="TC",
    cwe=523,
    owner="Passwords of devices travel unencrypted; whoever saw them go by can use them.",
    technical="A CONNECT without TLS carried a password. Of each its length and a hash salted for this run are kept.",
    remedy="exposed-credentials",
    evidence="e6",
    needs=(Traffic,),
    subject="capture",
    duty=Duty.INTEGRATOR,
)
@of_clear_traffic
def passwords(traffic: Traffic) -> Verdict:
    if traffic.logins:
        listed = [
            f"{each.place}: {each.client}, user {each.user or 'without name'}, {each.length} bytes, hash {each.hash}"
            + (f" ({each.count} times)" if each.count > 1 else "")
            for each in traffic.logins[:MAX_LISTED]
        ]
        return fails(f"Passwords sent in the clear: {len(traffic.logins)}.", passwords=listed)
    if not traffic.connects:
        return unsure("No CONNECT was seen: the connections had begun before the capture.")
    return quiet(traffic, f"None of {traffic.connects} CONNECTs carried a password.")


@check(
    "PCP-03",
    "Tokens in the clear",
    severity="C",
    group="TC",
    cwe=319,
    owner="Digital keys of devices travel unencrypted; whoever saw them go by can use them until they run out.",
    technical="A signed token (JWT) or a bearer secret stood in a CONNECT, a message or the head of a WebSocket "
    "upgrade without TLS. Its own end is told; the token is not kept.",
    remedy="exposed-credentials",
    evidence="e6",
    needs=(Traffic,),
    subject="capture",
    duty=Duty.INTEGRATOR,
)
@of_clear_traffic
def tokens(traffic: Traffic) -> Verdict:
    if not traffic.tokens:
        return quiet(traffic, "No token was seen in the clear.")
    listed = [
        f"{each.place}: {each.kind} in {each.where}, {each.length} bytes, hash {each.hash}, "
        + (
            f"ends {each.expires}" + (" (had ended)" if each.expired else "")
            if each.expires
            else "without an end"
        )
        for each in traffic.tokens[:MAX_LISTED]
    ]
    over = all(each.expired for each in traffic.tokens)
    return fails(
        f"Tokens sent in the clear: {len(traffic.tokens)}{', all of them past their end' if over else ''}.",
        tokens=listed,
        severity=Severity.MEDIUM if over else None,
    )


@check(
    "PCP-04",
    "Sensitive messages in the clear",
    severity="H",
    group="PR",
    cwe=200,
    owner="What these devices send, passwords or personal data among it, can be read by others on the way.",
    technical="Payloads in the clear hold what looks like passwords, tokens, keys, addresses or positions, or names "
    "of topics speak of such things. The first messages of each topic are looked through; values are not kept.",
    remedy="data",
    evidence="e6",
    needs=(Traffic,),
    subject="capture",
    duty=Duty.INTEGRATOR,
)
@of_clear_traffic
def sensitive(traffic: Traffic) -> Verdict:
    evidence = {
        "messages": sample(traffic.secrets),
        "topics": sample(traffic.sensitive_topics),
        "looked_through": traffic.looked_through,
    }
    if traffic.secrets:
        kinds = sorted({each.text.rpartition(" on ")[0] for each in traffic.secrets})
        return fails(f"Messages seem to hold: {', '.join(kinds)}."[:300], shown=evidence)
    if traffic.sensitive_topics:
        return fails(
            "Names of topics speak of sensitive things; no message that was looked through held a secret.",
            shown=evidence,
            severity=Severity.MEDIUM,
        )
    if not traffic.looked_through:
        return untested("no message was seen in the clear")
    sentence = f"Nothing of the kind showed in {traffic.looked_through} messages."
    if traffic.not_looked:
        return unsure(f"{sentence} {traffic.not_looked} more were not looked through.")
    return quiet(traffic, sentence)


@check(
    "PCP-06",
    "One credential for several devices",
    severity="H",
    group="SS",
    cwe=798,
    owner="Several devices share one password: whoever opens one of them can get in as all of them.",
    technical="The same user name and password came from client ids at different addresses.",
    remedy="own-credentials",
    evidence="e6",
    needs=(Traffic,),
    subject="capture",
    duty=Duty.DEVICE_MAKER,
)
@of_clear_traffic
def shared(traffic: Traffic) -> Verdict:
    listed = [
        f"user {each.user or 'without name'}, hash {each.hash}: {', '.join(each.clients)} at "
        f"{', '.join(each.addresses)}"
        for each in traffic.shared[:MAX_LISTED]
    ]
    if any(each.certain for each in traffic.shared):
        return fails("The same credential was used by several devices.", credentials=listed)
    if traffic.shared:
        return unsure(
            "The same credential came with several client ids, but from one address: it may be one program.",
            credentials=listed,
        )
    if traffic.credentials < 2:
        return untested("fewer than two credentials were seen")
    return quiet(traffic, f"Each of {traffic.credentials} credentials was used by one client id.")


@check(
    "PCP-10",
    "Signs of an attack",
    severity="M",
    group="LM",
    cwe=778,
    owner="Somebody seems to be guessing passwords, or two devices fight over one name.",
    technical="Ten refused logins of one address within five minutes, ten different refused subscriptions, or ten "
    "CONNECTs of one client id within a minute.",
    remedy="watch",
    evidence="e6",
    needs=(Traffic,),
    subject="capture",
)
@of_clear_traffic
def attacks(traffic: Traffic) -> Verdict:
    if traffic.attacks:
        return fails(f"Signs that were seen: {len(traffic.attacks)}.", signs=sample(traffic.attacks))
    if not traffic.connects:
        return untested("no CONNECT was seen")
    return quiet(traffic, f"{traffic.connects} CONNECTs show nothing of the kind.")


@check(
    "PCP-11",
    "Commands that stay, or from new senders",
    severity="M",
    group="AZ",
    cwe=862,
    owner="Commands to devices are stored on the server, or come from somebody who did not send them before.",
    technical="A client retained a message on a topic that looks like one of commands: each device that connects "
    "obeys it again. A second client that publishes to such a topic is told of as well; that may be in order.",
    remedy="acl",
    evidence="e6",
    needs=(Traffic,),
    subject="capture",
)
@of_clear_traffic
def commands(traffic: Traffic) -> Verdict:
    evidence = {
        "retained": sample(traffic.retained_commands),
        "new_senders": sample(traffic.new_senders),
    }
    if traffic.retained_commands:
        return fails(f"Commands that were retained: {len(traffic.retained_commands)}.", shown=evidence)
    if traffic.new_senders:
        return unsure(
            "Commands came from more than one client; only the owner knows if they may.", shown=evidence
        )
    if not traffic.commands:
        return untested("no message on a topic that looks like one of commands was seen")
    return quiet(traffic, f"{traffic.commands} commands, none retained, each topic with one sender.")


CHECKS = (in_clear, passwords, tokens, sensitive, shared, attacks, commands)
