"""Every check of a scan against evidence that has the flaw, that lacks it, and that cannot tell."""

from typing import Any

import pytest

from assess.evidence import (
    ACCEPTED,
    CLOSED,
    DAY,
    NOW,
    REFUSED,
    SILENT,
    bypass,
    canary,
    client_certificates,
    doors,
    ears,
    fence,
    guesses,
    heard,
    leaf,
    listeners,
    offer,
    open_port,
    origins,
    patience,
    ports,
    product,
    reach,
    strictness,
    takeover,
    tls,
    versions,
)
from bollard.assess import catalogue
from bollard.assess.checks.certificates import PUBLIC_SINCE, PUBLISHED_KEYS
from bollard.assess.model import Check, Evidence, Facts, Result, Severity, State, judge
from bollard.assess.probes.evidence import (
    Abuse,
    Crowd,
    Entry,
    Reflection,
    RevocationTrial,
    Sighting,
    Strictness,
    Tickets,
    Trick,
)

CHECKS = {
    check.definition.id: check
    for check in catalogue.checks()
    if check.definition.id.startswith(("SCN-", "TLS-"))
}
KEY = next(iter(PUBLISHED_KEYS))
SECRET = Sighting(kind="password", topic="a", retained=True)
LEAK = heard(code=0, messages=3, retained=1, topics=("a",), sightings=(SECRET,))
CLEAN = heard(code=0, messages=3, retained=1, topics=("a",))
GOT = Trick(filter="+/#", code=0, arrived=True)
GRANTED = Trick(filter="+/#", code=0)

#: Check -> evidence with the flaw, evidence without it.
CASES: dict[str, tuple[Evidence, Evidence]] = {
    "SCN-02": (reach(transport="tcp", plaintext_answers=True), reach()),
    "SCN-03": (reach(transport="ws"), reach(transport="wss")),
    "SCN-04": (doors(anonymous=(REFUSED, ACCEPTED)), doors()),
    "SCN-05": (doors(invented=ACCEPTED), doors()),
    "SCN-06": (doors(no_password=ACCEPTED), doors()),
    "SCN-07": (guesses(default_login="admin"), guesses()),
    "SCN-08": (guesses(), guesses(throttled=True)),
    "SCN-09": (guesses(known_user_codes=(0x86, 0x87)), guesses()),
    "SCN-10": (ears(everything=CLEAN), ears()),
    "SCN-11": (ears(system=heard("$SYS/#", 0, messages=9)), ears()),
    "SCN-12": (ears(everything=LEAK), ears(everything=CLEAN)),
    "SCN-13": (ears(everything=LEAK), ears(everything=CLEAN)),
    "SCN-14": (canary(arrived=True, sent_code=0, heard_code=0), canary()),
    "SCN-15": (bypass(equivalents=(GOT,)), bypass()),
    "SCN-16": (bypass(shared=(GOT,)), bypass()),
    "SCN-17": (bypass(will_outcome="accepted", will_arrived=True), bypass()),
    "SCN-18": (canary(arrived=True, sent_code=0, retained_code=0, retained_arrived=True), canary()),
    "SCN-19": (takeover(first_ended=True), takeover()),
    "SCN-20": (takeover(session_handed_over=True), takeover()),
    "SCN-21": (RevocationTrial(still_working=("will",)), RevocationTrial(still_working=())),
    "SCN-22": (bypass(wildcard_id="accepted", wildcard_gained=("#",)), bypass()),
    "SCN-23": (ears(control=heard("$CONTROL/#", 0, messages=1)), ears()),
    "SCN-24": (Reflection(passed_on=True, arrived=True), Reflection(passed_on=False, arrived=False)),
    "SCN-25": (patience(silent_s=None), patience()),
    "SCN-26": (offer(keepalive_s=None), offer()),
    "SCN-27": (offer(session_expiry_s=None), offer()),
    "SCN-28": (offer(max_packet_bytes=None), offer()),
    "SCN-29": (offer(topic_alias_maximum=65_535), offer()),
    "SCN-30": (strictness("QoS 3"), strictness()),
    "SCN-31": (canary(arrived=True, deep_arrived=True, deep_code=0), canary(arrived=True, deep_code=0x8F)),
    "SCN-32": (canary(arrived=True, copies=4), canary(arrived=True, copies=1)),
    "SCN-33": (doors(old_version=ACCEPTED), doors()),
    "SCN-34": (origins(foreign=101), origins()),
    "SCN-36": (ports(administration=(open_port(18083),)), ports()),
    "SCN-37": (ports(cluster=(open_port(4369),)), ports()),
    "SCN-38": (Crowd(opened=21, accepted=21, ceiling=20), Crowd(opened=50, accepted=20)),
    "TLS-01": (listeners(tls=False), listeners()),
    "TLS-02": (tls(versions=versions("TLS 1.0", "TLS 1.2")), tls()),
    "TLS-03": (tls(versions=versions("TLS 1.2")), tls()),
    "TLS-04": (tls(weak={"RC4": "RSA_RC4_128_SHA"}), tls()),
    "TLS-05": (tls(static_rsa="RSA_AES_128_CBC_SHA"), tls()),
    "TLS-06": (tls(aead=False), tls()),
    "TLS-07": (leaf(trusted=False, trust_fault="unable to get local issuer certificate"), leaf()),
    "TLS-08": (leaf(name_matches=False), leaf()),
    "TLS-09": (leaf(not_after=NOW - DAY), leaf()),
    "TLS-10": (leaf(key="RSA", key_bits=1024), leaf()),
    "TLS-11": (
        leaf(
            trusted_by="system authorities",
            not_before=int(PUBLIC_SINCE) + DAY,
            not_after=int(PUBLIC_SINCE) + 300 * DAY,
        ),
        leaf(),
    ),
    "TLS-12": (leaf(key_sha256=KEY), leaf()),
    "TLS-13": (client_certificates(without="accepted"), client_certificates()),
    "TLS-14": (client_certificates(foreign="accepted"), client_certificates()),
    "TLS-15": (tls(compression=True), tls()),
    "TLS-16": (tls(hybrid_groups=()), tls()),
}
#: Checks that cannot say both: with what they say instead.
ONE_SIDED = {"SCN-01", "SCN-35"}


