"""What this machine allows at best, so that a result can be told from its bound.

    python bench/bounds.py [--room DIR] [--into DIR]

Nothing here is a broker. Handshakes are those of OpenSSL through Python's `ssl`, in memory, with the certificates and
the settings of Bollard's own listener, the server's half only. Messages go through `load/fwd.c`, which walks their
headers and copies them. Commits are those of Bollard's store, alone and without its writer's thread, in groups of as
many messages as can be outstanding in the durable scenario. Handshakes and messages are for each second of processor
time of one core; what waits for the disk is for each second of the clock; latencies are in microseconds, from publisher
to subscriber.

Example:
    python bench/bounds.py --into docs      measure, and refresh the bounds in docs/PERFORMANCE.md

Exit codes: 0 all was measured, 2 usage, or could not run; 130 and 143 broken off by Ctrl-C and by SIGTERM.
"""

import argparse
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from against_peers import DOCUMENT, build_generator
from brokers import CannotRun, free_ports, our_broker
from load.ending import end_on_signals
from results import insert

from bollard.engine.journal import Batch
from bollard.net.tls import CertificateFiles, server_context
from bollard.session.message import Delivery, Message
from bollard.store.salvage import open_sessions

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "load"))
from compare import Broker, load  # noqa: E402

SECONDS, REPETITIONS = 1.0, 3
GROUP = 200
SYNC_BYTES, SYNC_FILE_BYTES = 24 << 10, 24 << 20


def contexts(room: Path, mutual: bool) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and a client's side of what the benchmark measures."""
    state = room / "bollard"
    names = [f"server-{kind}" for kind in ("ecdsa", "rsa")]
    files = [CertificateFiles(state / "tls" / f"{name}.crt", state / "tls" / f"{name}.key") for name in names]
    server = server_context(files, client_ca=state / "ca" / "device-ca.crt")
    client = ssl.create_default_context(cafile=state / "ca" / "server-root.crt")
    if mutual:
        client.load_cert_chain(room / "bench" / "client.crt", room / "bench" / "client.key")
    return server, client


class Handshake:
    """One handshake in memory; `server_s` is the processor time of the server's half."""

    def __init__(
        self, server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None
    ) -> None:
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(to_client, to_server, server_hostname="localhost", session=session)
        self.server_s = 0.0
        self._step(self.client)
        began = time.thread_time()
        server_side = server.wrap_bio(to_server, to_client, server_side=True)
        self._step(server_side)
        self.server_s += time.thread_time() - began
        self._step(self.client)
        began = time.thread_time()
        self._step(server_side)
        self.server_s += time.thread_time() - began
        try:
            self.client.read()
        except ssl.SSLWantReadError:
            return  # but the ticket has been taken in

    @staticmethod
    def _step(side: ssl.SSLObject) -> None:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            return


def handshakes(room: Path, *, resumed: bool = False, mutual: bool = False) -> float:
    """Server halves of handshakes for each second of processor time."""
    server, client = contexts(room, mutual)
    session = Handshake(server, client, None).client.session if resumed else None
    spent, count, end = 0.0, 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        one = Handshake(server, client, session)
        if resumed and not one.client.session_reused:
            raise CannotRun("a session was not resumed")
        spent += one.server_s
        count += 1
    return count / spent


def forwarded(room: Path, arguments: str) -> dict[str, Any]:
    """What the load generator tells of the forwarder."""
    made = subprocess.run(["make", "-C", str(room / "load"), "fwd"], capture_output=True, text=True)
    if made.returncode:
        raise CannotRun(f"the forwarder does not compile: {made.stderr}")
    (port,) = free_ports(1)
    low, high, *_ = sorted(os.sched_getaffinity(0))
    run: dict[str, Any] = {
        "broker_core": low,
        "gen_core": high,
        "nice": -15 if os.geteuid() == 0 else 0,
        "mqttload": str(room / "load" / "mqttload"),
    }
    broker = Broker(
        {"name": "fwd", "cmd": [str(room / "load" / "fwd"), str(port), "parse"], "port": port},
        run,
        {"tmp": str(room)},
    )
    try:
        broker.start()
        told = load(
            run, {"args": [*arguments.split(), "--warmup", "0.3", "-d", str(SECONDS)]}, broker, [], {}
        )
    finally:
        broker.stop()
    if "error" in told:
        raise CannotRun(f"the forwarder: {told['error']}")
    return told


def forwarded_rate(room: Path, credit: int) -> float:
    """Messages that the forwarder passes on for each second of its processor time."""
    # Where few are outstanding, a generator that naps would be what is measured.
    awake = " --max-nap 0" if credit <= 20 else ""
    return float(forwarded(room, f"pairs -n 50 -q 0 -s 64 --credit {credit}{awake}")["per_cpu_s"])


