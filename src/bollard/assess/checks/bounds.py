"""SCN checks about what one client may use up, and about packets that no broker may take."""

from bollard.assess.checks.rows import check
from bollard.assess.model import Caution, Facts, Verdict, fails, passes, unsure, untested
from bollard.assess.probes.evidence import Abuse, Canary, Crowd, Offer, Patience, Strictness

MAX_PATIENCE_S = 30.0
MAX_KEEPALIVE_S = 3_600
MAX_EXPIRY_S = 366 * 86_400
MAX_PACKET_BYTES = 16 * 1_048_576
MAX_ALIASES = 1_024
MAX_RECEIVE = 4_096
NEVER = 0xFFFFFFFF


@check(
    "SCN-25",
    "No time limit before CONNECT",
    severity="M",
    group="AV",
    cwe=400,
    owner="Somebody can keep your devices off the server, like callers who say nothing and keep all lines busy.",
    technical="A connection that never sent a whole CONNECT was kept for more than 30 seconds.",
    remedy="limits",
    evidence="e1",
    needs=(Patience,),
    internet=True,
)
def patience(facts: Facts) -> Verdict:
    watched = facts.get(Patience)
    shown = {"silent_s": watched.silent_s, "half_connect_s": watched.half_s, "watched_s": watched.waited_s}
    times = (watched.silent_s, watched.half_s)
    if any(each is not None and each > MAX_PATIENCE_S for each in times):
        return fails("A connection without CONNECT was kept for more than 30 seconds.", shown=shown)
    if None not in times:
        return passes("Connections without CONNECT were ended in time.", shown=shown)
    if watched.waited_s < MAX_PATIENCE_S:
        return untested(f"it was watched for {watched.waited_s:g} s only: bollard scan TARGET --patience 35")
    return fails("A connection without CONNECT was still open after 30 seconds.", shown=shown)


@check(
    "SCN-26",
    "Any keep alive accepted",
    severity="L",
    group="AV",
    cwe=770,
    owner="A device that is long gone can keep its line to the server busy for a day, and the number of "
    "lines is limited.",
    technical="A keep alive of 65,535 seconds was accepted without a Server Keep Alive in its place.",
    remedy="limits",
    evidence="e1",
    needs=(Offer,),
)
def keepalive(facts: Facts) -> Verdict:
    granted = facts.get(Offer).keepalive_s
    if granted is not None and 0 < granted <= MAX_KEEPALIVE_S:
        return passes(f"The broker set {granted} s instead.", server_keep_alive=granted)
    return fails("A keep alive of 65,535 s was taken as it is.", server_keep_alive=granted)


@check(
    "SCN-27",
    "Sessions that never end",
    severity="M",
    group="AV",
    cwe=770,
    owner="Whoever gets into the server can make it store things for ever, until it is full.",
    technical="A Session Expiry Interval of 0xFFFFFFFF, which means never, was granted.",
    remedy="limits",
    evidence="e1",
    needs=(Offer,),
)
def session_expiry(facts: Facts) -> Verdict:
    granted = facts.get(Offer).session_expiry_s
    if granted is None or granted == NEVER:
        return fails("A session that never ends was granted.", session_expiry_interval=granted)
    if granted > MAX_EXPIRY_S:
        return fails(f"A session of {granted // 86_400} days was granted.", session_expiry_interval=granted)
    return passes(f"The broker set {granted} s instead.", session_expiry_interval=granted)


@check(
    "SCN-28",
    "No sensible Maximum Packet Size",
    severity="L",
    group="AV",
    cwe=770,
    owner="A single huge message can slow the server down for everybody.",
    technical="The CONNACK names no Maximum Packet Size, or one above 16 MiB; the protocol's own bound is 256 MiB.",
    remedy="limits",
    evidence="e1",
    needs=(Offer,),
)
def packet_size(facts: Facts) -> Verdict:
    size = facts.get(Offer).max_packet_bytes
    if size is None:
        return fails("The broker names no limit.", maximum_packet_size=None)
    if size > MAX_PACKET_BYTES:
        return fails(f"Packets of {size} bytes are taken.", maximum_packet_size=size)
    return passes(f"Packets of at most {size} bytes are taken.", maximum_packet_size=size)


