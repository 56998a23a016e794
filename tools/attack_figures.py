"""What attacks cost the broker, and what another client notices of them: a table of memory, CPU and latency.

    tools/attack_figures.py [--seconds 4] [--only NAME] [--python PATH]

Starts a broker of its own on loopback for each attack, enrolls an attacker and a healthy client, lets the
attacker loose from another process, and meanwhile sends the healthy client's messages to itself, 16 bytes at
QoS 0, one after the other. All settings are the defaults. Told are the broker's memory before, at its peak and
one second after; its processor time; and the round trips of the healthy client. Nothing outside its temporary
directory is touched, and only the processes that it started are ended.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import secrets
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from bollard.wire.codec import encode
from bollard.wire.connect import Connect
from bollard.wire.properties import Properties
from bollard.wire.publish import encode_publish
from bollard.wire.subscribe import Subscribe, SubscribeFilter, Unsubscribe

CONFIG = """\
policy = "policy.toml"
[[listener]]
bind = "127.0.0.1:{tls}"
[[listener]]
bind = "127.0.0.1:{plain}"
allow_plaintext = true
[log]
level = "error"
"""
PINGREQ = b"\xc0\x00"


class Target:
    """Where the broker listens, and who the attacker is."""

    def __init__(self, plain: int, tls: int, user: str, password: str, seconds: float) -> None:
        self.plain = plain
        self.tls = tls
        self.user = user
        self.password = password
        self.seconds = seconds

    def topic(self, rest: str) -> str:
        return f"devices/{self.user}/{rest}"


def free_port() -> int:
    """A port that is free and that the system gives to no client meanwhile."""
    while True:
        port = secrets.choice(range(15_000, 32_000))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            return port


# A client without comfort ------------------------------------------------------------------------------


def connect_packet(target: Target, client_id: str, *, expiry: int = 0, clean: bool = True) -> bytes:
    return encode(
        Connect(
            version=5,
            clean_start=clean,
            keepalive_s=600,
            client_id=client_id,
            username=target.user,
            password=target.password.encode(),
            properties=Properties(session_expiry_interval=expiry),
        ),
        5,
    )


def knock(target: Target, client_id: str, *, expiry: int = 0) -> tuple[socket.socket, bytes]:
    """A connection and what it was answered; nothing where it was closed at once, as by a limit."""
    link = socket.create_connection(("127.0.0.1", target.plain), 20)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        link.sendall(connect_packet(target, client_id, expiry=expiry))
        return link, link.recv(65_536)
    except ConnectionError:
        return link, b""


def enter(target: Target, client_id: str, *, expiry: int = 0) -> socket.socket:
    """A connection that was let in."""
    link, head = knock(target, client_id, expiry=expiry)
    if len(head) < 4 or head[0] != 0x20 or head[3] != 0:
        raise SystemExit(f"not let in: {head.hex()}")
    return link


def subscribe(*filters: str, qos: int = 0) -> bytes:
    return encode(Subscribe(1, tuple(SubscribeFilter(each, qos) for each in filters)), 5)


def publish(topic: str, payload: bytes = b"", *, qos: int = 0, retain: int = 0, packet_id: int = 0) -> bytes:
    return encode_publish(topic.encode(), payload, qos=qos, retain=retain, packet_id=packet_id, version=5)


def flood(link: socket.socket, data: bytes, seconds: float) -> None:
    """Send `data` again and again, reading what comes so that only the work counts."""
    link.setblocking(False)
    end = time.monotonic() + seconds
    view = memoryview(data)
    at = 0
    while time.monotonic() < end:
        with contextlib.suppress(BlockingIOError):
            at = (at + link.send(view[at:])) % len(data)
        with contextlib.suppress(BlockingIOError):
            while link.recv(1 << 18):
                pass


# The attacks -------------------------------------------------------------------------------------------


def nothing(target: Target) -> None:
    """Nobody attacks."""
    time.sleep(target.seconds)


def half_connects(target: Target) -> None:
    """900 strangers declare a CONNECT of 64 KiB and send all of it but the end."""
    opening = b"\x10\xf0\xff\x03" + b"\x00\x04MQTT\x05" + b"x" * 60_000
    links = []
    for _ in range(900):
        link = socket.create_connection(("127.0.0.1", target.plain), 20)
        with contextlib.suppress(OSError):
            link.sendall(opening)
        links.append(link)
    time.sleep(target.seconds)


def ping_flood(target: Target) -> None:
    """One client sends PINGREQ as fast as it is read."""
    flood(enter(target, "a"), PINGREQ * 32_768, target.seconds)


def subscribe_churn(target: Target) -> None:
    """One client subscribes to 1,000 filters and unsubscribes again, without end."""
    filters = [target.topic(f"{number}/+/x") for number in range(1_000)]
    flood(enter(target, "a"), subscribe(*filters) + encode(Unsubscribe(2, tuple(filters)), 5), target.seconds)


def retained_search(target: Target) -> None:
    """1,000 filters that look at 20,000 retained messages and match none."""
    link = enter(target, "a")
    for start in range(0, 20_000, 1_000):
        topics = (target.topic(f"{number}/x") for number in range(start, start + 1_000))
        link.sendall(b"".join(publish(topic, b"1", retain=1) for topic in topics))
    filters = [target.topic(f"+/nothing/{number}") for number in range(1_000)]
    flood(link, subscribe(*filters) + PINGREQ * 10, target.seconds)


def slow_readers(target: Target) -> None:
    """100 clients that read nothing of a flood of messages of 1 KiB."""
    links = []
    for number in range(100):
        link = enter(target, f"s{number}")
        link.sendall(subscribe(target.topic("flood"), qos=1))
        link.recv(100)
        links.append(link)
    flood(enter(target, "a"), publish(target.topic("flood"), b"x" * 1024) * 64, target.seconds)


def never_acknowledging(target: Target) -> None:
    """One client reads 1,000 messages of 500 KiB and acknowledges none."""
    reader = enter(target, "reader", expiry=600)
    reader.sendall(subscribe(target.topic("big"), qos=1))
    reader.setblocking(False)
    author = enter(target, "author")
    end = time.monotonic() + target.seconds
    for number in range(1_000):
        if time.monotonic() > end:
            break
        author.sendall(publish(target.topic("big"), b"x" * 500_000, qos=1, packet_id=number + 1))
        for link in (reader, author):
            link.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while link.recv(1 << 20):
                    pass
            link.setblocking(True)
    time.sleep(max(end - time.monotonic(), 0))


def endless_topics(target: Target) -> None:
    """Ten clients publish on long topics that are never used again."""
    enter(target, "reader").sendall(subscribe(target.topic("#")))
    links = [enter(target, f"a{number}") for number in range(10)]
    end = time.monotonic() + target.seconds
    count = 0
    while time.monotonic() < end:
        for link in links:
            count += 1
            link.sendall(publish(target.topic(f"{count}" + "t" * 3_900)))


def absent_group(target: Target) -> None:
    """900 absent members of a shared subscription, and a flood of messages for it."""
    for number in range(900):
        link = enter(target, f"m{number}", expiry=600)
        link.sendall(subscribe("$share/g/" + target.topic("job"), qos=1))
        link.recv(100)
        link.close()
    flood(enter(target, "a"), publish(target.topic("job")) * 5_000, target.seconds)


def wide_fan_out(target: Target) -> None:
    """Tiny messages for 200 receivers of the attacker's own, who read."""
    links = []
    for number in range(200):
        link = enter(target, f"r{number}")
        link.sendall(subscribe(target.topic("t")))
        link.setblocking(False)
        links.append(link)
    author = enter(target, "a")
    author.setblocking(False)
    data = publish(target.topic("t")) * 2_000
    end = time.monotonic() + target.seconds
    while time.monotonic() < end:
        with contextlib.suppress(BlockingIOError):
            author.send(data)
        for link in links:
            with contextlib.suppress(BlockingIOError):
                link.recv(1 << 18)