def forwarded_latency(room: Path, rate: int) -> float:
    """Microseconds from publisher to subscriber through the forwarder, p50, at `rate` messages a second."""
    return float(forwarded(room, f"latency -n 50 -q 0 --rate {rate}")["lat_p50_us"])


def commits(room: Path) -> float:
    """Messages a second that are on the disk, each for one session, in batches of `GROUP`, each waited for."""
    with tempfile.TemporaryDirectory(dir=room) as folder:
        store, _ = open_sessions(Path(folder) / "bound.db")
        store.begin()
        store.lengthen_log()
        batch = Batch()
        for number in range(1, GROUP + 1):
            sent = Message("bench/topic", b"bench/topic", bytes(64), 1, 0, "anonymous", "client", b"", 0.0)
            batch.messages[number] = sent
            batch.deliveries[(number % 10, number)] = (Delivery(sent, 1, 0, (), number), number, 0, 0)
        count, began = 0, time.monotonic()
        while time.monotonic() - began < SECONDS:
            store.apply(batch)
            count += GROUP
        rate = count / (time.monotonic() - began)
        store.close(clean=None)
    return rate


def syncs(room: Path, *, longer: bool) -> float:
    """Times a second that 24 KiB of a file are forced to the disk, one after the other: in place of what is there,
    or making it longer."""
    with tempfile.TemporaryFile(dir=room) as file:
        handle = file.fileno()
        if not longer:
            os.write(handle, bytes(SYNC_FILE_BYTES))
            os.fsync(handle)
        count, began = 0, time.monotonic()
        while time.monotonic() - began < SECONDS:
            at = count * SYNC_BYTES
            os.pwrite(handle, bytes(SYNC_BYTES), at if longer else at % SYNC_FILE_BYTES)
            os.fdatasync(handle)
            count += 1
        return count / (time.monotonic() - began)


def rates(room: Path) -> dict[str, Callable[[], float]]:
    """What there is of each in a second: the most of the repetitions counts."""
    return {
        "full handshakes": lambda: handshakes(room),
        "resumed handshakes": lambda: handshakes(room, resumed=True),
        "handshakes with a client's certificate": lambda: handshakes(room, mutual=True),
        "messages, one outstanding": lambda: forwarded_rate(room, 1),
        "messages, 20 outstanding": lambda: forwarded_rate(room, 20),
        "messages, 200 outstanding": lambda: forwarded_rate(room, 200),
        "forcing 24 KiB to the disk, a file that grows": lambda: syncs(room, longer=True),
        "forcing 24 KiB to the disk, in place": lambda: syncs(room, longer=False),
        f"messages on the disk, {GROUP} a commit": lambda: commits(room),
    }


def latencies(room: Path) -> dict[str, Callable[[], float]]:
    """Microseconds: the median of the repetitions counts, as it does for the brokers."""
    return {
        "p50 at 5,000 messages a second": lambda: forwarded_latency(room, 5_000),
        "p50 at 20,000 messages a second": lambda: forwarded_latency(room, 20_000),
    }


def measured(room: Path) -> list[str]:
    """The table, which is also printed line by line while it comes about; what is being measured is told beside."""
    began = time.strftime("%Y-%m-%d", time.gmtime())
    lines = [f"Measured on {began}.", "", "| | at best |", "|---|---|"]
    print("\n".join(lines), flush=True)
    every, waits = rates(room), latencies(room)
    for number, name in enumerate([*every, *waits], 1):
        print(f"[{number}/{len(every) + len(waits)}] {name} ...", file=sys.stderr, flush=True)
        if name in every:
            told = f"{max(every[name]() for _ in range(REPETITIONS)):,.0f} a second"
        else:
            told = f"{median(waits[name]() for _ in range(REPETITIONS)):.1f} µs"
        lines.append(f"| {name} | {told} |")
        print(lines[-1], flush=True)
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--room", type=Path, default=HERE.parent / "build" / "bench", help="work")
    parser.add_argument("--into", type=Path, metavar="DIR", help=f"refresh the bounds in DIR/{DOCUMENT}")
    options = parser.parse_args()
    if options.into is not None and not (options.into / DOCUMENT).is_file():
        parser.error(f"--into {options.into}: there is no {DOCUMENT} in it")
    room: Path = options.room.resolve()
    room.mkdir(parents=True, exist_ok=True)
    try:
        build_generator(room)
        our_broker(room)
        lines = measured(room)
    except (CannotRun, RuntimeError) as problem:
        print(f"make bounds: {problem}", file=sys.stderr)
        return 2
    if options.into is not None:
        document = options.into / DOCUMENT
        document.write_text(insert(document.read_text(), "bounds", "\n".join(lines) + "\n"))
    return 0


if __name__ == "__main__":
    end_on_signals("make bounds: broken off")
    raise SystemExit(main())
