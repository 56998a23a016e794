"""Both kinds of channel: the same bytes, the same errors, the same ends, and no memory lost."""

import contextlib
import gc
import os
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from bollard.net import channels
from bollard.net.channel import Channel, SslObjectChannel
from bollard.net.channels import open_channel
from bollard.net.psk import PskContext
from bollard.net.tls import explain, reload_certificates

from .conftest import Certificates, mint
from .tls_pair import KINDS, Kind, Pair, received

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
SIZES = (1, 88, 16_383, 16_384, 16_385, 300_000)


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


@pytest.fixture(scope="module")
def contexts(certificates: Certificates) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return certificates.server(), certificates.client()


direct = pytest.mark.skipif("openssl" not in KINDS, reason="the channel straight on OpenSSL is not built")


def only(context: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    context.minimum_version = context.maximum_version = version
    return context


def fails(kind: Kind, server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLError:
    """The error of the channel in a handshake."""
    pair = Pair(kind, server, client, shake=False)
    with pytest.raises(ssl.SSLError) as caught:
        pair.shake()
    return caught.value


# Bytes.


@pytest.mark.parametrize("version", VERSIONS)
def test_bytes_of_any_length_pass_both_ways(
    kind: Kind, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    pair = Pair(kind, certificates.server(), only(certificates.client(), version))
    for size in SIZES:
        data = os.urandom(size)
        (records,) = pair.records(data)
        assert received(pair.channel, records) == data
        assert pair.hear(pair.channel.write(data)) == data


def test_what_came_with_the_end_of_the_handshake_is_received_next(
    kind: Kind, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    pair = Pair(kind, *contexts, shake=False)
    pair.step()
    pair.client.do_handshake()
    pair.client.write(b"CONNECT")
    first, rest = (data := pair.said())[:-5], data[-5:]
    assert pair.channel.feed(first) == len(first)
    assert pair.channel.handshake()
    assert received(pair.channel, b"") == b""
    assert received(pair.channel, rest) == b"CONNECT"


def test_a_handshake_in_single_bytes_is_understood(
    kind: Kind, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    pair = Pair(kind, *contexts, shake=False)
    while not pair.complete:
        with contextlib.suppress(ssl.SSLWantReadError):
            pair.client.do_handshake()
        for byte in pair.said():
            pair.channel.feed(bytes([byte]))
            pair.complete = pair.channel.handshake()
        pair.answer()
    assert received(pair.channel, pair.records(b"x")[0]) == b"x"


def test_writing_nothing_says_nothing(kind: Kind, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    pair = Pair(kind, *contexts)
    pair.channel.write(b"with the ticket")
    assert pair.channel.write(b"") == b""
    assert pair.channel.take() == b""


def test_large_output_is_one_record_for_every_16_kib(
    kind: Kind, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    pair = Pair(kind, *contexts)
    pair.channel.write(b"with the ticket")
    assert len(pair.channel.write(bytes(10 * 16_384))) == 10 * (16_384 + 22)


# Sessions and certificates.


@pytest.mark.parametrize("version", VERSIONS)
def test_a_resumed_session_still_shows_the_certificate(
    kind: Kind, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    server, client = certificates.server(), only(certificates.device("plug"), version)
    first = Pair(kind, server, client)
    first.hear(first.channel.write(b"x"))
    again = Pair(kind, server, client, session=first.client.session)
    assert again.client.session_reused
    shown = again.channel.certificate()
    assert b"plug@device.test" in (shown or b"")
    assert shown == first.channel.certificate()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_is_resumed_after_new_certificates_were_loaded(
    kind: Kind, certificates: Certificates, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    server, client = certificates.server(), only(certificates.client(), version)
    first = Pair(kind, server, client)
    first.hear(first.channel.write(b"x"))
    reload_certificates(server, [mint(certificates.authority, tmp_path, "new", trustme.KeyType.ECDSA)])
    assert Pair(kind, server, client, session=first.client.session).client.session_reused
    assert Pair(kind, server, client).client.getpeercert(True) != first.client.getpeercert(True)


def test_a_session_of_one_kind_is_resumed_by_the_other(certificates: Certificates) -> None:
    server, client = certificates.server(), certificates.device("plug")
    session = None
    for kind in (*KINDS.values(), *KINDS.values()):
        pair = Pair(kind, server, client, session=session)
        assert pair.client.session_reused == (session is not None)
        pair.hear(pair.channel.write(b"x"))
        session = pair.client.session


def test_tickets_wait_for_the_first_words(
    kind: Kind, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    pair = Pair(kind, *contexts)
    assert pair.channel.patient
    assert not pair.client.session.has_ticket
    assert pair.hear(pair.channel.write(b"CONNACK")) == b"CONNACK"
    assert pair.client.session.has_ticket


def test_before_tls_1_3_our_end_of_the_handshake_does_not_wait(
    kind: Kind, certificates: Certificates
) -> None:
    pair = Pair(kind, certificates.server(), only(certificates.client(), ssl.TLSVersion.TLSv1_2))
    assert not pair.channel.patient
    assert pair.client.session.has_ticket


def test_a_client_may_have_no_certificate(
    kind: Kind, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    assert Pair(kind, *contexts).channel.certificate() is None


@direct
def test_no_stranger_fills_a_cache_of_sessions(certificates: Certificates) -> None:
    server, client = certificates.server(), only(certificates.client(), ssl.TLSVersion.TLSv1_2)
    client.options |= ssl.OP_NO_TICKET
    for _ in range(3):
        Pair(KINDS["openssl"], server, client)
    assert server.session_stats()["number"] == 0


# Failures.


def test_what_fails_has_the_same_name_in_both_kinds(certificates: Certificates) -> None:
    def no_suite() -> ssl.SSLContext:
        client = only(certificates.client(), ssl.TLSVersion.TLSv1_2)
        client.set_ciphers("AES128-GCM-SHA256")
        return client

    cases = {
        "NO_SHARED_CIPHER": no_suite,
        "CERTIFICATE_VERIFY_FAILED": lambda: certificates.device("plug", trustme.CA()),
        "TLSV1_ALERT_UNKNOWN_CA": ssl.create_default_context,
    }
    for reason, client in cases.items():
        errors = [fails(kind, certificates.server(), client()) for kind in KINDS.values()]
        assert {error.reason for error in errors} == {reason}
        assert {error.library for error in errors} == {"SSL"}
        assert len({explain(error) for error in errors}) == 1
        assert len({type(error) for error in errors}) == 1


def test_the_fault_of_a_certificate_is_told(kind: Kind, certificates: Certificates) -> None:
    error = fails(kind, certificates.server(), certificates.device("plug", trustme.CA()))
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert error.verify_message == "unable to get local issuer certificate"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "HTTP_REQUEST"),
        (b"\x16\x03\x01\x00\x05hello", None),
        (b"\x16\x03\x01\xff\xff" + bytes(20), None),
        (b"\x15\x03\x01\x00\x02\x02\x28", None),
        (bytes(64), None),
    ],
)
def test_nonsense_is_an_error_of_tls(
    kind: Kind, certificates: Certificates, said: bytes, reason: str | None
) -> None:
    channel = kind(certificates.server())
    channel.feed(said)
    with pytest.raises(ssl.SSLError) as caught:
        channel.handshake()
    assert reason in (None, caught.value.reason)
    assert channel.close() in (
        b"",
        *(bytes([0x15, 3, minor, 0, 2, 2, what]) for minor in (1, 3) for what in range(120)),
    )
    with pytest.raises(ssl.SSLError):
        channel.handshake()


def test_a_refusal_comes_with_an_alert(kind: Kind, certificates: Certificates) -> None:
    pair = Pair(kind, certificates.server(), certificates.device("plug", trustme.CA()), shake=False)
    with pytest.raises(ssl.SSLError):
        pair.shake()
    with pytest.raises(ssl.SSLError, match=r"(?i)unknown ca"):
        pair.hear(pair.channel.take())


def test_a_damaged_record_is_a_fault_behind_what_came_before(
    kind: Kind, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    pair = Pair(kind, *contexts)
    whole, damaged, lost = pair.records(b"whole", b"damaged", b"lost")
    damaged = damaged[:-1] + bytes([damaged[-1] ^ 1])
    assert received(pair.channel, whole + damaged + lost) == b"whole"
    assert pair.channel.fault is not None
    assert pair.channel.fault.reason == "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"
    assert received(pair.channel, lost) == b""
    with pytest.raises(ssl.SSLError, match=r"(?i)bad record mac"):
        pair.hear(pair.channel.take())
    with pytest.raises(ssl.SSLError):
        pair.channel.write(b"too late")


def test_before_the_handshake_nothing_can_be_said(kind: Kind, certificates: Certificates) -> None:
    with pytest.raises(ssl.SSLError):
        kind(certificates.server()).write(b"too early")


# The end.


@pytest.mark.parametrize("version", VERSIONS)
def test_a_proper_end_is_told_behind_what_came_before(
    kind: Kind, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    pair = Pair(kind, certificates.server(), only(certificates.client(), version))
    assert received(pair.channel, pair.records(b"last words")[0] + pair.notice()) == b"last words"
    assert pair.channel.ended
    assert pair.channel.fault is None
    assert received(pair.channel, b"whatever") == b""


def test_our_end_is_a_close_notify_behind_all_that_waits(
    kind: Kind, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    pair = Pair(kind, *contexts)
    assert pair.hear(pair.channel.write(b"last words")) == b"last words"
    pair.hear(pair.channel.close())
    assert pair.client.read(10) == b"", "an end without close_notify would raise"
    assert pair.channel.close() == b""


def test_a_channel_without_a_handshake_has_nothing_to_end(kind: Kind, certificates: Certificates) -> None:
    assert kind(certificates.server()).close() == b""


# Key updates and renegotiation.


@pytest.mark.parametrize("asking", [False, True])
def test_new_keys_are_taken_and_answered(
    kind: Kind, contexts: tuple[ssl.SSLContext, ssl.SSLContext], asking: bool
) -> None:
    pair = Pair(kind, *contexts)
    pair.hear(pair.channel.write(b"x"))
    for _ in range(3):
        update = pair.update_keys(asking=asking)
        assert received(pair.channel, update + pair.records(b"under new keys")[0]) == b"under new keys"
        record = 5 + len(b"so are mine") + 1 + 16
        answer = pair.channel.take() + pair.channel.write(b"so are mine")
        assert len(answer) == record + asking * (5 + 5 + 1 + 16)
        assert pair.hear(answer) == b"so are mine"


@direct
def test_new_keys_without_end_are_a_fault(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    pair = Pair(KINDS["openssl"], *contexts)
    updates = [pair.update_keys(asking=False) for _ in range(33)]
    assert received(pair.channel, b"".join(updates[:20])) == b""
    for update in updates[20:]:
        assert pair.channel.fault is None
        received(pair.channel, update)
    assert received(pair.channel, pair.records(b"x")[0]) == b""
    assert pair.channel.fault is not None
    assert pair.channel.fault.reason == "TOO_MANY_KEY_UPDATES"


def test_a_flood_of_new_keys_is_a_fault(kind: Kind, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    pair = Pair(kind, *contexts)
    flood = b"".join(pair.update_keys(asking=False) for _ in range(2 * 32_768 // 27))
    assert received(pair.channel, flood) == b""
    assert pair.channel.fault is not None
    assert "too many key updates" in explain(pair.channel.fault)


def test_new_keys_now_and_then_are_no_fault(
    kind: Kind, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    pair = Pair(kind, *contexts)
    for _ in range(100):
        assert received(pair.channel, pair.update_keys(asking=False) + pair.records(b"x")[0]) == b"x"
    assert pair.channel.fault is None


def test_a_wish_for_another_handshake_is_not_granted(kind: Kind, certificates: Certificates) -> None:
    pair = Pair(kind, certificates.server(), only(certificates.client(), ssl.TLSVersion.TLSv1_2))
    assert received(pair.channel, pair.renegotiate()) == b""
    assert pair.channel.fault is None
    assert len(pair.channel.take()) == 5 + 8 + 2 + 16, "a warning, and no ServerHello"


# Attacks with chance.


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@given(
    messages=st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=6),
    large=st.sampled_from((0, 20_000)),
    cuts=st.lists(st.integers(1, 700), max_size=8),
    close_at=st.integers(0, 9),
    harm=st.sampled_from(("none", "flip", "truncate", "insert", "repeat")),
    where=st.floats(0, 1, exclude_max=True),
)
@settings(max_examples=60, deadline=None)
def test_what_is_received_is_what_was_sent_up_to_the_first_harm(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
    kind: Kind,
    messages: list[bytes],
    large: int,
    cuts: list[int],
    close_at: int,
    harm: str,
    where: float,
) -> None:
    pair = Pair(kind, *contexts)
    messages = [*messages, bytes(large)] if large else messages
    wire, closed = b"", False
    for number, message in enumerate(messages):
        if number == close_at:
            wire += pair.notice()
            messages, closed = messages[:number], True
            break
        wire += b"".join(pair.records(message))
    sent, place = b"".join(messages), int(where * len(wire))
    changed = {
        "none": wire,
        "flip": wire[:place] + bytes([wire[place] ^ 0x40]) + wire[place + 1 :],
        "truncate": wire[:place],
        "insert": wire[:place] + b"\x00" + wire[place:],
        "repeat": wire[:place] + wire[max(0, place - 30) :],
    }[harm]
    got = b""
    for cut in (*cuts, len(changed)):
        got += received(pair.channel, changed[:cut])
        changed = changed[cut:]
    assert sent.startswith(got)
    if harm == "none":
        assert got == sent
        assert pair.channel.fault is None
        assert pair.channel.ended == closed
    pair.channel.take()
    pair.channel.close()


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=5),
    cut=st.floats(0, 1),
    tail=st.binary(max_size=40),
)
@settings(max_examples=60, deadline=None)
def test_a_damaged_hello_is_understood_or_an_error_of_tls(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
    kind: Kind,
    flips: list[tuple[float, int]],
    cut: float,
    tail: bytes,
) -> None:
    pair = Pair(kind, *contexts, shake=False)
    with contextlib.suppress(ssl.SSLWantReadError):
        pair.client.do_handshake()
    hello = bytearray(pair.said())
    for place, change in flips:
        hello[int(place * len(hello))] ^= change
    pair.channel.feed(bytes(hello[: int(cut * len(hello))]) + tail)
    with contextlib.suppress(ssl.SSLError):
        assert not pair.channel.handshake()
    pair.channel.take()


CALLS = ("say", "update", "notice", "nonsense", "feed", "handshake", "write", "take", "close", "certificate")


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@given(calls=st.lists(st.sampled_from(CALLS), max_size=25), size=st.integers(0, 40_000))
@settings(max_examples=100, deadline=None)
def test_calls_in_any_order_end_in_bytes_or_an_error_of_tls(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], kind: Kind, calls: list[str], size: int
) -> None:
    pair = Pair(kind, *contexts)
    channel = pair.channel
    make: dict[str, Callable[[], object]] = {
        "say": lambda: received(channel, b"".join(pair.records(bytes(size)))),
        "update": lambda: received(channel, pair.update_keys()),
        "notice": lambda: received(channel, pair.notice()),
        "nonsense": lambda: received(channel, bytes(size)),
        "feed": lambda: channel.feed(bytes(size)),
        "handshake": channel.handshake,
        "write": lambda: channel.write(bytes(size)),
        "take": channel.take,
        "close": channel.close,
        "certificate": channel.certificate,
    }
    for number, call in enumerate(calls):
        if "notice" in calls[:number] and call in ("say", "update", "notice"):
            continue  # the client has said its last
        with contextlib.suppress(ssl.SSLError):
            assert isinstance(make[call](), bytes | int | None)


# Memory and threads.


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_what_has_gone_leaves_no_memory_behind(certificates: Certificates) -> None:
    kind = list(KINDS.values())[-1]
    server = certificates.server()

    def come_and_go(times: int) -> None:
        for number in range(times):
            channel = kind(server)
            if number % 3:
                channel.feed(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(506))
                with pytest.raises(ssl.SSLError):
                    channel.handshake()
                if number % 2:
                    channel.take()

    come_and_go(300)
    before = resident_bytes()
    come_and_go(1500)
    assert resident_bytes() - before < 1500 * 1024, "an SSL alone takes several KiB"


def test_handshakes_in_several_threads_do_not_meet(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    kind = list(KINDS.values())[-1]
    done: list[bytes] = []

    def work() -> None:
        for number in range(20):
            pair = Pair(kind, *contexts)
            said = b"%d" % number
            done.append(pair.hear(pair.channel.write(received(pair.channel, pair.records(said)[0]))))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == sorted(b"%d" % number for number in range(20) for _ in range(4))


# Which kind.


def test_a_context_whose_callbacks_need_pythons_objects_gets_them(
    certificates: Certificates, tmp_path: Path
) -> None:
    plain, named, logging, traced, asking = (certificates.server() for _ in range(5))
    assert type(open_channel(plain)) is list(KINDS.values())[-1]
    named.sni_callback = lambda *_: None
    logging.keylog_filename = str(tmp_path / "keys")
    traced._msg_callback = lambda *_: None  # type: ignore[attr-defined]
    asking.post_handshake_auth = True
    for context in (named, logging, traced, asking, PskContext(ssl.PROTOCOL_TLS_SERVER)):
        assert type(open_channel(context)) is SslObjectChannel


def test_it_is_told_why_openssl_is_not_used_directly() -> None:
    assert bool(channels.INDIRECT) == ("openssl" not in KINDS)


def test_what_is_sent_may_be_in_a_buffer_that_is_used_again(
    kind: Kind, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    pair = Pair(kind, *contexts)
    buffer = bytearray(b"first" * 10_000)
    records = pair.channel.write(buffer)
    buffer[:] = bytes(len(buffer))
    del buffer[5:]  # nothing refers to it any more
    assert pair.hear(records) == b"first" * 10_000


@direct
def test_what_is_no_bytes_is_neither_read_nor_written(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    pair = Pair(KINDS["openssl"], *contexts)
    for strange in ("text", memoryview(b"view"), [1]):
        with pytest.raises(TypeError):
            pair.channel.write(strange)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            pair.channel.receive(strange, len(strange))  # type: ignore[arg-type]
    for size in (-1, 3):
        with pytest.raises(ValueError, match="not there"):
            pair.channel.receive(b"ab", size)
    assert pair.hear(pair.channel.write(b"as before")) == b"as before"


@direct
def test_what_is_no_context_is_not_taken_for_one() -> None:
    with pytest.raises(TypeError):
        KINDS["openssl"](object())  # type: ignore[arg-type]


def test_a_channel_is_abstract() -> None:
    channel = Channel()
    for use in (lambda: channel.feed(b""), channel.handshake, lambda: received(channel, b""), channel.take):
        with pytest.raises(NotImplementedError):
            use()
