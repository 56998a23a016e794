"""TLS in recorded streams: who offers what, what was agreed to, who gave up and why."""

import ssl

import pytest

from assess.capture.reading import assets, read_tape, results, states
from assess.capture.scene import NAME, OLD_SUITE, connect
from bollard.assess.capture.evidence import TlsFlow
from bollard.assess.capture.hello import read_client_hello
from bollard.assess.capture.sniff import Capture
from support.captures import Handshake, Talk, Tape, client_context, handshake, play, server_context

SERVER = ("10.9.9.9", 8_883)
DATA = [(0, b"c" * 60), (1, b"s" * 60)]
TLS12 = ssl.TLSVersion.TLSv1_2


def captured(made: Handshake, *, port: int = 8_883, mss: int = 1_400, how: str = "close") -> Capture:
    tape = Tape()
    talk = Talk(tape, ("10.1.2.3", 40_000), ("10.9.9.9", port))
    for side, data in made.turns:
        talk.send(side, data, mss)
    if how == "close":
        talk.close()
    elif how == "reset":
        talk.reset()
    return read_tape(tape)


def only(capture: Capture) -> TlsFlow:
    (flow,) = capture.traffic.tls
    return flow


@pytest.mark.parametrize("mss", [1, 37, 1_400])
def test_a_good_handshake_of_1_3_is_told_as_it_was(mss: int) -> None:
    flow = only(captured(handshake(server_context(NAME), client_context(), NAME, DATA), mss=mss))
    assert (flow.version, flow.sni, flow.alpn, flow.why) == ("TLS 1.3", NAME, ("mqtt",), "ALPN")
    assert (flow.failed, flow.weak, flow.dated, flow.visible) == ("", (), (), False)
    assert flow.fingerprint.startswith("t13d")


def test_1_3_leaves_the_question_of_the_certificate_untested() -> None:
    made = states(captured(handshake(server_context(NAME), client_context(), NAME, DATA)))
    assert made["PCP-09"] == "not-tested"
    assert made["PCP-07"] == "pass"
    assert made["PCP-01"] == "pass"
    assert made["PCP-02"] == "not-tested"


@pytest.mark.parametrize("mss", [1, 1_400])
def test_up_to_1_2_the_certificate_is_seen_and_an_old_suite_is_named(mss: int) -> None:
    made = handshake(
        server_context(NAME, version=TLS12, ciphers=OLD_SUITE),
        client_context(version=TLS12, ciphers=OLD_SUITE),
        NAME,
        DATA,
    )
    capture = captured(made, mss=mss)
    flow = only(capture)
    assert (flow.version, flow.visible, flow.faults) == ("TLS 1.2", True, ())
    assert flow.dated == ("ECDHE_ECDSA_AES_128_CBC_SHA: no authenticated encryption",)
    assert str(results(capture)["PCP-07"].severity) == "medium"
    assert NAME in assets(capture, "server")["10.9.9.9:8883"].facts["certificates"][0]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_versions_below_1_2_are_weak(version: ssl.TLSVersion) -> None:
    server = server_context(NAME, version=version, ciphers="ALL:@SECLEVEL=0")
    client = client_context(version=version, ciphers="ALL:@SECLEVEL=0")
    made = handshake(server, client, NAME, DATA)
    if made.error:
        pytest.skip(f"this OpenSSL does not speak it any more: {made.error}")
    capture = captured(made)
    assert "TLS 1." in only(capture).weak[0]
    assert str(results(capture)["PCP-07"].severity) == "high"


def test_a_client_that_goes_on_with_an_expired_certificate_is_found() -> None:
    capture = captured(
        handshake(server_context(NAME, days=-3, version=TLS12), client_context(version=TLS12), NAME, DATA)
    )
    assert only(capture).faults[0].startswith("expired since 2026-09-18")
    assert states(capture)["PCP-09"] == "fail"


def test_a_client_that_goes_on_with_a_wrong_name_is_found() -> None:
    capture = captured(
        handshake(server_context("other.example", version=TLS12), client_context(version=TLS12), NAME, DATA)
    )
    assert only(capture).faults == ("made out to other.example, asked for as broker.example",)
    assert states(capture)["PCP-09"] == "fail"


def test_a_client_that_refuses_is_told_with_its_alert() -> None:
    server = server_context(NAME, days=-3, version=TLS12)
    capture = captured(handshake(server, client_context(careless=False, version=TLS12), NAME))
    flow = only(capture)
    assert (flow.alert, flow.proceeded) == (48, False)
    assert flow.failed == "the client sent the alert unknown_ca"
    assert states(capture)["PCP-09"] == "pass"
    assert states(capture)["PCP-08"] == "pass"


def test_an_alert_of_1_3_in_the_clear_is_told_although_the_certificate_is_hidden() -> None:
    capture = captured(handshake(server_context(NAME), client_context(careless=False), NAME))
    assert only(capture).failed == "the client sent the alert unknown_ca"
    assert states(capture)["PCP-09"] == "pass"


