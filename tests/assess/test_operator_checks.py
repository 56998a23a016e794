"""Checks that need a word of the operator: revocation, response topics, the ceiling of connections; and 0-RTT."""

import asyncio
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assess.peers import nats, start_nats
from assess.rooms import room
from assess.servers import Server, context, mint, says
from assess.targets import assess, free_port, identity, ids, mosquitto, password_file, start_mosquitto
from assess.test_targets import by_id
from bollard.assess.model import Result, State
from bollard.assess.probes.early import SUITES, early_data, probe_tickets, read_tickets
from bollard.assess.probes.evidence import Tickets
from bollard.assess.probes.room import Bounds, Identity
from cli.daemon import Daemon

needs_mosquitto = pytest.mark.skipif(mosquitto() is None, reason="needs Debian's mosquitto")
needs_nats = pytest.mark.skipif(nats() is None, reason="needs Debian's nats-server")
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
pytestmark = pytest.mark.slow
BOTH = (identity("one", "first-secret"), identity("two", "second-secret"))


def revocation(
    port: int, identities: tuple[Identity, ...], command: tuple[str, ...], **changes: object
) -> Result:
    report = assess(
        port,
        identities=identities,
        revoke_command=command,
        only=frozenset({"SCN-21"}),
        **changes,
    )
    return by_id(report)["SCN-21"]


@needs_mosquitto
def test_a_revocation_that_only_takes_the_password_is_outlived(tmp_path: Path) -> None:
    passwords = password_file(tmp_path, one="first-secret", two="second-secret")
    # Without a reload the broker goes on with what it read: everything outlives such a revocation.
    command = ("mosquitto_passwd", "-D", str(passwords), "two")
    with start_mosquitto(tmp_path, "allow_anonymous false", f"password_file {passwords}") as broker:
        result = revocation(broker.port, BOTH, command)
        left = by_id(assess(broker.port, identities=BOTH, only=frozenset({"SCN-13"})))["SCN-13"]
    assert result.state is State.FAIL
    assert set(result.evidence["ways"]) == {
        "connection",
        "half of a QoS 2 exchange",
        "login",
        "queued message",
        "retained message",
        "subscription",
        "topic alias",
        "will",
    }
    assert left.observed == "no retained message of others could be read"


@needs_mosquitto
def test_a_command_that_fails_tests_nothing_and_shows_nothing_of_itself(tmp_path: Path) -> None:
    passwords = password_file(tmp_path, one="first-secret", two="second-secret")
    command = (sys.executable, "-c", "import sys; sys.exit('a-secret-of-the-command')")
    with start_mosquitto(tmp_path, "allow_anonymous false", f"password_file {passwords}") as broker:
        result = revocation(broker.port, BOTH, command)
    assert result.state is State.NOT_TESTED
    assert result.observed == "the command that revokes failed with exit code 1"


def test_nothing_outlives_a_revocation_by_bollard_and_no_answer_goes_astray(tmp_path: Path) -> None:
    with Daemon(tmp_path / "state") as broker:
        app, plug = broker.json("enroll", "app", "--as", "app"), broker.json("enroll", "plug")
        identities = tuple(identity(each["username"], each["password"]) for each in (app, plug))
        revoke = ("devices", "revoke", "plug", "--dir", str(tmp_path / "state"))
        topics = {"own_topic": "devices/other/cmd", "shared_topic": "devices/plug/cmd"}
        asked = assess(
            broker.port, identities=identities, ca_file=broker.ca_file, only=frozenset({"SCN-24"}), **topics
        )
        result = revocation(
            broker.port,
            identities,
            (sys.executable, "-m", "bollard", *revoke),
            ca_file=broker.ca_file,
            **topics,
        )
    # A request that asks for an answer elsewhere than where its author may receive goes nowhere.
    assert by_id(asked)["SCN-24"].state is State.PASS
    assert result.state is State.PASS, result
    assert {"connection", "login", "retained message", "queued message", "will"} <= set(
        result.evidence["ended"]
    )


