"""`make crash`: publishers and subscribers at full speed, a broker that dies again and again, and the books.

A kill is SIGKILL at a random moment. A power loss is SIGKILL as well, and then the files are put back as
they were when the last commit was confirmed to the disk, with any of the sectors that were written since:
old or new, each by a throw of the dice, as a disk may leave them. With --mosquitto the same clients meet that
broker (persistence on, its defaults) for comparison.
"""

# ruff: noqa: S603, T201  (it starts brokers, and talks to the person at the terminal)
import argparse
import asyncio
import contextlib
import json
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from commandline import CannotRun, end_with, run_in_loop, seconds, stop, tell, whole
from crash_clients import Publisher, Subscriber, Verdict, disturb, judge

SECTOR_BYTES = 512
START_TIMEOUT_S = 30.0
FINISH_TIMEOUT_S = 120.0
#: A subscriber that heard nothing for so long has been sent everything.
QUIET_S = 2.0

CONFIG = """\
policy = "policy.toml"
sys_interval_s = 0
[[listener]]
bind = "127.0.0.1:{port}"
allow_plaintext = true
allow_anonymous = true
[limits]
max_queue_messages = 10000000
max_queue_bytes = "1GiB"
receive_maximum = 1000
"""
POLICY = """\
version = 1
[grant.everything]
who = "anonymous"
publish = ["#"]
subscribe = ["#"]
retain = ["#"]
"""
EXAMPLE = """\
Example: python tools/crash.py --kills 20 --power-losses 10 --seed 7

Exit codes: 0 every promise was kept; 1 one was broken; 2 usage, or the broker did not start; 130 interrupted.
"""


class Broker(Protocol):
    """A broker that can be started on a port, killed, and stopped if it runs."""

    name: str

    def start(self, port: int) -> None: ...

    def kill(self, *, power: bool, dice: random.Random) -> None: ...

    def stop(self) -> None: ...


class Bollard:
    """This broker, in a process of its own, on a state directory of its own."""

    name = "bollard"

    def __init__(self, room: Path) -> None:
        self.state = room / "state"
        self.log = room / "broker.log"
        self.snapshots = Snapshots(self.state / "sessions.db", room / "snapshot")
        self._process: subprocess.Popen[bytes] | None = None
        self.state.mkdir(mode=0o700)
        (self.state / "policy.toml").write_text(POLICY)

    def start(self, port: int) -> None:
        (self.state / "bollard.toml").write_text(CONFIG.format(port=port))
        self.snapshots.forget()
        command = [sys.executable, __file__, "--serve", str(self.state), str(self.snapshots.folder)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for(port, self._process)

    def kill(self, *, power: bool, dice: random.Random) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        if power:
            self.snapshots.lose_power(dice)

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process)