def test_an_encrypted_alert_of_1_3_is_told_as_the_hint_that_it_is() -> None:
    made = handshake(server_context(NAME), client_context(careless=False), NAME)
    made.turns[-1] = (0, b"\x14\3\3\0\1\1" + b"\x17\3\3\0\x13" + b"e" * 19)
    assert "as short as an alert" in only(captured(made)).failed


@pytest.mark.parametrize(("how", "said"), [("close", "closed"), ("reset", "reset"), ("", "")])
def test_a_hello_without_an_answer_failed_only_if_the_connection_ended(how: str, said: str) -> None:
    made = handshake(server_context(NAME), client_context(), NAME)
    made.turns = made.turns[:1]
    assert said in only(captured(made, how=how)).failed
    assert bool(said) == bool(only(captured(made, how=how)).failed)


def test_no_server_name_is_found() -> None:
    capture = captured(handshake(server_context(NAME), client_context(), None, DATA))
    assert states(capture)["PCP-13"] == "fail"


def test_tls_elsewhere_is_counted_and_not_judged() -> None:
    capture = captured(handshake(server_context(NAME), client_context(alpn=False), NAME, DATA), port=443)
    assert (capture.traffic.tls_flows, capture.traffic.other_tls) == (0, 1)
    assert set(states(capture).values()) == {"not-tested"}


def test_tls_on_a_port_that_the_user_names_counts() -> None:
    tape = Tape()
    made = handshake(server_context(NAME), client_context(alpn=False), NAME, DATA)
    play(Talk(tape, ("10.1.2.3", 40_000), ("10.9.9.9", 9_999)), made).close()
    assert read_tape(tape).traffic.tls_flows == 0
    assert read_tape(tape, tls_ports=(9_999,)).traffic.tls[0].why == "port 9999"


def test_tls_with_a_server_that_also_speaks_in_the_clear_counts() -> None:
    tape = Tape()
    made = handshake(server_context(NAME), client_context(alpn=False), NAME, DATA)
    play(Talk(tape, ("10.1.2.3", 40_000), ("10.9.9.9", 9_999)), made).close()
    Talk(tape, ("10.1.2.4", 40_000), ("10.9.9.9", 1_883)).up(connect("d"))
    assert "in the clear as well" in read_tape(tape).traffic.tls[0].why


def test_the_middle_of_a_connection_shows_tls_and_no_handshake() -> None:
    tape = Tape()
    talk = Talk(tape, ("10.1.2.3", 40_000), SERVER, opened=False)
    talk.up(b"\x17\3\3\0\x20" + b"x" * 32).down(b"\x17\3\3\0\x20" + b"y" * 32)
    capture = read_tape(tape)
    assert only(capture).hello_seen is False
    assert states(capture)["PCP-07"] == "inconclusive"
    assert states(capture)["PCP-13"] == "not-tested"


def test_a_fallback_to_plaintext_needs_the_same_client_and_server_and_time() -> None:
    refused = handshake(
        server_context(NAME, version=TLS12), client_context(careless=False, version=TLS12), NAME
    )
    for client, wait, expected in (
        ("10.1.2.3", 5, "fail"),
        ("10.1.2.4", 5, "pass"),
        ("10.1.2.3", 400, "pass"),
    ):
        tape = Tape()
        play(Talk(tape, ("10.1.2.3", 40_000), SERVER), refused).close()
        tape.wait(wait)
        Talk(tape, (client, 40_001), ("10.9.9.9", 1_883)).up(connect("d"))
        assert states(read_tape(tape))["PCP-08"] == expected


def test_grease_does_not_change_the_fingerprint() -> None:
    def hello(suites: bytes, extensions: bytes) -> bytes:
        body = b"\3\3" + b"r" * 32 + b"\0" + len(suites).to_bytes(2, "big") + suites + b"\1\0"
        return body + len(extensions).to_bytes(2, "big") + extensions

    plain = read_client_hello(hello(b"\x13\1\x13\2", b"\0\x2b\0\3\2\3\4"))
    greased = read_client_hello(hello(b"\x0a\x0a\x13\2\x13\1", b"\x1a\x1a\0\0\0\x2b\0\5\4\x2a\x2a\3\4"))
    assert plain is not None
    assert greased is not None
    assert plain.fingerprint == greased.fingerprint
    assert plain.fingerprint.startswith("t13i020100_")


@pytest.mark.parametrize(
    "body", [b"", b"\3\3", b"\3\3" + b"r" * 32 + b"\xff", b"\3\3" + b"r" * 32 + b"\0\xff\xff"]
)
def test_a_broken_hello_is_none(body: bytes) -> None:
    found = read_client_hello(body)
    assert found is None or found.sni == ""
