"""Truth tables: what is wrong with a real broker, written down before it is scanned, and what the scan says.

Each table names every check that has to fail, and every one that has to stay unclear; all others that ran have to
pass. What a version alone suggests (SCN-35) depends on the machine and is left out.
"""

import asyncio
import contextlib
import dataclasses
import json
import re
import time
from collections import Counter
from pathlib import Path

import pytest

from assess.rooms import FAST
from assess.targets import (
    Papers,
    amqtt,
    assess,
    free_port,
    identity,
    ids,
    mosquitto,
    password_file,
    start_amqtt,
    start_mosquitto,
)
from bollard.assess.model import Result, State, grade
from bollard.assess.plan import HostReport
from bollard.assess.probes.room import Bounds, Identity
from bollard.client import Client
from cli.daemon import Daemon

needs_mosquitto = pytest.mark.skipif(mosquitto() is None, reason="needs Debian's mosquitto")
needs_amqtt = pytest.mark.skipif(
    amqtt() is None, reason="needs amqtt: python -m venv build/amqtt, pip install amqtt"
)
pytestmark = pytest.mark.slow

#: What Mosquitto leaves to its administrator, whoever may enter.
UNBOUNDED = {"SCN-26", "SCN-27", "SCN-28", "SCN-33"}
#: What follows from letting everybody do everything.
OPEN = {"SCN-04", "SCN-10", "SCN-11", "SCN-14", "SCN-18", "SCN-31", "SCN-32"}
PLAINTEXT = {"SCN-02", "TLS-01"}
#: Notes rather than problems: trustme's certificates live for long, and hybrid groups need OpenSSL 3.5.
NOTES = {"TLS-11", "TLS-16"}


def expect(report: HostReport, fails: set[str], unclear: set[str]) -> None:
    """The table holds, and what was not tested says why."""
    assert ids(report, State.FAIL) - NOTES == fails
    assert ids(report, State.INCONCLUSIVE) - {"SCN-35"} == unclear
    assert all(result.observed for result in report.results)


def by_id(report: HostReport) -> dict[str, Result]:
    return {result.check: result for result in report.results}


@needs_mosquitto
def test_mosquitto_that_lets_everybody_in(tmp_path: Path) -> None:
    with start_mosquitto(tmp_path, "allow_anonymous true") as broker:
        report = assess(broker.port)
    # A grant for $CONTROL/# proves nothing, since no plugin publishes there.
    expect(report, OPEN | UNBOUNDED | PLAINTEXT, {"SCN-23"})
    assert report.targets[0].product.startswith("mosquitto 2.")
    assert grade(report.results).letter == "F"


@needs_mosquitto
def test_mosquitto_with_passwords_and_an_access_list(tmp_path: Path) -> None:
    passwords = password_file(tmp_path, one="first-secret", two="second-secret")
    (tmp_path / "acl").write_text("pattern readwrite devices/%u/#\n")
    lines = ("allow_anonymous false", f"password_file {passwords}", f"acl_file {tmp_path / 'acl'}")
    with start_mosquitto(tmp_path, *lines) as broker:
        both = (identity("one", "first-secret"), identity("two", "second-secret"))
        report = assess(broker.port, identities=both)
        fenced = assess(broker.port, identities=both, own_topic="devices/one", only=frozenset({"SCN-10"}))
    # Client ids are not tied to users, and nothing slows down guessing.
    fails = PLAINTEXT | UNBOUNDED | {"SCN-08", "SCN-19", "SCN-20"}
    # This list answers every SUBSCRIBE with success and withholds the messages: a grant proves nothing.
    expect(report, fails, {"SCN-10", "SCN-11", "SCN-17", "SCN-23"})
    assert by_id(report)["SCN-14"].state is State.PASS
    # Only a canary where one may publish tells for certain that the other cannot read it.
    assert by_id(fenced)["SCN-10"].state is State.PASS


@needs_mosquitto
def test_mosquitto_whose_access_list_lets_everybody_read_everything(tmp_path: Path) -> None:
    passwords = password_file(tmp_path, one="first-secret", two="second-secret")
    (tmp_path / "acl").write_text("pattern readwrite devices/%u/#\npattern read #\n")
    lines = ("allow_anonymous false", f"password_file {passwords}", f"acl_file {tmp_path / 'acl'}")
    with start_mosquitto(tmp_path, *lines) as broker:
        both = (identity("one", "first-secret"), identity("two", "second-secret"))
        report = assess(broker.port, identities=both, own_topic="devices/one", only=frozenset({"SCN-10"}))
    assert by_id(report)["SCN-10"].state is State.FAIL