def deep_filters(target: Target) -> None:
    """As many filters of 32 levels as are granted, from 100 sessions."""
    end = time.monotonic() + target.seconds
    links = []
    for session in range(100):
        if time.monotonic() > end:
            break
        link = enter(target, f"deep{session}", expiry=600)
        filters = [target.topic(f"{session}/{number}" + "/x" * 28) for number in range(1_000)]
        link.sendall(subscribe(*filters))
        link.settimeout(20)
        link.recv(65_536)
        links.append(link)
    time.sleep(max(end - time.monotonic(), 0))


def owed_and_not_reading(target: Target) -> None:
    """20,000 retained messages, and 300 clients that ask for all of them and do not read."""
    author = enter(target, "author")
    for start in range(0, 20_000, 1_000):
        topics = (target.topic(f"{number}") for number in range(start, start + 1_000))
        author.sendall(b"".join(publish(topic, b"x" * 64, retain=1) for topic in topics))
    author.sendall(PINGREQ)
    author.recv(10)
    links = []
    for number in range(300):
        link = enter(target, f"owed{number}")
        link.sendall(subscribe(target.topic("+")))
        links.append(link)
    time.sleep(target.seconds)


def fruitless_search(target: Target) -> None:
    """1,000 filters with and without "+" at each of ten levels, and endless topics that match none."""
    link = enter(target, "a")
    filters = ["/".join("+" if n >> bit & 1 else "x" for bit in range(10)) + "/no" for n in range(1_000)]
    link.sendall(subscribe(*(target.topic(each) for each in filters)))
    link.recv(65_536)
    end = time.monotonic() + target.seconds
    link.setblocking(False)
    count = 0
    while time.monotonic() < end:
        count += 1
        data = b"".join(publish(target.topic("x/" * 10 + f"{count}/{n}")) for n in range(200))
        view = memoryview(data)
        while view and time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                view = view[link.send(view) :]


