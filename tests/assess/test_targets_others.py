"""Truth tables of brokers that are no Mosquitto: aedes, nats-server, RabbitMQ. Written before they were scanned.

As in test_targets: each table names what has to fail and what has to stay unclear; all else that ran has to pass.
"""

from pathlib import Path

import pytest

from assess.peers import (
    RabbitMq,
    aedes,
    aedes_users,
    nats,
    nats_users,
    rabbitmq,
    start_aedes,
    start_nats,
)
from assess.targets import assess, identity, ids
from assess.test_targets import OPEN, PLAINTEXT, by_id, expect
from bollard.assess.model import State, grade

needs_aedes = pytest.mark.skipif(aedes() is None, reason="needs node and aedes-cli: make targets")
needs_nats = pytest.mark.skipif(nats() is None, reason="needs Debian's nats-server")
needs_rabbitmq = pytest.mark.skipif(rabbitmq() is None, reason="needs Debian's rabbitmq-server")
pytestmark = pytest.mark.slow

BOTH = (identity("one", "first-secret"), identity("two", "second-secret"))
#: None of them speaks 5.0, so none tells its limits.
LIMITS_TOLD = {"SCN-26", "SCN-27", "SCN-28", "SCN-29"}


@needs_aedes
def test_aedes_as_it_starts_lets_everybody_in() -> None:
    with start_aedes("--stats", "--stats-interval", "200") as broker:
        report = assess(broker.port)
    # It bounds the levels of a topic and sends a message once. It takes what is no UTF-8, and speaks MQTT 3.1.
    expect(report, (OPEN | PLAINTEXT | {"SCN-30", "SCN-33"}) - {"SCN-31", "SCN-32"}, {"SCN-23"})
    assert {"SCN-31", "SCN-32"} <= ids(report, State.PASS)
    assert ids(report, State.NOT_TESTED) >= LIMITS_TOLD
    assert report.targets[0].product == "aedes"
    assert grade(report.results).letter == "F"


@needs_aedes
def test_aedes_with_users_and_their_topics(tmp_path: Path) -> None:
    users = aedes_users(
        tmp_path, one=("first-secret", "devices/one/**"), two=("second-secret", "devices/two/**")
    )
    with start_aedes("--credentials", str(users)) as broker:
        report = assess(broker.port, identities=BOTH, own_topic="devices/one")
    # It ties no client id to a user. A refused publish ends the connection, which could have other causes.
    fails = PLAINTEXT | {"SCN-08", "SCN-19", "SCN-20", "SCN-30", "SCN-33"}
    expect(report, fails, {"SCN-14", "SCN-18"})
    assert {"SCN-04", "SCN-05", "SCN-06", "SCN-07", "SCN-10", "SCN-15", "SCN-16"} <= ids(report, State.PASS)


@needs_nats
def test_nats_as_it_starts_lets_everybody_in(tmp_path: Path) -> None:
    with start_nats(tmp_path) as broker:
        report = assess(broker.port)
    # Its own figures are in another account; it has no $CONTROL either; and MQTT 3.1 it never spoke.
    expect(report, (OPEN | PLAINTEXT | {"SCN-30"}) - {"SCN-11"}, {"SCN-11", "SCN-23"})
    assert by_id(report)["SCN-33"].state is State.PASS
    assert ids(report, State.NOT_TESTED) >= LIMITS_TOLD


@needs_nats
def test_nats_with_users_and_their_subjects(tmp_path: Path) -> None:
    users = nats_users(one=("first-secret", "devices.one.>"), two=("second-secret", "devices.two.>"))
    with start_nats(tmp_path, users) as broker:
        report = assess(broker.port, identities=BOTH, own_topic="devices/one")
    # It ties no client id to a user, and acknowledges a publish that it throws away.
    expect(report, PLAINTEXT | {"SCN-08", "SCN-19", "SCN-20", "SCN-30"}, {"SCN-14", "SCN-18"})
    assert {"SCN-04", "SCN-05", "SCN-06", "SCN-07", "SCN-10", "SCN-15", "SCN-16"} <= ids(report, State.PASS)


@needs_rabbitmq
def test_rabbitmq_as_it_is_delivered_lets_everybody_in(tmp_path: Path) -> None:
    with RabbitMq(tmp_path) as broker:
        report = assess(broker.port)
    # Anonymous clients are its user guest. It has no $SYS, and sends a message once.
    fails = PLAINTEXT | {"SCN-04", "SCN-10", "SCN-14", "SCN-18", "SCN-30", "SCN-31", "SCN-33"}
    expect(report, fails, {"SCN-11", "SCN-23"})
    assert by_id(report)["SCN-32"].state is State.PASS
    assert ids(report, State.NOT_TESTED) >= LIMITS_TOLD


@needs_rabbitmq
def test_rabbitmq_with_users_and_the_one_it_came_with(tmp_path: Path) -> None:
    users = {
        "one": ("first-secret", r"^devices\.one\."),
        "two": ("second-secret", r"^devices\.two\."),
        "guest": ("guest", ".*"),
    }
    with RabbitMq(tmp_path, "mqtt.allow_anonymous = false", users=users) as broker:
        report = assess(broker.port, identities=BOTH, own_topic="devices/one")
    # It ties no client id to a user. Every refusal ends the connection, which could have other causes.
    fails = PLAINTEXT | {"SCN-07", "SCN-08", "SCN-19", "SCN-20", "SCN-30", "SCN-33"}
    expect(report, fails, {"SCN-11", "SCN-14", "SCN-18", "SCN-23"})
    assert {"SCN-04", "SCN-05", "SCN-06", "SCN-10"} <= ids(report, State.PASS)
    assert {"SCN-15", "SCN-16"} <= ids(report, State.NOT_TESTED)