@needs_mosquitto
def test_mosquitto_as_version_2_delivers_it(tmp_path: Path) -> None:
    with start_mosquitto(tmp_path) as broker:
        report = assess(broker.port)
    # Nobody is let in, and there is nobody who could be; still, the password would travel in the clear.
    expect(report, PLAINTEXT | {"SCN-08"}, {"SCN-33"})


@needs_mosquitto
def test_mosquitto_with_tls_that_lets_everybody_in(tmp_path: Path) -> None:
    papers = Papers(tmp_path)
    lines = ("allow_anonymous true", f"certfile {papers.cert}", f"keyfile {papers.key}")
    with start_mosquitto(tmp_path, *lines) as broker:
        report = assess(broker.port, ca_file=papers.ca)
    expect(report, OPEN | UNBOUNDED, {"SCN-23"})
    assert {"SCN-02", "TLS-01", "TLS-02", "TLS-07", "TLS-08"} <= ids(report, State.PASS)


@needs_mosquitto
def test_mosquitto_that_wants_client_certificates(tmp_path: Path) -> None:
    papers = Papers(tmp_path)
    lines = (
        f"certfile {papers.cert}",
        f"keyfile {papers.key}",
        f"cafile {papers.ca}",
        "require_certificate true",
        "use_identity_as_username true",
    )
    with start_mosquitto(tmp_path, *lines) as broker:
        outside = assess(broker.port, ca_file=papers.ca, expect_mtls=True)
        ours = Identity(label="plug", cert_file=papers.client_cert, key_file=papers.client_key)
        inside = assess(broker.port, ca_file=papers.ca, expect_mtls=True, identities=(ours,))
    expect(outside, set(), set())
    assert {"SCN-04", "TLS-07", "TLS-13", "TLS-14"} <= ids(outside, State.PASS)
    assert {"SCN-05", "SCN-07", "SCN-14"} <= ids(outside, State.NOT_TESTED)
    # Who has a certificate may do everything, for there is no access list.
    expect(inside, (OPEN | UNBOUNDED) - {"SCN-04"}, {"SCN-23"})


@needs_mosquitto
def test_mosquitto_over_websocket_takes_every_page(tmp_path: Path) -> None:
    # Mosquitto 2.0.11 does not start with a WebSocket alone.
    lines = ("protocol websockets", f"listener {free_port()} 127.0.0.1", "allow_anonymous true")
    with start_mosquitto(tmp_path, *lines) as broker:
        report = assess(broker.port)
    expect(report, OPEN | UNBOUNDED | {"SCN-03", "SCN-34", "TLS-01"}, {"SCN-23"})


@needs_mosquitto
def test_secrets_that_others_leave_are_found_and_not_kept(tmp_path: Path) -> None:
    async def leave(port: int) -> None:
        async with Client("127.0.0.1", port, allow_plaintext=True) as client:
            await client.publish("house/door", b'{"password": "correct-horse"}', qos=1, retain=True)

    with start_mosquitto(tmp_path, "allow_anonymous true") as broker:
        asyncio.run(leave(broker.port))
        report = assess(broker.port, active=False)
    assert {"SCN-10", "SCN-12", "SCN-13"} <= ids(report, State.FAIL)
    kept = json.dumps([result.evidence for result in report.results]) + str(report.attempts)
    assert "correct-horse" not in kept


@needs_mosquitto
def test_a_connection_that_says_nothing_is_kept_for_long_by_mosquitto(tmp_path: Path) -> None:
    bounds = dataclasses.replace(FAST, patience_s=31.0)
    with start_mosquitto(tmp_path, "allow_anonymous true") as broker:
        report = assess(broker.port, bounds=bounds, only=frozenset({"SCN-25"}))
    assert by_id(report)["SCN-25"].state is State.FAIL


@needs_mosquitto
def test_a_safe_scan_publishes_nothing(tmp_path: Path) -> None:
    with start_mosquitto(tmp_path, "allow_anonymous true") as broker:
        report = assess(broker.port, active=False)
    # Mosquitto's log comes in blocks; it is whole once it has ended.
    assert not [line for line in broker.log if "Received PUBLISH" in line]
    assert {"SCN-14", "SCN-18", "SCN-30"} <= ids(report, State.NOT_TESTED)


def _most_at_once(log: list[str]) -> int:
    """How many connections there were at the same moment, by the broker's log."""
    now = most = 0
    for line in log:
        if "New connection from" in line:
            now += 1
        elif re.search(r"Client \S+ (\[.*\] )?(closed its connection|disconnected|already connected)", line):
            now -= 1
        most = max(most, now)
    assert now == 0
    return most


