"""SCN checks about what can be listened to, and about which broker this is."""

from bollard.assess.checks.rows import check
from bollard.assess.checks.versions import FIXES, NEWEST_FIX, affects
from bollard.assess.model import Duty, Facts, Verdict, fails, passes, unsure, untested
from bollard.assess.probes.evidence import Canary, Ears, Fence, Heard, Product


def _judge_heard(heard: Heard, identity: str, what: str) -> Verdict:
    shown = {
        "identity": identity,
        "filter": heard.filter,
        "suback": f"0x{heard.code:02X}" if heard.code >= 0 else "none",
        "messages": heard.messages,
        "payload_bytes": heard.payload_bytes,
        "topics": list(heard.topics),
    }
    if heard.messages:
        return fails(f"{heard.messages} messages of {what} came.", proven=True, shown=shown)
    if heard.refused:
        return passes(f"The broker refused the subscription to {what}.", shown=shown)
    if heard.code < 0:
        return unsure("The broker did not answer the subscription.", shown=shown)
    return unsure(
        "The broker granted the subscription and sent nothing: a grant alone proves nothing.", shown=shown
    )


@check(
    "SCN-10",
    "Everybody's messages can be read",
    severity="H",
    group="AZ",
    cwe=862,
    owner="Whoever gets into the server can read the messages of all your devices.",
    technical="A subscription to # delivered messages that others had published. With two identities and a topic of "
    "the first alone (--own-topic), a canary there tells for certain.",
    remedy="acl",
    evidence="e3",
    needs=(Ears,),
    helped_by=(Canary, Fence),
    internet=True,
)
def everything(facts: Facts) -> Verdict:
    ears, canary = facts.get(Ears), facts.find(Canary)
    if canary is not None and canary.everything_arrived and not ears.everything.messages:
        return fails(
            "A message that one connection published reached another that had subscribed to #.",
            proven=True,
            identity=canary.receiver,
            filter="#",
        )
    fence = facts.find(Fence)
    if fence is not None and fence.control and not ears.everything.messages:
        return _judge_fence(fence)
    return _judge_heard(ears.everything, ears.identity, "others")


def _judge_fence(fence: Fence) -> Verdict:
    through = [each.filter for each in fence.tricks if each.arrived]
    shown = {"owner": fence.owner, "other": fence.other, "filters": [each.filter for each in fence.tricks]}
    if through:
        return fails(
            f"{fence.other} read what is only for {fence.owner}.", proven=True, through=through, shown=shown
        )
    return passes(
        f"{fence.other} got nothing of what {fence.owner} got from the same message.",
        proven=True,
        shown=shown,
    )


@check(
    "SCN-11",
    "The broker's own figures can be read",
    severity="M",
    group="SU",
    cwe=497,
    owner="Whoever gets into the server is told which software it runs, and can look up its known weaknesses.",
    technical="A subscription to $SYS/# delivered messages: versions, addresses, load.",
    remedy="admin-topics",
    evidence="e3",
    needs=(Ears,),
)
def system(facts: Facts) -> Verdict:
    ears = facts.get(Ears)
    return _judge_heard(ears.system, ears.identity, "the broker's own figures")


def _sightings(heard: Heard, *, retained: bool) -> list[str]:
    return sorted({each.kind for each in heard.sightings if each.retained or not retained})


@check(
    "SCN-12",
    "Secrets or personal data in messages",
    severity="H",
    group="PR",
    cwe=200,
    owner="Passwords or personal data go through the server where others can read them.",
    technical="Messages of others hold what looks like passwords, tokens, keys, addresses or positions. Values "
    "are not kept.",
    remedy="data",
    evidence="e3",
    needs=(Ears,),
    duty=Duty.INTEGRATOR,
)
def secrets_in_messages(facts: Facts) -> Verdict:
    heard = facts.get(Ears).everything
    if not heard.messages:
        return untested("no message of others could be read")
    kinds = _sightings(heard, retained=False)
    places = [f"{each.kind}: {each.topic}" for each in heard.sightings]
    if kinds:
        return fails(f"Messages seem to hold: {', '.join(kinds)}.", kinds=kinds, places=places)
    return passes(f"Nothing of the kind showed in {heard.messages} messages.", messages=heard.messages)


@check(
    "SCN-13",
    "Secrets in retained messages",
    severity="H",
    group="PR",
    cwe=312,
    owner="Passwords or personal data are stored on the server and given to whoever asks.",
    technical="Retained messages hold what looks like secrets, so that every later subscriber gets them.",
    remedy="data",
    evidence="e3",
    needs=(Ears,),
    duty=Duty.INTEGRATOR,
)
def secrets_retained(facts: Facts) -> Verdict:
    heard = facts.get(Ears).everything
    if not heard.retained:
        return untested("no retained message of others could be read")
    kinds = _sightings(heard, retained=True)
    places = [f"{each.kind}: {each.topic}" for each in heard.sightings if each.retained]
    if kinds:
        return fails(f"Retained messages seem to hold: {', '.join(kinds)}.", kinds=kinds, places=places)
    return passes(
        f"Nothing of the kind showed in {heard.retained} retained messages.", retained=heard.retained
    )


@check(
    "SCN-23",
    "$CONTROL topics can be subscribed to",
    severity="H",
    group="AZ",
    cwe=269,
    owner="Whoever gets into the server can watch how its administrator sets it up.",
    technical="A subscription to $CONTROL/#, over which some brokers are configured, delivered messages.",
    remedy="admin-topics",
    evidence="e3",
    needs=(Ears,),
)
def control(facts: Facts) -> Verdict:
    ears = facts.get(Ears)
    return _judge_heard(ears.control, ears.identity, "the broker's administration")


@check(
    "SCN-35",
    "Version with known weaknesses",
    severity="H",
    group="UP",
    cwe=1395,
    owner="The server seems to run an old version of its software, whose weaknesses anybody can look up.",
    technical="The version that the broker names is older than releases that fix published weaknesses. Inferred "
    "from the version alone: distributions repair without changing it, so look at their package's changes.",
    remedy="update",
    evidence="e1",
    needs=(Product,),
)
def known_version(facts: Facts) -> Verdict:
    product = facts.get(Product)
    if not product.version:
        return untested("the broker does not say which version it is")
    shown = {"product": product.name, "version": product.version, "source": product.source}
    if product.name not in FIXES:
        return untested(f"no list of weaknesses for {product.name} is kept here")
    known = [fix for fix in FIXES[product.name] if affects(fix, product.version)]
    if known:
        names = [f"{fix.id} (fixed in {fix.fixed_in})" for fix in known]
        return unsure(
            f"{product.name} {product.version} is older than fixes for {len(known)} known weaknesses, unless "
            "its package has them.",
            inferred=True,
            weaknesses=names,
            shown=shown,
        )
    return passes(f"No weakness older than {NEWEST_FIX} is listed for it.", shown=shown)


CHECKS = (everything, system, secrets_in_messages, secrets_retained, control, known_version)