@needs_mosquitto
def test_a_request_makes_a_responder_write_where_its_author_may_not(tmp_path: Path) -> None:
    passwords = password_file(tmp_path, one="first-secret", two="second-secret")
    (tmp_path / "acl").write_text("pattern readwrite devices/%u/#\npattern readwrite shared/#\n")
    lines = ("allow_anonymous false", f"password_file {passwords}", f"acl_file {tmp_path / 'acl'}")
    with start_mosquitto(tmp_path, *lines) as broker:
        report = assess(
            broker.port,
            identities=BOTH,
            own_topic="devices/one",
            shared_topic="shared",
            only=frozenset({"SCN-24"}),
        )
    assert by_id(report)["SCN-24"].state is State.FAIL


@needs_nats
@pytest.mark.parametrize(("most", "state"), [(10, State.PASS), (100, State.FAIL)])
def test_a_ceiling_of_connections_is_found_or_missed(tmp_path: Path, most: int, state: State) -> None:
    with start_nats(tmp_path, f"max_connections: {most}") as broker:
        report = assess(broker.port, intrusive=True, ceiling=20, only=frozenset({"SCN-38"}))
    assert by_id(report)["SCN-38"].state is state


@needs_mosquitto
def test_nothing_is_strained_without_the_word(tmp_path: Path) -> None:
    with start_mosquitto(tmp_path, "allow_anonymous true") as broker:
        report = assess(broker.port, only=frozenset({"SCN-38"}))
    assert ids(report, State.NOT_TESTED) == {"SCN-38"}


class OpenSsl:
    """`openssl s_server` that answers as a broker of 3.1.1 would not, and offers tickets as it is told."""

    def __init__(self, folder: Path, *options: str) -> None:
        cert, key = mint(folder)
        self.port = free_port()
        own = ["-accept", f"127.0.0.1:{self.port}", "-cert", str(cert), "-key", str(key), "-quiet"]
        self._command = ["openssl", "s_server", *own, *options]

    def __enter__(self) -> int:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self.port
            except OSError:
                time.sleep(0.05)
        raise AssertionError("it did not start")

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)
        assert self._process.stdin is not None
        self._process.stdin.close()


def tickets(port: int) -> Tickets:
    (found,) = asyncio.run(probe_tickets(room(port, "tls", bounds=Bounds(timeout_s=1.0))))
    return found


@needs_openssl
@pytest.mark.parametrize("suite", SUITES)
def test_tickets_tell_whether_early_data_is_taken(tmp_path: Path, suite: str) -> None:
    with OpenSsl(tmp_path, "-ciphersuites", suite, "-early_data", "-max_early_data", "16384") as port:
        found = tickets(port)
    assert (found.count, found.early_data_bytes) == (2, 16_384)


@needs_openssl
def test_tickets_without_early_data_are_counted(tmp_path: Path) -> None:
    with OpenSsl(tmp_path) as port:
        found = tickets(port)
    assert (found.count, found.early_data_bytes) == (2, 0)


def test_a_server_without_tls_13_has_no_tickets_to_read(tmp_path: Path) -> None:
    import ssl

    old = context(tmp_path, highest=ssl.TLSVersion.TLSv1_2)
    with Server(says(b"\x20\x02\x00\x05"), old) as server:
        report = assess(server.port, only=frozenset({"TLS-15"}))
    assert by_id(report)["TLS-15"].state is State.PASS


@pytest.mark.parametrize("cut", range(0, 90, 7))
def test_records_that_do_not_decrypt_or_end_too_soon_hold_no_ticket(cut: int) -> None:
    record = b"\x17\x03\x03\x00\x50" + b"x" * 80
    assert early_data(record[:cut] + b"\xff" * (cut % 3), b"s" * 32, SUITES["TLS_AES_128_GCM_SHA256"]) == []


@given(st.binary(max_size=200))
def test_no_message_makes_the_reader_of_tickets_raise(data: bytes) -> None:
    assert all(0 <= each < 1 << 32 for each in read_tickets(data))
    # A NewSessionTicket in front of it is still read.
    ticket = b"\0" * 8 + b"\0" + b"\0\1t" + b"\0\x08\0\x2a\0\4\0\0\x40\0"
    assert read_tickets(b"\4" + len(ticket).to_bytes(3, "big") + ticket + data)[0] == 16_384
