"""A reconnect storm: many devices, all at once, as after a power cut or a restart of the broker.

Starts a broker with its default settings, and lets every device connect at the same moment over TLS, from
a few hundred addresses of the loopback network. A device that is refused, or that waits longer than
--patience, tries again after a random pause, as devices do. Told are the time until everybody is in, what it cost
the broker, and how long one client that was connected before, in a process of its own, waited for the answers to
its pings meanwhile. With --mosquitto the same storm is let loose on Mosquitto, with the same certificates and its
own password file. --keep leaves the enrolled devices in DIR for the next run: making them takes longer than the
storm.
"""

import argparse
import base64
import hashlib
import json
import os
import resource
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from commandline import CannotRun, end_with, run_in_loop, running, seconds, tell, whole
from storm_devices import Credential, Figures, Storm, enroll, healthy

from bollard.identity.authority import load_authorities
from bollard.identity.serving import ensure_server_certificates
from bollard.net.gate import TransportLimits
from bollard.server.advertise import certificate_names
from bollard.server.load import load_config

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
#: With its default settings the broker lets nobody in beyond these; one place is for who was connected before.
MOST_DEVICES = TransportLimits().max_connections - 1
MOST_PER_ADDRESS = TransportLimits().max_connections_per_address
#: Files that we have open beside the devices' connections.
OWN_FILES = 100
EXAMPLE = """\
Example: python tools/storm.py --devices 2000 --kind password

Exit codes: 0 every device got in; 1 not all of them before --give-up; 2 usage, or it could not run;
130 interrupted.
"""


# --- the brokers -------------------------------------------------------------------------------------


@contextmanager
def bollard(state: Path) -> Iterator[tuple[int, int]]:
    """Our broker: port and process id."""
    command = [
        sys.executable,
        "-m",
        "bollard",
        "up",
        "--dir",
        str(state),
        "--host",
        "127.0.0.1",
        "--port",
        "0",
    ]
    log = state / "storm.log"
    with log.open("w") as errors, running(command, errors) as process:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        if len(words) < 2:
            raise CannotRun(f"the broker did not start:\n{log.read_text()[-2000:]}")
        yield int(words[1].rpartition(":")[2]), process.pid


@contextmanager
def mosquitto(
    state: Path, folder: Path, kind: str, credentials: list[Credential]
) -> Iterator[tuple[int, int]]:
    """Mosquitto with the certificates of `state`, and its own password file."""
    config = load_config(state / "bollard.toml")
    authorities = load_authorities(state)
    server = ensure_server_certificates(authorities, certificate_names(config), now=time.time())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    lines = [
        "user root",
        f"listener {port} 127.0.0.1",
        f"certfile {server.ecdsa_chain}",
        f"keyfile {server.ecdsa_key}",
        f"cafile {authorities.device_ca_file}",
        "allow_anonymous false",
    ]
    if kind == "certificate":
        lines += ["require_certificate true", "use_identity_as_username true"]
    else:
        passwords = folder / "mosquitto.passwords"
        passwords.write_text("".join(_mosquitto_line(one) for one in credentials))
        passwords.chmod(0o600)
        lines.append(f"password_file {passwords}")
    file = folder / "mosquitto.conf"
    file.write_text("\n".join(lines) + "\n")
    log = folder / "mosquitto.log"
    with log.open("w") as errors, running([MOSQUITTO, "-c", str(file)], errors) as process:
        _wait_for(port, log)
        yield port, process.pid


def _mosquitto_line(one: Credential) -> str:
    """As mosquitto_passwd writes it: PBKDF2 with SHA-512 and 101 rounds."""
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", one.password.encode(), salt, 101)
    return f"{one.id}:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}\n"


def _wait_for(port: int, log: Path) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise CannotRun(f"mosquitto did not start:\n{log.read_text()[-2000:]}")


# --- the run -----------------------------------------------------------------------------------------


