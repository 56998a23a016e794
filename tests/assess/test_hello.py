"""ClientHellos of our own, against real TLS of several ages and against bytes of an attacker's making."""

import asyncio
import ssl
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assess.rooms import room
from assess.servers import Server, context, mint, says, silent
from bollard.assess.probes import hello
from bollard.assess.probes.evidence import NoAnswer, TlsOffer
from bollard.assess.probes.hello import Answer, client_hello, read_flight


def offer(server: Server) -> TlsOffer:
    (found,) = asyncio.run(hello.probe_tls(room(server.port, "tls")))
    return found


def accepted(found: TlsOffer) -> list[str]:
    return [each.version for each in found.versions if each.accepted]


def server_hello(version: int, suite: int, extensions: bytes = b"", retry: bool = False) -> bytes:
    """A ServerHello in a record, as a server of any age writes it."""
    random = (
        bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
        if retry
        else b"r" * 32
    )
    body = struct.pack(">H", version) + random + b"\0" + struct.pack(">HB", suite, 0)
    if extensions:
        body += struct.pack(">H", len(extensions)) + extensions
    message = b"\x02" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x03" + struct.pack(">H", len(message)) + message


def test_a_modern_server_speaks_two_versions(tmp_path: Path) -> None:
    with Server(silent, context(tmp_path)) as server:
        found = offer(server)
    assert accepted(found) == ["TLS 1.2", "TLS 1.3"]
    assert found.aead
    assert not found.weak
    assert "X25519" in found.groups
    assert found.extended_master_secret
    assert found.secure_renegotiation
    assert found.client_certificate is False


def test_old_versions_are_found(tmp_path: Path) -> None:
    old = context(
        tmp_path, lowest=ssl.TLSVersion.TLSv1, highest=ssl.TLSVersion.TLSv1_1, ciphers="ALL:@SECLEVEL=0"
    )
    with Server(silent, old) as server:
        assert accepted(offer(server)) == ["TLS 1.0", "TLS 1.1"]


def test_tls_13_alone_is_found(tmp_path: Path) -> None:
    with Server(silent, context(tmp_path, lowest=ssl.TLSVersion.TLSv1_3)) as server:
        found = offer(server)
    assert accepted(found) == ["TLS 1.3"]
    assert found.extended_master_secret is None
    assert found.client_certificate is None


def test_suites_without_encryption_or_authentication_are_found(tmp_path: Path) -> None:
    weak = context(
        tmp_path,
        highest=ssl.TLSVersion.TLSv1_2,
        ciphers="NULL:aNULL:AES128-SHA:DHE-RSA-AES128-SHA:@SECLEVEL=0",
        certificate=mint(tmp_path, key="2048"),
    )
    with Server(silent, weak) as server:
        found = offer(server)
    assert set(found.weak) == {"no encryption", "no authentication"}
    assert found.static_rsa == "RSA_AES_128_CBC_SHA"
    assert not found.aead


def test_a_request_for_a_client_certificate_is_seen(tmp_path: Path) -> None:
    cert_file, key_file = mint(tmp_path)
    mutual = context(
        tmp_path,
        highest=ssl.TLSVersion.TLSv1_2,
        certificate=(cert_file, key_file),
        client_ca=cert_file,
    )
    with Server(silent, mutual) as server:
        assert offer(server).client_certificate is True


def test_what_speaks_no_tls_is_no_evidence() -> None:
    with Server(says(b"\x20\x02\x00\x00")) as server, pytest.raises(NoAnswer):
        offer(server)


def test_plaintext_is_not_asked_for_tls() -> None:
    with pytest.raises(NoAnswer, match="no TLS"):
        asyncio.run(hello.probe_tls(room(1, "tcp")))


def test_a_hybrid_group_is_named_by_a_retry_request() -> None:
    extensions = struct.pack(">HHH", 43, 2, 0x0304) + struct.pack(">HHH", 51, 2, 0x11EC)
    with Server(says(server_hello(0x0303, 0x1301, extensions, retry=True))) as server:
        found = offer(server)
    assert found.hybrid_groups == ("X25519MLKEM768",)
    assert found.groups == ()


def test_a_suite_that_was_not_offered_is_not_believed() -> None:
    with Server(says(server_hello(0x0303, 0x1301))) as server:
        found = offer(server)
    assert found.weak == {}


def test_an_alert_is_tls_and_no_agreement() -> None:
    answer, more = read_flight(b"\x15\x03\x03\x00\x02\x02\x28")
    assert (answer.tls, answer.alert, answer.version, more) == (True, 40, 0, False)


def test_a_flight_in_pieces_needs_more() -> None:
    whole = server_hello(0x0303, 0xC02F)
    for size in range(len(whole)):
        answer, more = read_flight(whole[:size])
        assert more
        assert answer.version == 0
    assert read_flight(whole)[0].suite == 0xC02F


@pytest.mark.parametrize("version", hello.VERSIONS.values())
def test_a_hello_says_how_long_it_is(version: int) -> None:
    data = client_hello(version, (0xC02F,), "localhost")
    assert data[0] == 22
    assert int.from_bytes(data[3:5], "big") == len(data) - 5
    assert int.from_bytes(data[6:9], "big") == len(data) - 9


def test_an_address_is_no_server_name() -> None:
    assert b"localhost" in client_hello(0x0303, (0xC02F,), "localhost")
    assert b"127.0.0.1" not in client_hello(0x0303, (0xC02F,), "127.0.0.1")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_raise(data: bytes) -> None:
    assert isinstance(read_flight(data)[0], Answer)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_damaged_flight_makes_the_reader_raise(data: st.DataObject) -> None:
    whole = bytearray(server_hello(0x0303, 0xC02F, struct.pack(">HHH", 43, 2, 0x0304)))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(read_flight(bytes(whole))[0], Answer)
