"""SCRAM against the broker as users run it: an enrolled password, real TLS, both of its certificates."""

import asyncio
import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from bollard.client import Client, ConnectRefused, Scram
from cli.daemon import Daemon, bollard


@pytest.fixture(scope="module")
def plug(broker: Daemon) -> dict[str, Any]:
    settings: dict[str, Any] = broker.json("enroll", "plug", "--password")
    return settings


def client(broker: Daemon, scram: Scram, **options: Any) -> Client:
    return Client("127.0.0.1", broker.port, ca_file=broker.ca_file, authentication=scram, **options)


def test_an_enrolled_password_authenticates_by_scram(broker: Daemon, plug: dict[str, Any]) -> None:
    async def talk() -> None:
        for bind in (True, False):
            async with client(broker, Scram("plug", plug["password"], bind=bind)) as connected:
                await connected.publish("devices/plug/state", b"on", qos=1)
                await connected.reauthenticate()
                await connected.publish("devices/plug/state", b"off", qos=1)

    asyncio.run(talk())


@pytest.mark.parametrize("suite", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"])
def test_the_proof_is_bound_to_the_certificate_that_was_shown(
    broker: Daemon, plug: dict[str, Any], suite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bollard.client import shell

    def only_this(*arguments: Any, **options: Any) -> ssl.SSLContext:
        context = original(*arguments, **options)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(suite)
        return context

    original = shell.client_context
    monkeypatch.setattr(shell, "client_context", only_this)

    async def talk() -> None:
        async with client(broker, Scram("plug", plug["password"])) as connected:
            await connected.publish("devices/plug/state", b"on", qos=1)

    asyncio.run(talk())


@pytest.mark.parametrize("name", ["plug", "nobody"])
def test_a_wrong_secret_and_an_unknown_name_get_the_same_answer(
    broker: Daemon, plug: dict[str, Any], name: str
) -> None:
    async def talk() -> None:
        with pytest.raises(ConnectRefused) as refusal:
            async with client(broker, Scram(name, "A" * 32)):
                pass
        assert (refusal.value.code, refusal.value.reason) == (0x87, "authentication failed")

    asyncio.run(talk())


def test_a_rotated_secret_connects_no_more(broker: Daemon) -> None:
    old = broker.json("enroll", "lamp", "--password")["password"]

    async def talk() -> None:
        async with client(broker, Scram("lamp", old)):
            pass
        await asyncio.to_thread(broker.json, "devices", "rotate", "lamp")
        with pytest.raises(ConnectRefused):
            async with client(broker, Scram("lamp", old)):
                pass

    asyncio.run(talk())


def test_the_command_line_proves_the_password_instead_of_sending_it(broker: Daemon, out: Path) -> None:
    broker.json("enroll", "fan", "--password", "--out", out)
    words = ("pub", "--settings", out / "fan.json", "-t", "devices/fan/state", "-m", "on", "-q", 1, "--scram")
    assert bollard(*words).returncode == 0
    environment = {**os.environ, "BOLLARD_PASSWORD": "A" * 32}
    done = bollard(
        "pub", "-h", "127.0.0.1", "-p", broker.port, "--ca-file", broker.ca_file, "-u", "fan", "--scram",
        "-t", "devices/fan/state", "-m", "on", env=environment,
    )  # fmt: skip
    assert done.returncode == 1
    assert "authentication failed" in done.stderr


def test_scram_needs_a_name_and_a_password(broker: Daemon) -> None:
    done = bollard("pub", "-p", broker.port, "--ca-file", broker.ca_file, "--scram", "-t", "x", "-m", "x")
    assert done.returncode == 2