def result(check: str, *evidence: Evidence, **options: Any) -> Result:
    """What the check says about this evidence."""
    return judge(CHECKS[check], "target", Facts(evidence), **options)


def state(check: str, *evidence: Evidence) -> State:
    return result(check, *evidence).state


@pytest.mark.parametrize("id", CASES)
def test_evidence_of_the_flaw_is_a_failure(id: str) -> None:
    assert state(id, CASES[id][0]) is State.FAIL


@pytest.mark.parametrize("id", CASES)
def test_evidence_without_the_flaw_passes(id: str) -> None:
    assert state(id, CASES[id][1]) is State.PASS


@pytest.mark.parametrize("id", CHECKS)
def test_no_evidence_is_never_a_pass(id: str) -> None:
    said = result(id)
    assert said.state is State.NOT_TESTED
    assert said.observed


def test_every_check_of_a_scan_has_its_cases() -> None:
    assert set(CASES) | ONE_SIDED == set(CHECKS)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_a_check_asks_only_for_what_its_row_declares(check: Check) -> None:
    wanted: set[str] = set()

    class Asked(Facts):
        def get(self, kind: Any) -> Any:
            wanted.add(kind.__name__)
            return super().get(kind)

    judge(check, "target", Asked(()))
    assert wanted <= set(check.definition.requires)


def test_the_reason_of_missing_evidence_becomes_the_reason_of_the_result() -> None:
    facts = Facts((), {type(canary()): "it is an active check"})
    assert judge(CHECKS["SCN-14"], "target", facts).observed == "it is an active check"


def test_a_public_address_is_exposed_and_no_other_place_can_tell() -> None:
    assert state("SCN-01", reach()) is State.FAIL
    assert state("SCN-01", reach(reach="loopback")) is State.NOT_TESTED
    assert state("SCN-01", reach(reach="private")) is State.NOT_TESTED


def test_a_public_address_makes_a_failure_one_step_worse() -> None:
    flawed = CASES["SCN-02"][0]
    assert result("SCN-02", flawed).severity is Severity.HIGH
    assert result("SCN-02", flawed, raised=True).severity is Severity.CRITICAL


