"""`bollard devices password`: off by default, never on the command line, and what it ends."""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bollard.server.config import Address
from bollard.server.identities import open_identities
from bollard.server.state import StateDirectory, prepare
from bollard.store.database import StateLock
from cli.daemon import Daemon, bollard

CHOSEN = "correct horse battery"


def allow(directory: Path) -> None:
    config = directory / "bollard.toml"
    config.write_text("allow_human_passwords = true\n" + config.read_text())


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A broker that allows people's passwords; `old` has one that another broker stored."""
    directory = tmp_path_factory.mktemp("state")
    prepare(directory, Address("127.0.0.1", 0))
    allow(directory)
    digest = hashlib.pbkdf2_hmac("sha512", CHOSEN.encode(), b"twelve bytes", 101)
    stored = f"$7$101${base64.b64encode(b'twelve bytes').decode()}${base64.b64encode(digest).decode()}"
    state = StateDirectory(directory)
    with StateLock(state.root), open_identities(state) as identities:
        identities.registry.add_with_hash("old", "device", stored, now=1)
    with Daemon(directory) as daemon:
        yield daemon


def publish(broker: Daemon, name: str, password: str) -> int:
    """The exit code of a client that says `password`."""
    return bollard(
        "pub", "-h", "127.0.0.1", "-p", broker.port, "--ca-file", broker.ca_file, "-u", name,
        "--password-stdin", "-t", f"devices/{name}/state", "-m", "on", "--qos", "1", input=password + "\n",
    ).returncode  # fmt: skip


def test_a_chosen_password_lets_its_owner_in_and_ends_the_generated_one(broker: Daemon) -> None:
    generated = broker.json("enroll", "anna")["password"]
    done = bollard(
        "devices", "password", "anna", "--password-stdin", "--json", "--dir", broker.directory,
        input=CHOSEN + "\n",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "active"
    assert CHOSEN not in done.stdout + done.stderr
    assert publish(broker, "anna", CHOSEN) == 0
    assert publish(broker, "anna", CHOSEN) == 0
    assert publish(broker, "anna", generated) == 1
    assert not broker.logged(CHOSEN)


def test_a_password_that_another_broker_stored_lets_in(broker: Daemon) -> None:
    assert publish(broker, "old", CHOSEN) == 0
    assert publish(broker, "old", CHOSEN + "!") == 1


def test_a_password_from_a_file_and_a_weak_one(broker: Daemon, tmp_path: Path) -> None:
    broker.json("enroll", "bert")
    file = tmp_path / "password"
    file.write_text("short\n")
    done = broker.run("devices", "password", "bert", "--password-file", file)
    assert done.returncode == 2
    assert "at least 12" in done.stderr
    file.write_text(CHOSEN + "\n")
    assert broker.run("devices", "password", "bert", "--password-file", file).returncode == 0


def test_that_it_is_allowed_is_said_at_the_start(broker: Daemon) -> None:
    assert broker.logged("allow_human_passwords")


def test_it_is_off_unless_the_configuration_says_otherwise(tmp_path: Path) -> None:
    prepare(tmp_path, Address("127.0.0.1", 0))
    assert bollard("enroll", "anna", "--dir", tmp_path).returncode == 0
    done = bollard("devices", "password", "anna", "--password-stdin", "--dir", tmp_path, input=CHOSEN + "\n")
    assert done.returncode == 2
    assert "allow_human_passwords = true" in done.stderr


def test_without_a_terminal_it_says_where_a_password_can_come_from(broker: Daemon) -> None:
    done = broker.run("devices", "password", "anna")
    assert done.returncode == 2
    assert "--password-stdin" in done.stderr