def cpu_s(pid: int) -> float:
    """Processor time that a process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def run(name: str, kind: str, folder: Path, known: list[Credential], options: argparse.Namespace) -> Figures:
    """One storm on one broker. The last of `known` is connected before."""
    state, credentials = folder / kind, known[:-1]
    started = bollard(state) if name == "bollard" else mosquitto(state, folder, kind, known)
    figures = Figures(name, kind, len(credentials))
    root = state / "ca" / "server-root.crt"
    with started as (port, pid), healthy(port, root, known[-1]) as before:
        storm = Storm(port, root, credentials, options.patience, options.per_address)
        cpu_before_s, own_before_s = cpu_s(pid), time.process_time()

        async def rage() -> None:
            await storm.rage(figures, options.give_up)
            figures.broker_cpu_s = cpu_s(pid) - cpu_before_s
            figures.broker_rss_mb = rss_mb(pid)
            figures.client_cpu_s = time.process_time() - own_before_s
            figures.ping_ms = before.stop()
            storm.calm()

        run_in_loop(rage())
    return figures


def table(storms: list[Figures]) -> str:
    """As docs/STORM.md has it, and below it what the table does not tell."""
    lines = [
        f"| {storms[0].devices:,} devices | broker | until all were in | processor time of the broker | a device "
        "| memory | pings meanwhile: median, 99 %, longest |",
        "|---|---|---|---|---|---|---|",
    ]
    below = []
    for storm in storms:
        one, connected = storm.told(), len(storm.waits_s)
        name = storm.broker.capitalize()
        missing = storm.devices - connected
        until = f"{missing:,} are missing" if missing else f"{storm.seconds:.1f} s"
        pings = ", ".join(f"{one[f'healthy_ping_{which}_ms']:g}" for which in ("p50", "p99", "max"))
        lines.append(
            f"| {storm.kind} | {name} | {until} | {storm.broker_cpu_s:.1f} s "
            f"| {one['broker_cpu_ms_per_device']:.2f} ms | {storm.broker_rss_mb:.0f} MB | {pings} ms |"
        )
        failed = ", ".join(f"{count} {outcome}" for outcome, count in storm.failures.items())
        below.append(
            f"{name}, {storm.kind}: {f'failed attempts: {failed}' if failed else 'no attempt failed'}; "
            f"the devices themselves used {storm.client_cpu_s:.1f} s of processor time."
        )
    return "\n".join([*lines, "", *below]) + "\n"


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--devices",
        type=whole(1, MOST_DEVICES),
        default=10_000,
        metavar="N",
        help=f"1 to {MOST_DEVICES} (10000)",
    )
    parser.add_argument(
        "--kind",
        choices=("password", "certificate", "both"),
        default="both",
        help="what they connect with (both)",
    )
    parser.add_argument(
        "--patience",
        type=seconds(1, 3600),
        default=60.0,
        metavar="S",
        help="that a device waits: 1 to 3600 (60)",
    )
    parser.add_argument(
        "--per-address",
        type=whole(1, MOST_PER_ADDRESS),
        default=50,
        metavar="N",
        help=f"devices behind one address: 1 to {MOST_PER_ADDRESS} (50)",
    )
    parser.add_argument(
        "--give-up",
        type=seconds(1, 86_400),
        default=600.0,
        metavar="S",
        help="end a storm after so long (600)",
    )
    parser.add_argument("--mosquitto", action="store_true", help="the same for Mosquitto")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the enrolled devices here")
    parser.add_argument(
        "--json", action="store_true", help="a line of JSON for each storm instead of the table"
    )
    options = parser.parse_args(arguments)
    if options.mosquitto and not Path(MOSQUITTO).exists():
        parser.error("mosquitto is missing. Install it: apt install mosquitto")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < options.devices + OWN_FILES:
        parser.error(f"--devices {options.devices}: this process may have {hard} files open; see ulimit -Hn")
    return options


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    storms: list[Figures] = []
    with tempfile.TemporaryDirectory(prefix="bollard-storm-") as temporary:
        folder = (options.keep or Path(temporary)).resolve()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # passwords and keys lie there
        for kind in ("password", "certificate") if options.kind == "both" else (options.kind,):
            known = enroll(folder, options.devices + 1, kind)
            for name in ("bollard", "mosquitto") if options.mosquitto else ("bollard",):
                tell(f"{name}, {kind}: a storm of {options.devices} devices")
                storms.append(run(name, kind, folder, known, options))
                if options.json:
                    sys.stdout.write(json.dumps(storms[-1].told()) + "\n")
                    sys.stdout.flush()
    if not options.json:
        sys.stdout.write(table(storms))
    return 1 if any(len(storm.waits_s) < storm.devices for storm in storms) else 0


if __name__ == "__main__":
    end_with("storm", main)