def megabytes_to_many(target: Target) -> None:
    """Messages of 1 MB for 200 receivers of the attacker's own, who read."""
    links = []
    for number in range(200):
        link = enter(target, f"r{number}")
        link.sendall(subscribe(target.topic("big")))
        link.setblocking(False)
        links.append(link)
    author = enter(target, "a")
    author.setblocking(False)
    data = publish(target.topic("big"), b"x" * 1_000_000)
    view = memoryview(data)
    end = time.monotonic() + target.seconds
    while time.monotonic() < end:
        with contextlib.suppress(BlockingIOError):
            view = view[author.send(view) :] or memoryview(data)
        for link in links:
            with contextlib.suppress(BlockingIOError):
                link.recv(1 << 20)


def user_properties(target: Target) -> None:
    """PUBLISH with 64 user properties each."""
    packet = encode_publish(
        target.topic("t").encode(),
        b"",
        qos=0,
        version=5,
        properties=Properties(user_properties=(("name", "value"),) * 64),
    )
    flood(enter(target, "a"), packet * 100, target.seconds)


def connect_storm(target: Target) -> None:
    """Connections that authenticate and leave, one after the other, each with a name of its own."""
    end = time.monotonic() + target.seconds
    count = 0
    while time.monotonic() < end:
        count += 1
        knock(target, f"c{count}")[0].close()


def flapping(target: Target) -> None:
    """One client that comes, goes and comes again, as fast as it can."""
    end = time.monotonic() + target.seconds
    while time.monotonic() < end:
        knock(target, "same")[0].close()


def takeover_storm(target: Target) -> None:
    """Ten connections that take one session from each other."""
    links: deque[socket.socket] = deque(maxlen=10)
    end = time.monotonic() + target.seconds
    while time.monotonic() < end:
        links.append(knock(target, "same", expiry=600)[0])


def wrong_passwords(target: Target) -> None:
    """Guesses at a password, one connection each."""
    wrong = Target(target.plain, target.tls, "healthy", "wrong", target.seconds)
    end = time.monotonic() + target.seconds
    while time.monotonic() < end:
        knock(wrong, "x")[0].close()


