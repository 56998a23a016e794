"""The whole: one network with everything in it gives the inventory and the findings that were written down before."""

import io
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from assess.capture.reading import assets, read_bytes, read_tape, report, results, states
from assess.capture.scene import (
    DEVICES,
    EXPECTED,
    SECRETS,
    SERVERS,
    TOKEN,
    connack,
    connect,
    jwt,
    mixed,
)
from bollard.assess import catalogue
from bollard.assess.capture.evidence import Traffic, Unread
from bollard.assess.capture.sniff import Capture, Settings, checks, is_known, read
from bollard.assess.model import Facts, State, judge
from bollard.assess.report.formats import FORMATS
from bollard.wire.codec import encode
from bollard.wire.connect import Auth, Connect
from bollard.wire.properties import Properties
from bollard.wire.publish import encode_publish
from bollard.wire.subscribe import Suback, Subscribe, SubscribeFilter
from support.captures import SLL, START_NS, Talk, Tape, pcap, pcapng

BROKER = ("10.9.9.9", 1_883)


@pytest.fixture(scope="module")
def scene() -> Capture:
    return read_tape(mixed())


def device(tape: Tape, number: int, *packets: bytes, server: tuple[str, int] = BROKER) -> Talk:
    """A connection of the device of that number."""
    return Talk(tape, (f"10.1.2.{number}", 40_000), server).up(*packets)


def test_the_scene_gives_the_findings_that_were_written_before(scene: Capture) -> None:
    assert states(scene) == EXPECTED
    assert scene.notes == ()


def test_the_scene_gives_the_inventory_that_was_written_before(scene: Capture) -> None:
    found = assets(scene)
    assert set(found) == set(DEVICES)
    for name, (addresses, versions, topics) in DEVICES.items():
        asset = found[name]
        assert asset.addresses == addresses
        assert asset.facts.get("versions") == versions
        assert asset.facts.get("publishes") == topics
        assert asset.hardware[0].startswith("24:0a:c4:")
    assert set(assets(scene, "server")) == SERVERS


def test_the_scene_is_the_same_from_every_kind_of_file(scene: Capture) -> None:
    tape = mixed()
    tape_of_any = Tape(link=SLL, frames=[])
    for time_ns, frame in tape.frames:
        tape_of_any.frames.append((time_ns, b"\0\0\0\1\0\6" + frame[6:12] + b"\0\0" + frame[12:]))
    for data in (pcap(tape, order=">", nano=True), pcapng(tape), pcapng(tape, order=">", resolution=9)):
        assert states(read_bytes(data)) == EXPECTED
    found = read_tape(tape_of_any)
    assert states(found) == EXPECTED
    assert [each.name for each in found.inventory] == [each.name for each in scene.inventory]


@pytest.mark.parametrize("kind", FORMATS)
def test_no_secret_is_in_any_report(scene: Capture, kind: str) -> None:
    text = FORMATS[kind](report(scene))
    for secret in SECRETS:
        assert secret not in text
        assert secret not in repr(scene)


@pytest.mark.parametrize("kind", ["text", "html", "json"])
def test_the_inventory_is_in_the_reports_that_people_read(scene: Capture, kind: str) -> None:
    text = FORMATS[kind](report(scene))
    assert "thermostat" in text
    assert "203.0.113.9:1883" in text


def test_evidence_names_frame_and_flow_and_the_report_names_the_file(scene: Capture) -> None:
    found = results(scene)["PCP-02"]
    assert found.evidence["passwords"][0].startswith(
        "frame 4, 192.168.7.20:50001 > 192.168.7.2:1883: thermostat"
    )
    assert found.location is not None
    assert found.location.file == "/captures/tape.pcap"


def test_the_canonical_report_holds_all_evidence(scene: Capture) -> None:
    document = json.loads(FORMATS["json"](report(scene)))
    (attempt,) = document["attempts"]
    assert attempt["kind"] == "Traffic"
    (token,) = attempt["evidence"]["tokens"]
    assert token["expires"] == "2026-09-21T15:13:20.000Z"
    assert token["length"] == len(TOKEN)


def test_one_secret_has_one_hash_within_a_run(scene: Capture) -> None:
    hashes = {each.client: each.hash for each in scene.traffic.logins}
    assert hashes["lamp-1"] == hashes["lamp-2"] != hashes["thermostat"]


# ---------------------------------------------------------------- each check: flaw, none, cannot tell

NOTHING = Traffic(
    file="f",
    frames=9,
    first="",
    last="",
    clear=0,
    clear_inside=0,
    inferred=0,
    connects=0,
    publishes=0,
)


@pytest.mark.parametrize("check", checks(), ids=lambda each: each.definition.id)
def test_without_mqtt_nothing_is_tested(check: object) -> None:
    assert judge(check, "f", Facts([NOTHING])).state is State.NOT_TESTED  # type: ignore[arg-type]


