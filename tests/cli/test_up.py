"""`bollard up` and `serve` as processes: first run, later runs, wrong surroundings, signals."""

import json
import os
import signal
import socket
import time
import urllib.request
from pathlib import Path

import pytest

from bollard.server.config import Address
from bollard.server.state import prepare
from cli.daemon import Daemon, bollard, eventually


def test_the_first_run_listens_and_says_what_to_do_next(tmp_path: Path) -> None:
    root = tmp_path / "state"
    began = time.monotonic()
    with Daemon(root) as daemon:
        assert time.monotonic() - began < 10
        assert daemon.output[0] == f"listening 127.0.0.1:{daemon.port} tls"
        assert eventually(lambda: any("Ctrl-C" in line for line in daemon.output))
        screen = "\n".join(daemon.output)
        assert f"bollard enroll --dir {root} plug --password\n" in screen
        assert str(root / "ca" / "server-root.crt") in screen
        assert "recovery" in screen
        pin = next(line.split()[-1] for line in daemon.output if "SHA-256" in line)
        assert len(bytes.fromhex(pin)) == 32


def test_a_later_run_finds_everything_and_is_quiet(tmp_path: Path) -> None:
    root = tmp_path / "state"
    with Daemon(root) as first:
        first.json("enroll", "plug")
        pinned = (root / "ca" / "server-root.crt").read_bytes()
        first.stop()
    (root / "ca" / "server-root-recovery.txt").rename(tmp_path / "in the safe")
    with Daemon(root) as second:
        assert second.output == [f"listening 127.0.0.1:{second.port} tls"]
        assert (root / "ca" / "server-root.crt").read_bytes() == pinned
        assert [device["id"] for device in second.json("devices")] == ["plug"]
        assert not second.logged("certificate issued")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(tmp_path: Path, number: int) -> None:
    with Daemon(tmp_path / "state") as daemon:
        assert daemon.stop(number) == 0
        assert daemon.logged("stopped")
        assert not any("Traceback" in line for line in daemon.log)
        assert not (tmp_path / "state" / "control.sock").exists()


def test_a_kill_leaves_a_directory_that_starts_again(tmp_path: Path) -> None:
    with Daemon(tmp_path / "state") as daemon:
        daemon.json("enroll", "plug")
        assert daemon.stop(signal.SIGKILL) == -signal.SIGKILL
    assert (tmp_path / "state" / "control.sock").exists()
    done = bollard("devices", "--dir", tmp_path / "state", "--json")
    assert [device["id"] for device in json.loads(done.stdout)] == ["plug"]
    with Daemon(tmp_path / "state") as again:
        assert again.json("status")["running"]


def test_the_options_of_the_first_run_stay_in_its_configuration(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    options = ("--host", "127.0.0.1", "--port", str(port))
    with Daemon(tmp_path / "state", arguments=options) as daemon:
        assert daemon.port == port
    assert f'bind = "127.0.0.1:{port}"' in (tmp_path / "state" / "bollard.toml").read_text()


def test_a_busy_port_is_told_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = bollard("up", "--dir", tmp_path / "state", "--host", "127.0.0.1", "--port", port)
    assert done.returncode == 2
    assert f"127.0.0.1:{port}" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr
    assert "listening" not in done.stdout


def test_the_guide_is_shown_until_the_recovery_sheet_is_moved_even_after_a_start_that_failed(
    tmp_path: Path,
) -> None:
    root = tmp_path / "state"
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert bollard("up", "--dir", root, "--host", "127.0.0.1", "--port", port).returncode == 2
    assert bollard("enroll", "lamp", "--dir", root).returncode == 0
    with Daemon(root) as daemon:
        assert eventually(lambda: any("Ctrl-C" in line for line in daemon.output))
        screen = "\n".join(daemon.output)
        assert str(root / "ca" / "server-root-recovery.txt") in screen
        # Somebody is enrolled: nothing is said of a first device.
        assert "1 identity is enrolled." in screen
        assert f"bollard devices --dir {root}\n" in screen
        assert f"bollard enroll --dir {root} NAME --password\n" in screen
        assert "first device" not in screen


def test_a_second_broker_on_the_directory_is_refused_with_the_first_ones_process(tmp_path: Path) -> None:
    with Daemon(tmp_path / "state") as daemon:
        done = bollard("up", "--dir", tmp_path / "state", "--port", "0")
        assert done.returncode == 2
        assert f"in use by process {daemon.process.pid}" in done.stderr
        assert daemon.json("status")["pid"] == daemon.process.pid


@pytest.mark.skipif(os.geteuid() == 0, reason="the super-user may write everywhere")
def test_a_directory_without_the_right_to_write_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    done = bollard("up", "--dir", tmp_path / "state")
    tmp_path.chmod(0o700)
    assert done.returncode == 2
    assert "--dir" in done.stderr


def test_a_file_system_that_cannot_be_written_is_told() -> None:
    done = bollard("up", "--dir", "/proc/bollard")
    assert done.returncode == 2
    assert "/proc/bollard" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["bollard.toml", "policy.toml"])
def test_a_broken_file_stops_the_start_with_file_and_line(tmp_path: Path, name: str) -> None:
    root = tmp_path / "state"
    prepare(root, Address("127.0.0.1", 0))
    with open(root / name, "a") as file:
        file.write("\n[nonsense]\nkey = 1\n")
    lines = (root / name).read_text().count("\n")
    done = bollard("up", "--dir", root)
    assert done.returncode == 2
    assert f"{root / name}:{lines - 1}:" in done.stderr
    assert done.stdout == ""


