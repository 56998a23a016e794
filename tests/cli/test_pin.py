"""`--pin`: what `bollard up` prints is enough to recognize the broker."""

import json
import subprocess
from pathlib import Path

from cli.daemon import Daemon, bollard, eventually


def printed_pin(broker: Daemon) -> str:
    """What a person reads; `up` prints it after the line that says where it listens."""
    assert eventually(lambda: any("SHA-256" in line for line in broker.output))
    return next(line.split()[-1] for line in broker.output if "SHA-256" in line)


def publish(broker: Daemon, pin: str, identity: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Publish as `identity`, a new one, knowing only its password and `pin`."""
    secret = folder / "password"
    secret.write_text(json.loads(broker.run("enroll", identity, "--json").stdout)["password"])
    where = ("-h", "127.0.0.1", "-p", broker.port, "--pin", pin, "-u", identity, "--password-file", secret)
    return bollard("pub", *where, "-t", f"devices/{identity}/state", "-m", "on", "-q", 1)


def test_the_pin_that_up_prints_is_enough_to_connect(broker: Daemon, tmp_path: Path) -> None:
    done = publish(broker, printed_pin(broker), "pinning", tmp_path)
    assert done.returncode == 0, done.stderr


def test_with_another_pin_nobody_logs_in(broker: Daemon, tmp_path: Path) -> None:
    done = publish(broker, "ab" * 32, "careful", tmp_path)
    assert done.returncode == 1
    assert "with that pin" in done.stderr
    assert not broker.logged("principal=careful")
