"""A listener for TLS-PSK, spoken to by Mosquitto's client; and what an older Python says to it."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bollard.net.psk import is_available
from cli.daemon import Daemon, bollard

CONFIG = """\
[[listener]]
bind = "127.0.0.1:0"

[[listener]]
bind = "127.0.0.1:{port}"
psk = true
"""
needs_psk = pytest.mark.skipif(not is_available(), reason="TLS-PSK needs Python 3.13")


def configure(folder: Path) -> Path:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    file = folder / "bollard.toml"
    file.write_text(CONFIG.format(port=port))
    (folder / "policy.toml").write_text('version = 1\n[template.device]\npublish = ["devices/${id}/#"]\n')
    return file


@pytest.mark.skipif(is_available(), reason="this Python has TLS-PSK")
def test_an_older_python_says_what_it_lacks(tmp_path: Path) -> None:
    done = bollard("check", "--config", configure(tmp_path))
    assert done.returncode == 2
    assert "Python 3.13" in done.stderr


def test_pre_shared_keys_have_a_listener_of_their_own(tmp_path: Path) -> None:
    file = configure(tmp_path)
    file.write_text(file.read_text() + "allow_plaintext = true\n")
    done = bollard("check", "--config", file)
    assert done.returncode == 2
    assert "a listener of their own" in done.stderr


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    if shutil.which("mosquitto_pub") is None:
        pytest.skip("mosquitto_pub is not installed")
    folder = tmp_path_factory.mktemp("psk")
    folder.chmod(0o700)
    with Daemon(folder, config=configure(folder)) as daemon:
        yield daemon


def publish(told: dict[str, Any], version: str, *, key: str = "", name: str = "") -> int:
    return subprocess.run(
        [
            "mosquitto_pub", "-h", told["host"], "-p", str(told["port"]), "-q", "1", "-V", "5",
            "--psk-identity", name or told["psk_identity"], "--psk", key or told["psk"], "--tls-version", version,
            "-t", f"devices/{told['id']}/state", "-m", "on",
        ],
        capture_output=True,
        check=False,
        timeout=20,
    ).returncode  # fmt: skip


@needs_psk
@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
def test_a_client_of_other_hands_connects_with_its_key_and_with_no_other(
    broker: Daemon, version: str
) -> None:
    name = "meter-" + version.replace(".", "-")
    told = broker.json("devices", "psk", name)
    assert publish(told, version) == 0
    assert publish(told, version, key="00" * 32) != 0
    assert publish(told, version, name="nobody") != 0
    assert not broker.logged(told["psk"])


@needs_psk
def test_a_revoked_key_and_a_replaced_one_end(broker: Daemon) -> None:
    first = broker.json("devices", "psk", "replaced")
    second = broker.json("devices", "psk", "replaced")
    assert publish(first, "tlsv1.3") != 0
    assert publish(second, "tlsv1.3") == 0
    broker.run("devices", "revoke", "replaced")
    assert publish(second, "tlsv1.3") != 0
    assert "revoked" in broker.run("why", "replaced").stdout
