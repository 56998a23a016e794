"""Authorities replaced under a running broker: nobody is dropped who need not be."""

import shutil
import socket
import ssl
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from cli.daemon import Daemon, bollard, eventually
from server.test_revocation import Fleet

PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(tmp_path / "state") as daemon:
        yield daemon


@pytest.fixture
def fleet(running: Daemon, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(running, tmp_path)
    yield made
    for device in made.devices:
        device.close()


def is_alive(device: Any) -> bool:
    """Whether the connection still answers."""
    device._socket.sendall(PINGREQ)
    return bool(device._socket.recv(2) == PINGRESP)


def rotate(daemon: Daemon, *arguments: object) -> str:
    done = daemon.run("authority", "rotate", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def leaf_of(daemon: Daemon) -> x509.Certificate:
    context = ssl.create_default_context(cafile=daemon.ca_file)
    with (
        socket.create_connection(("127.0.0.1", daemon.port)) as raw,
        context.wrap_socket(raw, server_hostname="127.0.0.1") as tls,
    ):
        der = tls.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der)


def test_the_device_ca_is_replaced_with_an_overlap_and_a_count(fleet: Fleet, running: Daemon) -> None:
    plug = fleet.connected("plug", "certificate")
    lamp = fleet.connected("lamp", "certificate")
    rotate(running, "device-ca")
    assert is_alive(plug)
    assert is_alive(lamp)
    status = running.json("authority")
    assert (status["ready"], status["waiting"]) == (0, ["lamp", "plug"])
    assert lamp.connect() == 0  # by its old certificate
    assert running.run("authority", "rotate", "device-ca", "--finish").returncode == 2

    def renewed() -> object:
        running.run("devices", "rotate", "lamp", "--certificate", "--out", fleet.folder / "lamp")
        running.run("devices", "rotate", "plug", "--certificate", "--out", fleet.folder / "plug")
        return running.json("authority")["ready"] == 2

    assert eventually(renewed)  # what is issued within the second of the replacement counts as old
    rotate(running, "device-ca", "--finish")
    assert running.json("authority")["ready"] is None
    assert lamp.connect() == 0x87
    settings = fleet.folder / "lamp" / "lamp.json"
    sent = bollard("pub", "--settings", settings, "-t", "devices/lamp/state", "-m", "on")
    assert sent.returncode == 0, sent.stderr


def test_who_is_not_ready_is_shut_out_only_by_force(fleet: Fleet, running: Daemon) -> None:
    plug = fleet.connected("plug", "certificate")
    rotate(running, "device-ca")
    refused = running.run("authority", "rotate", "device-ca", "--finish")
    assert refused.returncode == 2
    assert "plug" in refused.stderr
    assert is_alive(plug)
    plug.watch()
    rotate(running, "device-ca", "--finish", "--force")
    assert plug.wait_closed()
    assert plug.last_words.code == 0x87
    plug.close()
    assert plug.connect() == 0x87


def test_the_server_authorities_are_replaced_with_the_recovery_sheet_and_nobody_notices(
    fleet: Fleet, running: Daemon, tmp_path: Path
) -> None:
    sheet = tmp_path / "sheet.txt"
    exported = running.run("authority", "export", sheet)
    assert exported.returncode == 0, exported.stderr
    assert stat.S_IMODE(sheet.stat().st_mode) == 0o600
    assert not (running.directory / "ca" / "server-root-recovery.txt").exists()
    assert running.json("authority")["recovery_file"] == ""
    plug = fleet.connected("plug")
    before = leaf_of(running)
    rotate(running, "server-ca", "--recovery", sheet)
    after = leaf_of(running)
    assert after != before
    assert after.public_key() == before.public_key()
    assert is_alive(plug)
    plug.close()
    assert plug.connect() == 0


def test_a_sheet_that_is_none_is_refused_without_a_word_of_it(running: Daemon, tmp_path: Path) -> None:
    (tmp_path / "sheet").write_text("Passphrase:  AAAA-BBBB-CCCC-DDDD-EEEE-FFFF\n")
    done = running.run("authority", "rotate", "server-ca", "--recovery", tmp_path / "sheet")
    assert done.returncode == 2
    assert "not a recovery sheet" in done.stderr
    assert "AAAA" not in done.stderr
    assert not running.logged("AAAA")


@pytest.mark.parametrize(
    "arguments",
    [
        ("server-ca",),
        ("server-ca", "--recovery", "x", "--finish"),
        ("device-ca", "--recovery", "x"),
        ("device-ca", "--force"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(running: Daemon, arguments: tuple[str, ...]) -> None:
    assert running.run("authority", "rotate", *arguments).returncode == 2


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_the_revocation_list_is_one_that_others_read(fleet: Fleet, running: Daemon, tmp_path: Path) -> None:
    fleet.enroll("plug", "certificate")
    fleet.change("plug", "revoked")
    out = tmp_path / "list.crl"
    assert running.run("authority", "crl", "--out", out).returncode == 0
    command = ["openssl", "crl", "-in", str(out), "-CAfile", str(running.directory / "ca" / "device-ca.crt")]
    done = subprocess.run([*command, "-noout", "-text"], capture_output=True, text=True, check=True)
    assert "verify OK" in done.stderr
    assert "Cessation Of Operation" in done.stdout


def test_the_overview_tells_to_move_the_recovery_sheet(running: Daemon) -> None:
    told = running.run("authority").stdout
    assert "bollard authority export FILE" in told
    assert "device-ca" in told