def test_a_version_alone_never_proves_a_weakness() -> None:
    old = result("SCN-35", product(version="2.0.11"))
    assert old.state is State.INCONCLUSIVE
    assert "CVE-2023-0809 (fixed in 2.0.16)" in old.evidence["weaknesses"]
    assert state("SCN-35", product()) is State.PASS
    assert state("SCN-35", product(name="unheard-of")) is State.NOT_TESTED
    assert state("SCN-35", product(version="")) is State.NOT_TESTED


def test_a_weakness_counts_only_from_the_release_that_brought_it() -> None:
    weaknesses = result("SCN-35", product(version="1.4.15")).evidence["weaknesses"]
    assert not any("CVE-2021-28166" in each for each in weaknesses)


@pytest.mark.parametrize("id", ["SCN-10", "SCN-11", "SCN-23"])
def test_a_granted_subscription_alone_proves_nothing(id: str) -> None:
    granted = heard(code=0)
    assert state(id, ears(everything=granted, system=granted, control=granted)) is State.INCONCLUSIVE


def test_a_canary_through_everything_proves_that_others_can_be_read() -> None:
    proof = canary(arrived=True, everything_code=0, everything_arrived=True)
    assert state("SCN-10", ears(everything=heard(code=0)), proof) is State.FAIL


def test_a_fence_that_holds_passes_and_one_that_does_not_fails() -> None:
    granted = ears(everything=heard(code=0))
    assert state("SCN-10", granted, fence()) is State.PASS
    assert state("SCN-10", granted, fence(tricks=(GOT,))) is State.FAIL
    assert state("SCN-10", granted, fence(control=False)) is State.INCONCLUSIVE


def test_an_acknowledged_publish_without_arrival_proves_nothing() -> None:
    assert state("SCN-14", canary(sent_code=0, heard_code=0)) is State.INCONCLUSIVE
    assert state("SCN-14", canary(sent_code=0, heard_code=0x87)) is State.INCONCLUSIVE


def test_a_spelling_that_was_granted_and_delivered_nothing_is_unclear() -> None:
    assert state("SCN-15", bypass(equivalents=(GRANTED,))) is State.INCONCLUSIVE


def test_without_a_refusal_there_is_nothing_to_get_around() -> None:
    nothing = bypass(denied=(), equivalents=(), shared=(), publish_denied=False, wildcard_id="")
    for id in ("SCN-15", "SCN-16", "SCN-17", "SCN-22"):
        assert state(id, nothing) is State.NOT_TESTED


def test_a_will_that_was_taken_and_not_seen_is_unclear() -> None:
    assert state("SCN-17", bypass(will_outcome="accepted")) is State.INCONCLUSIVE


def test_a_canary_that_could_not_be_removed_is_said() -> None:
    left = canary(arrived=True, retained_arrived=True, cleaned=False)
    assert "assess/0/kept" in result("SCN-18", left).observed


def test_a_server_that_shuts_the_door_says_nothing_about_passwords() -> None:
    shut = doors(
        anonymous=(CLOSED, CLOSED),
        invented=CLOSED,
        empty_password=CLOSED,
        no_password=CLOSED,
        old_version=Entry(version=3, outcome="closed"),
    )
    assert state("SCN-04", shut) is State.PASS
    for id in ("SCN-05", "SCN-06", "SCN-33"):
        assert state(id, shut) is State.NOT_TESTED


def test_where_everybody_gets_in_passwords_are_not_judged() -> None:
    open_door = doors(anonymous=(ACCEPTED, ACCEPTED), invented=ACCEPTED, empty_password=ACCEPTED)
    assert state("SCN-05", open_door) is State.NOT_TESTED
    assert state("SCN-06", open_door) is State.NOT_TESTED


def test_silence_is_no_refusal() -> None:
    quiet = doors(
        anonymous=(SILENT, SILENT),
        invented=SILENT,
        empty_password=SILENT,
        no_password=SILENT,
        old_version=SILENT,
    )
    for id in ("SCN-04", "SCN-05", "SCN-06", "SCN-33"):
        assert state(id, quiet) is State.INCONCLUSIVE


