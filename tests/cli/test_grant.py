"""`bollard grant`: rights for a while in the policy file, and in a running broker at once."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from bollard.base.allowance import Rate
from bollard.cli.main import main
from bollard.policy.default import DEFAULT_POLICY
from bollard.policy.rules import parse_policy
from cli.daemon import Daemon, eventually

CONFIG = """\
state_dir = "."
policy = "policy.toml"
[[listener]]
bind = "127.0.0.1:8883"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration and a policy, with no registry and no broker."""
    (tmp_path / "bollard.toml").write_text(CONFIG)
    (tmp_path / "policy.toml").write_text(DEFAULT_POLICY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> int:
    return main(["grant", *arguments, "--config", "bollard.toml"])


def grants(folder: Path) -> dict[str, Any]:
    return dict(parse_policy(folder / "policy.toml").grants)


def test_a_grant_is_written_with_its_end_and_its_reason(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    assert run("anna", "--publish", "a/#", "--will", "b", "--for", "4h", "--reason", "annual service") == 0
    grant = grants(folder)["anna-1"]
    assert grant.who.identities == {"anna"}
    assert [pattern.text for pattern in grant.rights.publish] == ["a/#"]
    assert [pattern.text for pattern in grant.rights.will] == ["b"]
    assert before + timedelta(hours=4) <= grant.ends <= datetime.now(UTC) + timedelta(hours=4)
    assert grant.reason == "annual service"
    assert (folder / "policy.toml").read_text().startswith(DEFAULT_POLICY)
    out = capsys.readouterr().out
    assert out.startswith("granted: anna-1, until ")
    assert "No broker is running; it holds from the next start." in out
    assert out.endswith("To take it back: bollard grant --config bollard.toml --revoke anna-1\n")


def test_it_may_have_a_name_a_moment_or_no_end(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run("*", "--subscribe", "x", "--until", "2999-01-31T18:00:00+01:00", "--name", "news", "--json") == 0
    )
    assert json.loads(capsys.readouterr().out)["until"] == "2999-01-31T17:00:00+00:00"
    assert run("group:x", "--subscribe", "x", "--no-end") == 2
    assert run("anna", "--subscribe", "x", "--no-end") == 0
    assert grants(folder)["news"].who.everyone
    assert grants(folder)["anna-1"].ends is None


def test_what_reaches_far_is_noted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("anna", "--subscribe", "#", "--for", "1h") == 0
    assert "note: subscribe on # reaches into every topic tree" in capsys.readouterr().out


def test_the_first_right_to_a_group_is_noted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = "the first right to a shared group"
    assert run("anna", "--subscribe", "a", "--share", "workers", "--no-end") == 0
    assert first in capsys.readouterr().out
    assert run("bob", "--subscribe", "a", "--share", "workers", "--no-end") == 0
    assert first not in capsys.readouterr().out
    assert [pattern.text for pattern in grants(folder)["bob-1"].rights.share] == ["workers"]


def test_a_grant_may_lift_a_limit_for_a_while(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limits = ("--limit", "max_payload=1MiB", "--limit", "max_qos=2", "--limit", "rate=5/s")
    assert run("anna", *limits, "--for", "1h") == 0
    bounds = grants(folder)["anna-1"].bounds
    assert dict(bounds.items()) == {"max_qos": 2, "max_payload": 2**20, "rate": Rate(5, 1)}
    assert run("--list") == 0
    assert "max_qos 2; max_payload 1048576; rate 5/s" in capsys.readouterr().out
    for wrong in ("max_payload", "max_queue=1"):
        assert run("anna", "--limit", wrong, "--for", "1h") == 2
    assert run("anna", "--limit", "max_qos=7", "--for", "1h") == 2
    assert "max_qos is not a whole number of 0 to 2" in capsys.readouterr().err
    assert len(grants(folder)) == 1


def test_a_grant_is_taken_back_and_leaves_nothing_behind(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("anna", "--publish", "a", "--for", "1h") == 0
    assert run("--revoke", "anna-1") == 0
    assert capsys.readouterr().out.splitlines()[-2].startswith("revoked: anna-1, from ")
    assert (folder / "policy.toml").read_text().rstrip() == DEFAULT_POLICY.rstrip()
    assert run("--revoke", "anna-1") == 2
    assert 'there is no grant "anna-1"' in capsys.readouterr().err


def test_all_grants_are_listed_with_their_state(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--list") == 0
    assert capsys.readouterr().out == "There are no grants.\n"
    with open(folder / "policy.toml", "a") as file:
        file.write(
            '[grant.over]\nwho = "*"\nretain = ["a", "b"]\nuntil = 2020-01-01T00:00:00Z\n'
            '[group.g]\nmembers = ["x"]\n'
            '[grant.later]\nwho = ["group:g", "y"]\npublish = ["a"]\nsubscribe = ["b"]\nfrom = 2999-01-01T00:00:00Z\n'
        )
    assert run("--list") == 0
    rows = capsys.readouterr().out.splitlines()
    assert " ".join(rows[1].split()) == "over over * retain a, b 2020-01-01T00:00:00+00:00"
    assert " ".join(rows[2].split()) == "later to come y, group:g publish a; subscribe b for good"
    assert run("--list", "--json") == 0
    assert [(row["name"], row["state"]) for row in json.loads(capsys.readouterr().out)] == [
        ("over", "over"),
        ("later", "to come"),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give an ID, or --list, or --revoke NAME."),
        (["anna", "--list"], "Give an ID, or --list, or --revoke NAME."),
        (["--list", "--publish", "a"], "go with an ID"),
        (["anna", "--publish", "a"], "Say when it ends"),
        (["anna", "--publish", "a", "--for", "1h", "--no-end"], "Say when it ends"),
        (["anna", "--for", "1h"], "Name at least one of"),
        (["anna", "--publish", "a", "--for", "1w"], "'1w' is not a time"),
        (["anna", "--publish", "a", "--for", "0s"], "'0s' is not a time"),
        (["anna", "--publish", "a", "--for", "999999999d"], "is too long"),
        (["anna", "--publish", "a", "--until", "tomorrow"], "'tomorrow' is not a moment"),
        (["anna", "--publish", "a", "--until", "2999-01-01T00:00:00"], "has no time zone"),
        (["anna", "--publish", "a", "--until", "2020-01-01T00:00:00Z"], "is over"),
        (["an na", "--publish", "a", "--no-end"], "cannot be an identity"),
        (["anna", "--publish", "a/#/b", "--no-end"], "is not a topic filter"),
        (["anna", "--publish", "a", "--no-end", "--reason", "a\nb"], "must be one line"),
        (["group:none", "--publish", "a", "--no-end"], 'there is no group "none"'),
    ],
)
def test_what_makes_no_sense_ends_with_2_and_writes_nothing(
    arguments: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err
    assert (folder / "policy.toml").read_text() == DEFAULT_POLICY


def test_a_broker_that_cannot_be_asked_is_no_reason_to_fail(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bollard.base.errors import LocalError
    from bollard.server import policy_operations

    def refuse(_config: object) -> str:
        raise LocalError("cannot reach the broker")

    monkeypatch.setattr(policy_operations, "tell_broker", refuse)
    assert run("anna", "--publish", "a", "--no-end") == 0
    assert "could not be told (cannot reach the broker)" in capsys.readouterr().out


@pytest.fixture
def client(broker: Daemon) -> Iterator[mqtt.Client]:
    settings = broker.json("enroll", f"plug-{time.monotonic_ns()}", "--password")
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, settings["client_id"], protocol=MQTTProtocolVersion.MQTTv5
    )
    client.tls_set(settings["ca_file"])
    client.username_pw_set(settings["username"], settings["password"])
    client.connect(settings["host"], settings["port"])
    client.loop_start()
    assert eventually(client.is_connected)
    yield client
    client.disconnect()
    client.loop_stop()


def test_a_connected_client_has_the_right_as_soon_as_it_is_granted_and_no_longer(
    broker: Daemon, client: mqtt.Client
) -> None:
    codes: list[str] = []
    client.on_publish = lambda _client, _data, _id, reason, _properties: codes.append(str(reason))
    name = str(client.username)

    def published() -> str:
        codes.clear()
        client.publish("devices/boiler/cmd/on", "1", qos=1)
        assert eventually(lambda: codes)
        return codes[0]

    assert published() == "Not authorized"
    assert broker.run("why", name, "publish", "devices/boiler/cmd/on").returncode == 1
    told = broker.json("grant", name, "--publish", "devices/boiler/cmd/#", "--for", "1h")
    assert told["broker"].startswith("policy reloaded")
    assert published() != "Not authorized"
    assert broker.run("why", name, "publish", "devices/boiler/cmd/on").returncode == 0
    assert broker.run("grant", "--revoke", told["name"]).returncode == 0
    assert published() == "Not authorized"
    assert client.is_connected()


def test_somebody_who_is_not_enrolled_is_noted(broker: Daemon) -> None:
    told = broker.json("grant", "nobody", "--publish", "x", "--for", "1h")
    assert told["remarks"] == ["nobody is enrolled as nobody yet; the grant waits for it"]
    answer = broker.run("why", "nobody", "publish", "x")
    enroll = f"bollard enroll --dir {broker.directory} nobody\n"
    assert f"nobody is enrolled as 'nobody': {enroll}" in answer.stdout


def test_the_policy_commands_know_the_registry(broker: Daemon) -> None:
    broker.json("enroll", "lamp", "--password")
    assert broker.json("policy", "show", "lamp")["template"] == "device"
    assert broker.json("policy", "check")["warnings"] == []
    assert broker.json("why", "lamp", "publish", "devices/lamp/x")["rule"] == "template.device"