class Mosquitto:
    """A mosquitto with persistence on and its defaults otherwise, but for bounds of queues."""

    name = "mosquitto"

    def __init__(self, room: Path, program: str) -> None:
        self.program = program
        self.room = room
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, port: int) -> None:
        config = self.room / "mosquitto.conf"
        config.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {self.room}/\nmax_queued_messages 0\nuser root\n"
        )
        self._process = subprocess.Popen(
            [self.program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(port, self._process)

    def kill(self, *, power: bool, dice: random.Random) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process)


class Snapshots:
    """The files of the store as they were when the last commit was on the disk.

    `take` runs in the broker's writer thread, between the commit and anybody hearing of it: what is in the
    files then has been forced to the disk, checkpoints included.
    """

    def __init__(self, store: Path, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self._count = 0

    def take(self) -> None:
        self._count += 1
        fresh = self.folder / f"{self._count:08}.new"
        fresh.mkdir(parents=True)
        for name, path in self._files():
            if path.exists():
                shutil.copyfile(path, fresh / name)
        fresh.rename(self.folder / f"{self._count:08}")
        shutil.rmtree(self.folder / f"{self._count - 1:08}", ignore_errors=True)

    def forget(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def lose_power(self, dice: random.Random) -> None:
        """Put back what was safe, with any of what was written since."""
        kept = [f for f in self.folder.glob("*") if f.suffix != ".new"] if self.folder.exists() else []
        if not kept:
            return
        safe = max(kept)
        before = {name: read(safe / name) for name, _ in self._files()}
        after = {name: read(path) for name, path in self._files()}
        # The log is forced to the disk before a checkpoint touches the database: if the database has
        # changed, all of the log was safe.
        changed = "db" if before["db"] != after["db"] else "wal"
        before["wal"] = after["wal"] if changed == "db" else before["wal"]
        result = {**before, changed: mixed(before[changed], after[changed], dice)}
        for name, path in self._files():
            path.write_bytes(result[name])
        self.store.with_name(self.store.name + "-shm").unlink(missing_ok=True)

    def _files(self) -> list[tuple[str, Path]]:
        return [("db", self.store), ("wal", self.store.with_name(self.store.name + "-wal"))]


def read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def mixed(before: bytes, after: bytes, dice: random.Random) -> bytes:
    """Each sector old or new; a file that grew may have any length in between."""
    end = dice.randint(min(len(before), len(after)), max(len(before), len(after)))
    sectors = []
    for at in range(0, end, SECTOR_BYTES):
        old, new = before[at : at + SECTOR_BYTES], after[at : at + SECTOR_BYTES]
        chosen = old if dice.random() < 0.5 else new
        sectors.append(chosen.ljust(min(SECTOR_BYTES, end - at), b"\0")[: end - at])
    return b"".join(sectors)


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end:
        if process.poll() is not None:
            raise CannotRun(f"the broker did not start: exit status {process.returncode}; see its log")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.02)
    raise CannotRun("the broker did not start in time; see its log")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(state: Path, snapshots: Path) -> None:
    """The broker's process: the whole server, with a snapshot after each commit."""
    from bollard.server import durability
    from bollard.server.compose import run
    from bollard.server.load import load_config
    from bollard.store import sessions
    from bollard.store.journal import Done, JournalWriter
    from bollard.store.sessions import SessionStore

    take = Snapshots(state / "sessions.db", snapshots).take

    def writer(store: SessionStore, done: Done) -> JournalWriter:
        return JournalWriter(store, done, after_commit=take)

    durability.JournalWriter = writer  # type: ignore[assignment, attr-defined]
    sessions.LOG_BYTES = 1 << 20  # it is copied after each commit
    sessions.FEW_ROWS = 4  # clients that send little are to leave batches that wait, too
    run(load_config(state / "bollard.toml"), lambda started: None)


class Trial:
    """One broker, its clients, and how often it has died."""

    def __init__(self, broker: Broker, dice: random.Random, window: int) -> None:
        self.broker = broker
        self.dice = dice
        self.port = free_port()
        self.kills = 0
        self.power_losses = 0
        self.publishers = [
            Publisher(
                f"p{qos}v{version}{'r' if retain else ''}", version, self.port, qos, window, retain=retain
            )
            for qos in (1, 2)
            for version in (4, 5)
            for retain in (False, True)
            if not retain or version == 5
        ]
        self.subscribers = [
            Subscriber(f"s{qos}v{version}", version, self.port, qos) for qos in (1, 2) for version in (4, 5)
        ]

    async def run(
        self, kills: int, power_losses: int, seconds: float, tell: Callable[[str], None]
    ) -> Verdict:
        """Die so often, `seconds` apart on average, then let everybody finish, and judge."""
        ends = [False] * kills + [True] * power_losses
        self.dice.shuffle(ends)
        await asyncio.to_thread(self.broker.start, self.port)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(client.run()) for client in self.subscribers]
            await self._until(lambda: all(s.subscribed for s in self.subscribers), "nobody could subscribe")
            tasks += [group.create_task(client.run()) for client in self.publishers]
            tasks.append(group.create_task(disturb(self.subscribers, self.dice)))
            self._publish(True)
            for number, power in enumerate(ends, 1):
                await asyncio.sleep(self.dice.uniform(0.1, 2 * seconds))
                await asyncio.to_thread(self.broker.kill, power=power, dice=self.dice)
                self.kills += not power
                self.power_losses += power
                await asyncio.to_thread(self.broker.start, self.port)
                if number % 20 == 0:
                    tell(f"{number} of {len(ends)} deaths, {sum(p.sent for p in self.publishers)} messages")
            await asyncio.sleep(seconds)
            self._publish(False)
            tasks.pop().cancel()
            await self._until(self._finished, "not everything was delivered in time")
            for task in tasks:
                task.cancel()
        await asyncio.to_thread(self.broker.stop)
        return judge(self.publishers, self.subscribers)

    def _publish(self, on: bool) -> None:
        for publisher in self.publishers:
            publisher.running = on
            publisher.fill()

    def _finished(self) -> bool:
        quiet = time.monotonic() - max(subscriber.last_at for subscriber in self.subscribers) > QUIET_S
        connected = all(subscriber.connected for subscriber in self.subscribers)
        return quiet and connected and all(publisher.idle for publisher in self.publishers)

    async def _until(self, holds: Callable[[], bool], otherwise: str) -> None:
        end = time.monotonic() + FINISH_TIMEOUT_S
        while not holds():
            if time.monotonic() > end:
                tell(f"warning: {otherwise}")
                return
            await asyncio.sleep(0.05)


def report(trial: Trial, verdict: Verdict, took_s: float) -> dict[str, object]:
    return {
        "broker": trial.broker.name,
        "kills": trial.kills,
        "power_losses": trial.power_losses,
        "published": sum(publisher.sent for publisher in trial.publishers),
        "acknowledged": verdict.acknowledged,
        "received": verdict.received,
        "lost": verdict.lost,
        "qos2_twice": verdict.twice_qos2,
        "out_of_order": verdict.out_of_order,
        "sessions_lost": verdict.sessions_lost,
        "qos1_again": verdict.again_qos1,
        "seconds": round(took_s, 1),
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=whole(0, 100_000), default=150, metavar="N", help="(150)")
    parser.add_argument("--power-losses", type=whole(0, 100_000), default=60, metavar="N", help="(60)")
    parser.add_argument(
        "--seconds",
        type=seconds(0, 3600),
        default=0.6,
        metavar="S",
        help="between two deaths, on average (0.6)",
    )
    parser.add_argument(
        "--window", type=whole(1, 1000), default=20, metavar="N", help="messages that wait for an answer (20)"
    )
    parser.add_argument("--seed", type=whole(0, 2**31), default=0, help="0 for another run each time (0)")
    parser.add_argument("--mosquitto", metavar="PROGRAM", help="try this mosquitto instead")
    parser.add_argument("--json", type=Path, metavar="FILE", help="append the result to this file")
    parser.add_argument("--room", type=Path, metavar="DIR", help="work here and leave everything behind")
    options = parser.parse_args()
    if options.mosquitto and shutil.which(options.mosquitto) is None:
        parser.error(f"--mosquitto {options.mosquitto}: there is no such program")
    if options.room and (options.room / "state").exists():
        parser.error(f"--room {options.room}: somebody worked there before; name another")
    return options


def try_in(room: Path, options: argparse.Namespace) -> Verdict:
    """The whole trial with its files in `room`, and the result told."""
    seed = options.seed or random.SystemRandom().randrange(1, 2**31)
    broker: Broker = Mosquitto(room, options.mosquitto) if options.mosquitto else Bollard(room)
    trial = Trial(broker, random.Random(seed), options.window)  # noqa: S311
    tell(f"seed {seed}, files in {room}")
    began = time.monotonic()
    try:
        verdict = run_in_loop(trial.run(options.kills, options.power_losses, options.seconds, tell))
    except ExceptionGroup as several:  # of the tasks; one reason is enough
        if problem := several.subgroup(CannotRun):
            raise CannotRun(str(problem.exceptions[0])) from None
        raise
    finally:
        broker.stop()
    line = json.dumps(report(trial, verdict, time.monotonic() - began))
    print(line)
    if options.json:
        with options.json.open("a") as handle:
            handle.write(line + "\n")
    for example in verdict.examples[:10]:
        tell(str(example))
    return verdict


def main() -> int:
    if sys.argv[1:2] == ["--serve"]:
        serve(Path(sys.argv[2]), Path(sys.argv[3]))
        return 0
    options = parse()
    room = options.room or Path(tempfile.mkdtemp(prefix="bollard-crash-"))
    room.mkdir(parents=True, exist_ok=True)
    forget = options.room is None
    try:
        violations = try_in(room, options).violations
        forget = forget and not violations
    except CannotRun:
        forget = False  # the log says why
        raise
    finally:
        if forget:
            shutil.rmtree(room, ignore_errors=True)
    return 1 if violations else 0


if __name__ == "__main__":
    end_with("crash", main)