def test_an_old_client_refused_for_its_password_proves_nothing_about_the_version() -> None:
    assert state("SCN-33", doors(old_version=REFUSED)) is State.INCONCLUSIVE


def test_patience_that_was_shorter_than_the_limit_is_not_tested() -> None:
    assert state("SCN-25", patience(silent_s=None, waited_s=5.0)) is State.NOT_TESTED


def test_a_guess_that_the_broker_stopped_is_unclear() -> None:
    assert state("SCN-07", guesses(stopped=True)) is State.INCONCLUSIVE


def test_a_private_authority_that_was_not_named_is_no_fault() -> None:
    unknown = leaf(trusted=False, trusted_by="system authorities", trust_fault="self-signed certificate")
    assert state("TLS-07", unknown) is State.INCONCLUSIVE


def test_a_certificate_near_its_end_is_a_small_problem() -> None:
    ending = result("TLS-09", leaf(not_after=NOW + 9 * DAY, not_before=NOW - 80 * DAY))
    assert (ending.state, ending.severity) == (State.FAIL, Severity.LOW)
    assert "9 days" in ending.observed


def test_a_certificate_that_is_not_valid_yet_fails() -> None:
    assert state("TLS-09", leaf(not_before=NOW + DAY)) is State.FAIL


def test_a_long_private_certificate_is_only_a_note() -> None:
    long = result("TLS-11", leaf(not_after=NOW + 3_650 * DAY))
    assert (long.state, long.severity) == (State.FAIL, Severity.INFO)
    assert not long.open


def test_a_certificate_that_cannot_be_read_is_not_judged() -> None:
    broken = leaf(unreadable="ValueError")
    for id in ("TLS-08", "TLS-09", "TLS-10", "TLS-11", "TLS-12"):
        assert state(id, broken) is State.NOT_TESTED


def test_sha1_signatures_fail() -> None:
    assert state("TLS-10", leaf(signature_hash="sha1")) is State.FAIL


def test_client_certificates_are_judged_only_where_they_are_meant() -> None:
    assert state("TLS-13", client_certificates(expected=False)) is State.NOT_TESTED
    assert state("TLS-14", client_certificates(without="refused")) is State.NOT_TESTED
    assert state("TLS-14", client_certificates(foreign="")) is State.NOT_TESTED


def test_a_listener_without_websocket_has_no_websocket_result() -> None:
    assert state("SCN-03", reach()) is State.NOT_TESTED


def test_ccm_8_is_a_short_tag() -> None:
    assert state("TLS-06", tls(ccm_8="ECDHE_ECDSA_AES_128_CCM_8")) is State.FAIL


def test_missing_extended_master_secret_fails_and_tls_13_alone_needs_none() -> None:
    assert state("TLS-15", tls(extended_master_secret=False)) is State.FAIL
    assert state("TLS-15", tls(extended_master_secret=None, secure_renegotiation=None)) is State.PASS


def test_a_malformed_packet_that_could_not_be_tried_leaves_the_parser_unclear() -> None:
    tried = Abuse(name="QoS 3", survived=False)
    untried = Abuse(name="NUL in a topic", survived=False, tested=False)
    assert state("SCN-30", Strictness(identity="plug", packets=(tried, untried))) is State.INCONCLUSIVE


def test_a_session_that_even_its_owner_does_not_get_back_proves_nothing() -> None:
    assert state("SCN-20", takeover(session_kept=False)) is State.INCONCLUSIVE


def test_fifty_connections_prove_nothing_where_nobody_said_how_many_are_too_many() -> None:
    assert state("SCN-38", Crowd(opened=50, accepted=50)) is State.INCONCLUSIVE


def test_a_request_that_was_passed_on_and_whose_answer_got_lost_is_unclear() -> None:
    assert state("SCN-24", Reflection(passed_on=True, arrived=False)) is State.INCONCLUSIVE


def test_tickets_that_allow_early_data_fail() -> None:
    judged = judge(CHECKS["TLS-15"], "t", Facts([tls(), Tickets(count=2, early_data_bytes=16_384)]))
    assert judged.state is State.FAIL
    judged = judge(CHECKS["TLS-15"], "t", Facts([tls(), Tickets(count=2, early_data_bytes=0)]))
    assert judged.state is State.PASS