@pytest.mark.parametrize("check", checks(), ids=lambda each: each.definition.id)
def test_what_could_not_be_read_never_passes(check: object) -> None:
    tape = Tape()
    device(tape, 1, connect("a", "u1", b"p1")).close()
    device(tape, 2, connect("b", "u2", b"p2"), encode_publish(b"x/cmd", b"1")).close()
    device(tape, 3, encode(Connect(client_id="c"), 4)).close()
    traffic = read_tape(tape).traffic
    blind = msgspec.structs.replace(traffic, unread=Unread(streams={"gaps": 3}))
    assert judge(check, "f", Facts([blind])).state is not State.PASS  # type: ignore[arg-type]


def test_all_checks_of_captures_are_in_the_catalogue() -> None:
    ids = [each.definition.id for each in catalogue.checks() if each.definition.subject == "capture"]
    assert ids == [f"PCP-{number:02d}" for number in range(1, 14)]


def quiet() -> Tape:
    """Two devices without password that do nothing wrong but speak in the clear."""
    tape = Tape()
    for number in (1, 2):
        device(tape, number, connect(f"d{number}"), encode_publish(b"d/state", b"on")).down(connack()).close()
    return tape


def test_a_quiet_network_in_the_clear_fails_only_where_it_must() -> None:
    made = states(read_tape(quiet()))
    assert {check for check, state in made.items() if state == "fail"} == {"PCP-01", "PCP-05"}
    assert {check for check, state in made.items() if state == "pass"} == {
        "PCP-02",
        "PCP-03",
        "PCP-04",
        "PCP-10",
        "PCP-12",
    }


def test_plaintext_within_one_machine_is_no_problem_by_itself() -> None:
    tape = Tape()
    Talk(tape, ("127.0.0.1", 40_000), ("127.0.0.1", 1_883)).up(connect("d"))
    assert str(results(read_tape(tape))["PCP-01"].severity) == "info"


def test_a_password_by_the_mechanism_plain_is_one() -> None:
    plain = Properties(authentication_method="PLAIN", authentication_data=b"\0me\0hush-hush-1")
    tape = Tape()
    device(tape, 1, encode(Connect(5, client_id="d", properties=plain), 5))
    device(tape, 2, connect("e", version=5), encode(Auth(0x18, plain), 5))
    found = read_tape(tape)
    assert len(found.traffic.logins) == 2
    assert "hush-hush" not in repr(found)


def test_scram_is_no_password() -> None:
    scram = Properties(authentication_method="SCRAM-SHA-256", authentication_data=b"n,,n=me,r=abc")
    tape = Tape()
    device(tape, 1, encode(Connect(5, client_id="d", properties=scram), 5))
    assert states(read_tape(tape))["PCP-02"] == "pass"