def _between(log: list[str], first: str, last: str) -> list[str]:
    """The lines after the one with `first`, up to the connection of the client whose line has `last`."""
    (begin,) = [at for at, line in enumerate(log) if first in line]
    (end,) = [at for at, line in enumerate(log) if last in line]
    (arrived,) = [at for at in range(begin, end) if "New connection from" in log[at]][-1:]
    return log[begin + 1 : arrived]


async def _left(port: int) -> list[str]:
    """The topics of all that a newcomer is given: retained messages."""
    found = []
    async with Client("127.0.0.1", port, allow_plaintext=True, client_id="watcher") as client:
        await client.subscribe("#")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                async for message in client.messages:
                    found.append(message.topic)
    return found


async def _leave(port: int) -> None:
    async with Client("127.0.0.1", port, allow_plaintext=True, client_id="resident") as client:
        await client.publish("house/door", b"shut", qos=1, retain=True)


@needs_mosquitto
@pytest.mark.parametrize(("active", "rate"), [(False, Bounds().packets_per_s), (True, 20.0)])
def test_a_scan_is_polite_and_cleans_up(tmp_path: Path, active: bool, rate: float) -> None:
    """By the broker's own log: packets and connections a second, the namespace, and nothing left behind."""
    bounds = Bounds(packets_per_s=rate, timeout_s=1.0, listen_s=0.3, patience_s=0.0, echo_s=0.1)
    with start_mosquitto(tmp_path, "allow_anonymous true") as broker:
        asyncio.run(_leave(broker.port))
        assess(broker.port, bounds=bounds, active=active)
        assert asyncio.run(_left(broker.port)) == ["house/door"]
    log = _between(broker.log, "Client resident disconnected", "as watcher (")
    topics = re.findall(r"Received PUBLISH from \S+ \(.*?, '(.*?)'", "\n".join(log))
    assert bool(topics) is active
    assert all(topic.startswith("assess/") for topic in topics)
    names = set(re.findall(r"Received CONNECT from (\S+)|as (\S+) \(", "\n".join(log)))
    assert names
    assert all(name.startswith(("mqttassess-", "+")) for pair in names for name in pair if name)
    done = [line for line in log if "Received" in line or "New connection from" in line]
    seconds = Counter(int(line.partition(":")[0]) for line in done)
    assert len(done) > 2 * rate
    # The log has whole seconds, and a broker on a busy machine logs a little late what came in time.
    assert max(sum(seconds[each + more] for more in range(3)) for each in list(seconds)) <= 4 * rate + 1
    assert 1 <= _most_at_once(log) <= bounds.connections


@needs_amqtt
def test_amqtt_that_lets_everybody_in(tmp_path: Path) -> None:
    with start_amqtt(tmp_path) as broker:
        time.sleep(2.5)  # its figures come every two seconds
        report = assess(broker.port)
    # It keeps connections after malformed packets; without 5.0 it tells no limits.
    expect(report, OPEN | PLAINTEXT | {"SCN-30"}, {"SCN-23"})
    assert "SCN-27" in ids(report, State.NOT_TESTED)


def test_bollard_from_inside_with_two_identities(tmp_path: Path) -> None:
    with Daemon(tmp_path / "state") as broker:
        told = [broker.json("enroll", name) for name in ("one", "two")]
        identities = tuple(identity(each["username"], each["password"]) for each in told)
        report = assess(
            broker.port, ca_file=broker.ca_file, identities=identities, allow_exposed_password=False
        )
    assert ids(report, State.FAIL) - NOTES == set()
    assert ids(report, State.INCONCLUSIVE) == set()
    proven = {
        f"SCN-{n:02}" for n in (7, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 20, 22, 23, 26, 27, 28, 29, 30)
    }
    assert proven <= ids(report, State.PASS)


def test_bollard_over_websocket_turns_foreign_pages_away(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text("version = 1\n")
    config = tmp_path / "bollard.toml"
    config.write_text(
        'state_dir = "state"\n[[listener]]\nbind = "127.0.0.1:0"\ntransport = "websocket"\n'
        'origins = ["https://console.example"]\n'
    )
    with Daemon(tmp_path / "state", config=config) as broker:
        report = assess(broker.port, active=False, ca_file=broker.ca_file)
    expect(report, set(), set())
    assert {"SCN-03", "SCN-34", "SCN-04"} <= ids(report, State.PASS)