@check(
    "SCN-29",
    "Topic Alias Maximum or Receive Maximum excessive",
    severity="L",
    group="AV",
    cwe=770,
    owner="A single device can take up much of the server's working memory.",
    technical="The CONNACK allows more than 1,024 topic aliases or more than 4,096 unacknowledged messages.",
    remedy="limits",
    evidence="e1",
    needs=(Offer,),
)
def windows(facts: Facts) -> Verdict:
    offer = facts.get(Offer)
    shown = {"topic_alias_maximum": offer.topic_alias_maximum, "receive_maximum": offer.receive_maximum}
    if offer.topic_alias_maximum > MAX_ALIASES or offer.receive_maximum > MAX_RECEIVE:
        return fails("The broker allows more than any client needs.", shown=shown)
    return passes("Both are bounded.", shown=shown)


@check(
    "SCN-30",
    "Malformed packets accepted",
    severity="M",
    group="IV",
    cwe=20,
    owner="The server takes garbled messages, which can make other devices or programs fail.",
    technical="A packet that the specification calls malformed did not end the connection.",
    remedy="parser",
    evidence="e1",
    needs=(Strictness,),
    caution=Caution.ACTIVE,
    references=("MQTT 5.0, 1.5.4", "MQTT 5.0, 4.13"),
)
def malformed(facts: Facts) -> Verdict:
    packets = facts.get(Strictness).packets
    survived = [each.name for each in packets if each.survived]
    shown = {each.name: _outcome(each) for each in packets}
    if survived:
        return fails(f"The connection survived: {', '.join(survived)}.", shown=shown)
    if any(not each.tested for each in packets):
        return unsure(
            "This identity may not even send sound packets there, so not all could be tried; name a topic of its "
            "own with --own-topic.",
            shown=shown,
        )
    return passes(f"All {len(packets)} ended the connection.", shown=shown)


def _outcome(packet: Abuse) -> str:
    return "not tested" if not packet.tested else "accepted" if packet.survived else "refused"


@check(
    "SCN-31",
    "Topics of more than 128 levels accepted",
    severity="L",
    group="IV",
    cwe=674,
    owner="Messages with absurdly long subject lines can be used to slow the server down.",
    technical="A topic of 131 levels and more was subscribed to and delivered.",
    remedy="limits",
    evidence="e2",
    needs=(Canary,),
    caution=Caution.ACTIVE,
    references=("CVE-2019-11779",),
)
def levels(facts: Facts) -> Verdict:
    canary = facts.get(Canary)
    shown = {"suback": f"0x{canary.deep_code:02X}" if canary.deep_code >= 0 else "none"}
    if canary.deep_arrived:
        return fails("A canary on a topic of more than 128 levels came through.", proven=True, shown=shown)
    if not canary.arrived:
        return untested("no canary came through on an ordinary topic either")
    if canary.deep_code in (0, 1, 2):
        return passes("Nothing was delivered on such a topic.", proven=True, shown=shown)
    return passes("The broker refused such a topic.", shown=shown)


@check(
    "SCN-38",
    "No ceiling of connections",
    severity="M",
    group="AV",
    cwe=770,
    owner="A single computer can keep all lines to the server busy, so that your devices get none.",
    technical="More connections from one address were taken than the operator says it should get (--ceiling, at "
    "most 49). Without that word fifty are tried, and that all were taken settles nothing.",
    remedy="limits",
    evidence="e1",
    needs=(Crowd,),
    caution=Caution.INTRUSIVE,
)
def crowd(facts: Facts) -> Verdict:
    trial = facts.get(Crowd)
    shown = {"opened": trial.opened, "accepted": trial.accepted, "ceiling": trial.ceiling or "not said"}
    if trial.accepted < trial.opened:
        return passes(f"After {trial.accepted} connections the broker took no more.", shown=shown)
    if not trial.ceiling:
        return unsure(
            f"All {trial.opened} were taken. A ceiling may lie higher: --ceiling says what should be the most.",
            shown=shown,
        )
    return fails(
        f"{trial.accepted} were taken, where {trial.ceiling} should be the most.", proven=True, shown=shown
    )


CHECKS = (
    patience,
    keepalive,
    session_expiry,
    packet_size,
    windows,
    malformed,
    levels,
    crowd,
)