def handshake_storm(target: Target) -> None:
    """TLS handshakes without end, RSA, no resumption."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    end = time.monotonic() + target.seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            raw = socket.create_connection(("127.0.0.1", target.tls), 20)
            context.wrap_socket(raw).close()


ATTACKS: tuple[Callable[[Target], None], ...] = (
    nothing,
    half_connects,
    handshake_storm,
    connect_storm,
    flapping,
    takeover_storm,
    wrong_passwords,
    ping_flood,
    subscribe_churn,
    retained_search,
    endless_topics,
    fruitless_search,
    deep_filters,
    owed_and_not_reading,
    user_properties,
    wide_fan_out,
    megabytes_to_many,
    absent_group,
    slow_readers,
    never_acknowledging,
)


# The broker and the healthy client -----------------------------------------------------------------------


class Broker:
    """A broker of our own in `folder`, with an attacker and a healthy client enrolled."""

    def __init__(self, python: str, folder: Path) -> None:
        self.python = python
        self.folder = folder
        self.plain, self.tls = free_port(), free_port()
        self.process = self._start(self.tls, "up", "--dir", str(folder), "--port", str(self.tls))
        self.stop()
        (folder / "bollard.toml").write_text(CONFIG.format(tls=self.tls, plain=self.plain))
        self.passwords = {name: self._enroll(name) for name in ("attacker", "healthy")}
        self.process = self._start(self.plain, "serve", "--config", str(folder / "bollard.toml"))

    def _start(self, port: int, *arguments: str) -> "subprocess.Popen[bytes]":
        """A process that listens on `port`."""
        process = subprocess.Popen(  # noqa: S603 - our own command
            [self.python, "-m", "bollard", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        end = time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return process
            time.sleep(0.05)
        process.kill()
        _, told = process.communicate()
        raise SystemExit(f"the broker does not listen: {told.decode()[-500:]}")

    def _enroll(self, name: str) -> str:
        """The password of a new device; from the answer on standard output, never an argument."""
        done = subprocess.run(  # noqa: S603 - our own command
            [
                *(self.python, "-m", "bollard", "enroll", name, "--password", "--json"),
                *("--dir", str(self.folder), "--out", str(self.folder / f"out-{name}")),
            ],
            capture_output=True,
            check=True,
        )
        return str(json.loads(done.stdout)["password"])

    def memory_mib(self) -> float:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 2**20

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        if self.process.poll() is None:
            self.process.kill()


def measure(broker: Broker, attack: Callable[[Target], None], seconds: float) -> str:
    """One row of the table."""
    healthy = Target(broker.plain, broker.tls, "healthy", broker.passwords["healthy"], seconds)
    link = enter(healthy, "healthy")
    topic = healthy.topic("echo")
    link.sendall(subscribe(topic))
    link.recv(100)
    before_mib, before_s = broker.memory_mib(), broker.cpu_s()
    target = Target(broker.plain, broker.tls, "attacker", broker.passwords["attacker"], seconds)
    child = multiprocessing.Process(target=attack, args=(target,), daemon=True)
    child.start()
    began = time.monotonic()
    trips: list[float] = []
    peak = before_mib
    packet = publish(topic, b"x" * 16)
    while child.is_alive():
        sent = time.monotonic()
        link.sendall(packet)
        got = 0
        with contextlib.suppress(TimeoutError):  # then this trip is as long as the patience
            while got < len(packet):
                got += len(link.recv(4_096)) or len(packet)
        trips.append((time.monotonic() - sent) * 1000)
        peak = max(peak, broker.memory_mib())
        time.sleep(0.005)
    took = time.monotonic() - began
    child.join()
    cpu = 100 * (broker.cpu_s() - before_s) / took
    time.sleep(1)
    p99 = statistics.quantiles(trips, n=100, method="inclusive")[98]
    return (
        f"| {attack.__name__.replace('_', ' ')} | {before_mib:.0f} | {peak:.0f} | {broker.memory_mib():.0f} "
        f"| {cpu:.0f} % | {statistics.median(trips):.1f} | {p99:.1f} | {max(trips):.1f} |"
    )


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--only", default="")
    parser.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    say("| attack | MiB before | peak | after | CPU | median ms | p99 ms | worst ms |")
    say("|---|---|---|---|---|---|---|---|")
    for attack in ATTACKS:
        if options.only in attack.__name__:
            folder = Path(tempfile.mkdtemp(prefix="bollard-attack-"))
            broker = Broker(options.python, folder / "state")
            try:
                say(measure(broker, attack, options.seconds))
            finally:
                broker.stop()
                shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
