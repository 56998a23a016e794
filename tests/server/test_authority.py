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

from bollard.base.errors import LocalError
from bollard.server.requests import AskAuthority, Enroll, HandedRoots, RotateAuthority
from bollard.server.state import StateDirectory
from bollard.store.audit import log_files
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


def leaf_of(daemon: Daemon, root: Path, kind: str) -> x509.Certificate:
    """What the server shows to a client that only verifies signatures of `kind`, and that trusts `root`."""
    context = ssl.create_default_context(cafile=root)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"ECDHE-{kind}-AES128-GCM-SHA256")
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
    root = tmp_path / "root-before.crt"
    shutil.copy(running.ca_file, root)
    kinds = ("ECDSA", "RSA")
    before = [leaf_of(running, root, kind) for kind in kinds]
    rotate(running, "server-ca", "--recovery", sheet)
    after = [leaf_of(running, root, kind) for kind in kinds]
    assert len({*before, *after}) == 4
    assert [leaf.public_key() for leaf in after] == [leaf.public_key() for leaf in before]
    assert running.ca_file.read_bytes() == root.read_bytes()
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
        ("server-ca", "--recovery", "x", "--abandon"),
        ("device-ca", "--abandon"),
        ("server-root", "--recovery", "x"),
        ("server-root", "--finish"),
        ("server-root", "--force"),
        ("server-root", "--finish", "--recovery", "x", "--abandon"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    refused = bollard("authority", "rotate", *arguments, "--dir", tmp_path)
    assert (refused.returncode, refused.stderr.startswith("Usage:")) == (2, True)


def test_a_new_server_root_is_begun_given_up_and_leaves_nothing(
    fleet: Fleet, running: Daemon, tmp_path: Path
) -> None:
    old = running.ca_file.read_bytes()
    begin, abandon = RotateAuthority("server-root"), RotateAuthority("server-root", abandon=True)
    with pytest.raises(LocalError, match=r"bollard authority export FILE"):
        fleet.ask(begin)
    sheet = running.directory / "ca" / "server-root-recovery.txt"
    sheet.rename(tmp_path / "sheet.txt")
    string = fleet.ask(Enroll("early", "token")).token
    fleet.ask(begin)
    assert running.ca_file.read_bytes().startswith(old)
    with pytest.raises(LocalError, match="already"):
        fleet.ask(begin)
    assert fleet.enroll("plug").root_pem.encode() != old  # a file of both roots, so it is ready
    following = fleet.ask(AskAuthority()).next_root
    assert (following.ready, following.waiting, following.unknown) == (("plug",), ("early",), ())
    fleet.ask(abandon)
    assert running.ca_file.read_bytes() == old
    assert fleet.ask(AskAuthority()).next_root is None
    with pytest.raises(LocalError, match="not being replaced"):
        fleet.ask(abandon)
    assert bollard("join", string, "--out", tmp_path / "early").returncode == 0
    assert (tmp_path / "early" / "server-root.crt").read_bytes() == old


def test_what_the_owner_gave_by_hand_is_noted_and_ends_the_replacement_also_after_a_restart(
    tmp_path: Path,
) -> None:
    with Daemon(tmp_path / "state") as running:
        fleet = Fleet(running, tmp_path)
        fleet.enroll("camera")
        (running.directory / "ca" / "server-root-recovery.txt").unlink()
        assert fleet.ask(RotateAuthority("server-root")).next_root.unknown == ("camera",)
        with pytest.raises(LocalError, match="nobody"):
            fleet.ask(HandedRoots(("camera", "nobody")))
        assert fleet.ask(AskAuthority()).next_root.unknown == ("camera",)
        done = running.run("authority", "handed", "camera")
        assert "1 of 1 identities have it" in done.stdout
        assert "--finish --recovery" in done.stdout
        pin = fleet.ask(AskAuthority()).next_root.pin
    with Daemon(tmp_path / "state") as running:
        fleet = Fleet(running, tmp_path)
        sheet = (running.directory / "ca" / "next-root" / "server-root-recovery.txt").read_text()
        told = fleet.ask(RotateAuthority("server-root", sheet, finish=True))
        assert (told.pin, told.next_root) == (pin, None)
        with pytest.raises(LocalError, match="not being replaced"):
            fleet.ask(HandedRoots(("camera",)))
    passphrase = sheet.partition("Passphrase:  ")[2].split()[0]
    audit = "".join(path.read_text() for path in log_files(StateDirectory(tmp_path / "state").audit))
    assert audit.count('"server-root"') == 5  # also what was refused
    assert passphrase not in audit + "".join(running.log)


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
    assert f"bollard authority export --dir {running.directory} FILE" in told
    assert "device-ca" in told