@pytest.mark.parametrize(
    ("claims", "expires", "severity"),
    [
        ({"exp": START_NS // 10**9 - 9}, "2026-09-21T14:13:11.000Z", "medium"),
        ({}, "", "critical"),
        ({"exp": "soon"}, "", "critical"),
        ({"exp": 1e300}, "", "critical"),
    ],
)
def test_a_token_tells_its_own_end(claims: dict[str, object], expires: str, severity: str) -> None:
    tape = Tape()
    device(tape, 1, connect("d", "jwt", jwt(sub="x", **claims)))
    found = read_tape(tape)
    assert found.traffic.tokens[0].expires == expires
    assert str(results(found)["PCP-03"].severity) == severity
    assert not found.traffic.logins


def test_tokens_are_found_as_user_names_and_in_messages() -> None:
    tape = Tape()
    device(tape, 1, connect("d", jwt(a=1).decode()), encode_publish(b"t", b'{"t": "' + jwt(b=2) + b'"}'))
    wheres = {each.where for each in read_tape(tape).traffic.tokens}
    assert wheres == {"user name of CONNECT", "message on t"}


def test_one_credential_of_several_ids_at_one_address_settles_nothing() -> None:
    tape = Tape()
    for name in ("a", "b"):
        Talk(tape, ("10.1.2.3", 40_000), BROKER).up(connect(name, "u", b"p")).close()
    assert states(read_tape(tape))["PCP-06"] == "inconclusive"


def test_own_credentials_pass() -> None:
    tape = Tape()
    for number in (1, 2):
        device(tape, number, connect(f"d{number}", f"u{number}", b"p")).close()
    assert states(read_tape(tape))["PCP-06"] == "pass"


def test_a_client_id_that_flaps_is_a_sign() -> None:
    tape = Tape()
    for number in range(10):
        Talk(tape, (f"10.1.2.{number % 2 + 1}", 40_000 + number), BROKER).up(connect("same")).close()
    (sign,) = read_tape(tape).traffic.attacks
    assert "same connected 10 times" in sign.text


def test_a_client_that_connects_now_and_then_is_none() -> None:
    tape = Tape()
    for number in range(10):
        Talk(tape, ("10.1.2.1", 40_000 + number), BROKER).up(connect("same")).close()
        tape.wait(60)
    assert states(read_tape(tape))["PCP-10"] == "pass"


def test_many_refused_subscriptions_are_a_sign() -> None:
    tape = Tape()
    talk = device(tape, 1, connect("d"))
    for number in range(1, 12):
        talk.up(encode(Subscribe(number, (SubscribeFilter(f"room/{number}"),)), 4))
        talk.down(encode(Suback(number, (0x80,)), 4))
    assert "subscriptions were refused" in read_tape(tape).traffic.attacks[0].text


def test_a_second_sender_of_commands_settles_nothing_and_one_alone_passes() -> None:
    tape = Tape()
    device(tape, 1, connect("a"), encode_publish(b"x/cmd", b"1")).close()
    assert states(read_tape(tape))["PCP-11"] == "pass"
    device(tape, 2, connect("b"), encode_publish(b"x/cmd", b"1")).close()
    assert states(read_tape(tape))["PCP-11"] == "inconclusive"


def test_clearing_a_retained_command_is_no_command() -> None:
    tape = Tape()
    device(tape, 1, connect("a"), encode_publish(b"x/cmd", b"", retain=1))
    assert states(read_tape(tape))["PCP-11"] == "pass"


@pytest.mark.parametrize(
    ("known", "state"),
    [((), "fail"), (("203.0.113.9",), "pass"), (("203.0.113.0/24",), "pass"), (("x",), "fail")],
)
def test_a_server_outside_must_be_a_known_one(known: tuple[str, ...], state: str) -> None:
    tape = Tape()
    device(tape, 1, connect("d"), server=("203.0.113.9", 1_883))
    capture = read_tape(tape, known=known)
    assert states(capture)["PCP-12"] == state


def test_a_server_may_be_known_by_the_name_it_is_asked_for() -> None:
    assert is_known("203.0.113.9", {"cloud.example"}, ("Cloud.example",))
    assert not is_known("203.0.113.9", {""}, ("cloud.example",))


def test_names_of_topics_alone_are_a_lesser_problem() -> None:
    tape = Tape()
    device(tape, 1, connect("d"), encode_publish(b"car/gps", b"(opaque)"))
    found = results(read_tape(tape))["PCP-04"]
    assert (str(found.state), str(found.severity)) == ("fail", "medium")


def test_a_card_of_many_addresses_is_called_a_routers() -> None:
    tape = Tape()
    for number in range(1, 8):
        device(tape, number, connect(f"d{number}"))
    frames = [(time_ns, frame[:6] + b"\x24\0\0\0\0\1" + frame[12:]) for time_ns, frame in tape.frames]
    found = read_bytes(pcap(frames))
    assert assets(found)["d1"].hardware[0] == "24:00:00:00:00:01 (a router's)"


def test_more_devices_than_there_is_room_for_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bollard.assess.capture.roster.MAX_DEVICES", 3)
    tape = Tape()
    for number in range(1, 9):
        device(tape, number, connect(f"d{number}"))
    found = read_tape(tape)
    assert len(assets(found)) == 4
    assert any("devices beyond" in note for note in found.notes)


def test_ctrl_c_ends_the_reading_and_what_was_read_is_judged() -> None:
    tape = mixed()
    for _ in range(3_000):
        tape.add(b"x" * 1_000)
    told: list[int] = []

    def interrupt(done: int, frames: int) -> None:
        told.append(done)
        if len(told) > 2:
            raise KeyboardInterrupt

    found = read(io.BytesIO(pcap(tape)), "tape", Settings(), interrupt)  # type: ignore[arg-type]
    assert not found.complete
    assert "broken off" in found.notes[0]
    assert states(found) == EXPECTED


class _Endless(io.RawIOBase):
    """A capture of 24 MiB that is made as it is read."""

    def __init__(self) -> None:
        tape = Tape()
        talk = Talk(tape, ("10.1.2.3", 40_000), BROKER).up(connect("cam"))
        head = pcap(tape)
        body = encode_publish(b"cam/image", b"x" * 50_000)
        tape.frames.clear()
        self._pieces = self._made(head, talk, tape, body)
        self._left = b""

    def _made(self, head: bytes, talk: Talk, tape: Tape, body: bytes) -> Iterator[bytes]:
        yield head
        for _ in range(480):
            talk.send(0, body, 16_000)
            yield pcap(tape)[24:]
            tape.frames.clear()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._left = self._left or next(self._pieces, b"")
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def test_a_large_capture_is_read_in_little_memory() -> None:
    file = _Endless()
    tracemalloc.start()
    try:
        found = read(file, "endless", Settings(), lambda done, frames: None)  # type: ignore[arg-type]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.traffic.publishes == 480
    assert peak < 4 << 20
