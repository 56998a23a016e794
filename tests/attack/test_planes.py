"""What of a running broker can be reached from elsewhere, and by whom: the admin plane is not."""

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.daemon import Daemon


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("planes") / "state") as daemon:
        yield daemon


def listening(process: int) -> set[tuple[str, int]]:
    """Address and port of every TCP socket on which a process listens."""
    held = {os.readlink(entry) for entry in Path(f"/proc/{process}/fd").iterdir()}
    found = set()
    for table, size in (("tcp", 4), ("tcp6", 16)):
        for line in Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in held:
                address, port = fields[1].split(":")
                words = [bytes.fromhex(address[i : i + 8])[::-1] for i in range(0, 2 * size, 8)]
                family = socket.AF_INET if size == 4 else socket.AF_INET6
                found.add((socket.inet_ntop(family, b"".join(words)), int(port, 16)))
    return found


def test_nothing_but_mqtt_over_tls_listens_off_loopback_and_no_admin_port_exists(broker: Daemon) -> None:
    metrics = {("127.0.0.1", 9464)}  # its port may be taken by another broker on this machine
    assert listening(broker.process.pid) - metrics == {("127.0.0.1", broker.port)}


def test_the_control_socket_is_for_its_owner_alone_in_a_directory_of_its_own(broker: Daemon) -> None:
    sockets = [path for path in broker.directory.rglob("*") if stat.S_ISSOCK(path.lstat().st_mode)]
    assert sockets
    for path in sockets:
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(broker.directory.stat().st_mode) == 0o700


def test_there_are_no_accounts_before_the_owner_makes_one(broker: Daemon) -> None:
    assert broker.json("devices") in ([], {"devices": []})


def test_every_installation_has_authorities_of_its_own(broker: Daemon, tmp_path: Path) -> None:
    with Daemon(tmp_path / "another") as another:
        assert another.ca_file.read_bytes() != broker.ca_file.read_bytes()