def test_a_damaged_registry_stops_the_start_and_is_left_as_it_is(tmp_path: Path) -> None:
    root = tmp_path / "state"
    prepare(root, Address("127.0.0.1", 0))
    (root / "registry.db").write_bytes(b"not a database" * 100)
    (root / "registry.db").chmod(0o600)
    done = bollard("up", "--dir", root)
    assert done.returncode == 2
    assert "registry.db" in done.stderr
    assert (root / "registry.db").read_bytes() == b"not a database" * 100


def serve_folder(folder: Path, listener: str) -> Path:
    """A configuration with its own policy file; the state directory is made by `serve`."""
    (folder / "policy.toml").write_text(
        'version = 1\n[template.device]\npublish = ["#"]\nsubscribe = ["#"]\n'
    )
    config = folder / "bollard.toml"
    config.write_text(f'state_dir = "state"\n[[listener]]\n{listener}\n')
    return config


def test_serve_makes_its_authorities_and_listens(tmp_path: Path) -> None:
    config = serve_folder(tmp_path, 'bind = "127.0.0.1:0"')
    with Daemon(tmp_path / "state", config=config) as daemon:
        assert daemon.ca_file.exists()
        assert not (tmp_path / "state" / "bollard.toml").exists()
        assert daemon.logged("server-root-recovery.txt off this machine")
        done = bollard("enroll", "plug", "--config", config, "--json")
        assert json.loads(done.stdout)["port"] == daemon.port


def test_serve_without_its_files_says_which(tmp_path: Path) -> None:
    done = bollard("serve", "--config", tmp_path / "absent.toml")
    assert done.returncode == 2
    assert "absent.toml" in done.stderr
    config = serve_folder(tmp_path, 'bind = "127.0.0.1:0"')
    (tmp_path / "policy.toml").unlink()
    done = bollard("serve", "--config", config)
    assert done.returncode == 2
    assert "policy.toml" in done.stderr


def test_what_weakens_is_named_at_every_start(tmp_path: Path) -> None:
    listener = 'bind = "127.0.0.1:0"\nallow_plaintext = true\nallow_anonymous = true'
    config = serve_folder(tmp_path, listener)
    config.write_text(config.read_text() + '[log]\nlevel = "error"\n')
    for _ in range(2):
        with Daemon(tmp_path / "state", config=config) as daemon:
            assert eventually(lambda d=daemon: d.logged("allow_plaintext") and d.logged("allow_anonymous"))
            assert daemon.output[0].endswith(" plaintext")


def test_metrics_are_served_where_the_configuration_says(tmp_path: Path) -> None:
    config = serve_folder(tmp_path, 'bind = "127.0.0.1:0"')
    config.write_text(config.read_text() + '[metrics]\nbind = "127.0.0.1:0"\n')
    with Daemon(tmp_path / "state", config=config) as daemon:
        assert eventually(lambda: daemon.logged("/metrics"))
        url = next(line.split("detail=")[1] for line in daemon.log if "/metrics" in line)
        with urllib.request.urlopen(url, timeout=5) as answer:
            assert b"bollard_clients_connected 0.0" in answer.read()


def test_a_busy_metrics_port_is_said_and_does_not_stop_mqtt(tmp_path: Path) -> None:
    config = serve_folder(tmp_path, 'bind = "127.0.0.1:0"')
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        config.write_text(config.read_text() + f'[metrics]\nbind = "127.0.0.1:{port}"\n')
        with Daemon(tmp_path / "state", config=config) as daemon:
            assert eventually(lambda: daemon.logged("metrics cannot be served"))


def test_systemd_is_told_when_it_listens_and_when_it_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(path))
        supervisor.settimeout(10)
        with Daemon(tmp_path / "state") as daemon:
            assert b"READY=1" in supervisor.recv(1000)
            daemon.process.send_signal(signal.SIGHUP)
            assert b"RELOADING=1" in supervisor.recv(1000)
            assert b"READY=1" in supervisor.recv(1000)
            assert daemon.stop() == 0
            assert b"STOPPING=1" in supervisor.recv(1000)


@pytest.mark.parametrize("host", ["192.0.2.77", "no-such-host.invalid"])
def test_an_address_that_this_machine_does_not_have_is_not_written(tmp_path: Path, host: str) -> None:
    root = tmp_path / "state"
    done = bollard("up", "--dir", root, "--host", host)
    assert done.returncode == 2
    assert f"cannot listen on {host}" in done.stderr
    assert "Nothing was written" in done.stderr
    assert not root.exists()


def test_metrics_that_cannot_be_served_are_told_in_one_line(tmp_path: Path) -> None:
    root = tmp_path / "state"
    prepare(root, Address("127.0.0.1", 0))
    with socket.create_server(("127.0.0.1", 0)) as other:
        config = root / "bollard.toml"
        busy = f"127.0.0.1:{other.getsockname()[1]}"
        config.write_text(config.read_text().replace("127.0.0.1:9464", busy, 1))
        with Daemon(root) as daemon:
            assert eventually(lambda: daemon.logged("metrics cannot be served"))
            line = next(line for line in daemon.log if "metrics cannot be served" in line)
    assert "Choose another port" in line
    assert "\\n" not in line
