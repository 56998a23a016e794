"""Bollard beside the brokers of others, over sockets, in one interleaved run; a table of ratios and a chart.

Every broker runs on one core and the load generator (`bench/load`) on another. What counts is deliveries, or
connections, for each second of the broker's processor time: that repeats within a few per cent where rates do
not. Bollard runs with its defaults: policy, limits, durable store, its own certificates; only what one load
generator could never do as a real client (thousands of connections of one address) is allowed by name. All
brokers use the same P-256 chain.
"""

import argparse
import json
import math
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tomllib
from html import escape
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BASELINE = "mosquitto"
#: Where smaller is better; everything else is per second of processor time.
LOWER = {"lat_p50_us", "lat_p99_us", "rss_per_conn", "rss_per_topic", "rss_per_sub"}
LOST = ("lost", "dup", "out_of_order", "corrupt", "unexpected")

POLICY = """version = 1
[template.open]
publish = ["#"]
subscribe = ["#"]
retain = ["#"]
will = ["#"]
[group.anyone]
members = ["*"]
apply = ["open"]
[group.strangers]
members = ["anonymous"]
apply = ["open"]
"""

CONFIG = """policy = "policy.toml"
[[listener]]
bind = "127.0.0.1:{plain}"
allow_plaintext = true
allow_anonymous = true
[[listener]]
bind = "127.0.0.1:{tls}"
allow_anonymous = true
[log]
level = "error"
[limits]
max_connections = 30000
max_connections_per_address = 30000
max_sessions = 100000
max_subscriptions = 1000000
max_principal_subscriptions = 1000000
max_retained_messages = 2000000
max_retained_bytes = "4GiB"
max_principal_retained = 2000000
max_principal_retained_bytes = "4GiB"
"""

MOSQUITTO = """allow_anonymous true
user root
listener {plain} 127.0.0.1
listener {tls} 127.0.0.1
certfile {chain}
keyfile {key}
listener {mtls} 127.0.0.1
certfile {chain}
keyfile {key}
cafile {device_ca}
require_certificate true
max_queued_messages 0
max_inflight_messages 0
log_dest none
persistence false
"""

NATS = """server_name: bench
listen: 127.0.0.1:{other}
jetstream {{ store_dir: "{room}/nats-store" }}
mqtt {{
  listen: 127.0.0.1:{plain}
  max_ack_pending: 65535
}}
"""

AMQTT = """listeners:
  default:
    type: tcp
    bind: 127.0.0.1:{plain}
    max_connections: 50000
  tls:
    type: tcp
    bind: 127.0.0.1:{tls}
    max_connections: 50000
    ssl: on
    certfile: {chain}
    keyfile: {key}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
"""


class CannotRun(Exception):
    """What is missing, and what to do."""


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def build_generator(room: Path) -> Path:
    """Compile the load generator into `room`."""
    for tool, package in (("make", "make"), ("gcc", "gcc"), ("taskset", "util-linux")):
        if shutil.which(tool) is None:
            raise CannotRun(f"{tool} is missing. Install it: apt install {package}")
    if len(os.sched_getaffinity(0)) < 2:
        raise CannotRun("two cores are needed: one for the broker, one for the load generator")
    target = room / "load"
    shutil.copytree(HERE / "load", target, dirs_exist_ok=True)
    made = subprocess.run(["make", "-C", str(target), "mqttload"], capture_output=True, text=True)
    if made.returncode:
        raise CannotRun(f"the load generator does not compile (apt install libssl-dev?):\n{made.stderr}")
    return target


def our_broker(room: Path) -> dict[str, Any]:
    """Bollard with a fresh state directory, and one identity whose certificate the load generator shows."""
    state = room / "bollard"
    plain, tls = free_ports(2)
    state.mkdir(mode=0o700, exist_ok=True)
    (state / "policy.toml").write_text(POLICY)
    config = state / "bollard.toml"
    config.write_text(CONFIG.format(plain=plain, tls=tls))
    if not (room / "bench" / "client.crt").exists():
        serve(config, plain)
        enroll(config, room)
    return {
        "name": "bollard",
        "cmd": [sys.executable, "-m", "bollard", "serve", "--config", str(config)],
        "port": plain,
        "tls_port": tls,
        "mtls_port": tls,
        "ready_timeout": 60,
    }


def serve(config: Path, port: int) -> None:
    """Start once and stop, so that authorities and certificates are there."""
    command = [sys.executable, "-m", "bollard", "serve", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = next((line for line in process.stdout if "listening" in line), "")
        process.terminate()
    if not line:
        raise CannotRun(f"Bollard did not start; run `bollard check --config {config}`")


def enroll(config: Path, room: Path) -> None:
    out = room / "bench"
    command = [sys.executable, "-m", "bollard", "enroll", "bench", "--as", "open", "--config", str(config)]
    done = subprocess.run(
        [*command, "--certificate", "--out", str(out), "--json"], capture_output=True, text=True
    )
    if done.returncode:
        raise CannotRun(f"`bollard enroll` failed: {done.stderr}")
    given = json.loads(done.stdout)
    shutil.copy(given["cert_file"], out / "client.crt")
    shutil.copy(given["key_file"], out / "client.key")


def peers(room: Path) -> list[dict[str, Any]]:
    """The brokers of others that this machine has, each with what it needs to start."""
    state = room / "bollard"
    names = {
        "chain": state / "tls" / "server-ecdsa.crt",
        "key": state / "tls" / "server-ecdsa.key",
        "device_ca": state / "ca" / "device-ca.crt",
        "room": room,
    }
    mosquitto = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if mosquitto is None:
        raise CannotRun("mosquitto is missing. Install it: apt install mosquitto")
    plain, tls, mtls = free_ports(3)
    config = write(room / "mosquitto.conf", MOSQUITTO, plain=plain, tls=tls, mtls=mtls, **names)
    found = [
        {
            "name": BASELINE,
            "cmd": [mosquitto, "-c", config],
            "port": plain,
            "tls_port": tls,
            "mtls_port": mtls,
        }
    ]
    nats = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/sbin")
    if nats:
        plain, other = free_ports(2)
        config = write(room / "nats.conf", NATS, plain=plain, other=other, **names)
        skip = ["*q2*", "*tls*", "v5*", "shared*", "retained*", "idle*", "subscriptions*"]
        found.append({"name": "nats-server", "cmd": [nats, "-c", config], "port": plain, "skip": skip})
    amqtt = HERE.parent / "build" / "amqtt" / "bin" / "amqtt"
    if amqtt.exists():
        plain, tls = free_ports(2)
        config = write(room / "amqtt.yaml", AMQTT, plain=plain, tls=tls, **names)
        skip = ["v5*", "shared*", "retained*", "idle*", "subscriptions*"]
        found.append(
            {"name": "amqtt", "cmd": [str(amqtt), "-c", config], "port": plain, "tls_port": tls, "skip": skip}
        )
    return found


def write(path: Path, text: str, **values: object) -> str:
    path.write_text(text.format(**values))
    return str(path)


def scenarios(memory: bool, seconds: float) -> list[dict[str, Any]]:
    """What `matrix.toml` asks for, in the words of the comparison tool."""
    matrix = tomllib.loads((HERE / "matrix.toml").read_text())["scenario"]
    chosen = []
    for entry in matrix:
        if entry.get("memory", False) != memory:
            continue
        args = entry["args"].split()
        args += ["-d", "1"] if memory else ["--warmup", "0.5", "-d", str(seconds)]
        scenario = {
            "name": entry["name"],
            "args": args,
            "transport": entry.get("transport", "plain"),
            "metrics": entry.get("metrics", ["per_cpu_s"]),
            **({"fresh": True, "timeout": 300} if memory else {}),
        }
        chosen.append(scenario)
        if entry.get("both"):
            chosen.append({**scenario, "name": "tls-" + entry["name"], "transport": "tls"})
    return chosen


def toml_of(value: object) -> str:
    return json.dumps(value)  # strings, numbers, truth and lists of them are spelled alike


def write_plan(room: Path, brokers: list[dict[str, Any]], chosen: list[dict[str, Any]]) -> Path:
    """The configuration of the comparison tool."""
    state = room / "bollard"
    low, high, *_ = sorted(os.sched_getaffinity(0))
    run = {
        "broker_core": low,
        "gen_core": high,
        "baseline": BASELINE,
        "nice": -15 if os.geteuid() == 0 else 0,
        "mqttload": str(room / "load" / "mqttload"),
        "cafile": str(state / "ca" / "server-root.crt"),
        "cert": str(room / "bench" / "client.crt"),
        "key": str(room / "bench" / "client.key"),
    }
    tables = [("[run]", run)]
    tables += [("[[broker]]", broker) for broker in brokers]
    tables += [("[[scenario]]", scenario) for scenario in chosen]
    lines = []
    for heading, table in tables:
        lines.append(heading)
        lines += [f"{key} = {toml_of(value)}" for key, value in table.items()]
    plan = room / "plan.toml"
    plan.write_text("\n".join(lines) + "\n")
    return plan


Medians = dict[tuple[str, str, str], float]


def medians(results: Path) -> tuple[Medians, list[str]]:
    """The median of each (scenario, metric, broker), and what went wrong in words."""
    values: dict[tuple[str, str, str], list[float]] = {}
    faults = []
    for line in results.read_text().splitlines():
        row = json.loads(line)
        if "skipped" in row:
            continue
        if "error" in row:
            faults.append(f"{row['case']}, {row['broker']}: {row['error']}")
            continue
        bad = {name: row[name] for name in LOST if row.get(name)}
        if bad:
            faults.append(f"{row['case']}, {row['broker']}: {bad}")
        for metric in row["metrics"]:
            if isinstance(row.get(metric), int | float):
                values.setdefault((row["case"], metric, row["broker"]), []).append(row[metric])
    return {key: statistics.median(found) for key, found in values.items()}, faults


def table(found: Medians) -> str:
    """Markdown: the baseline's figure, then each broker's with its ratio to the baseline."""
    brokers = list(dict.fromkeys(key[2] for key in found if key[2] != BASELINE))
    lines = [
        f"| scenario | unit | {BASELINE} | " + " | ".join(brokers) + " |",
        "|---" * (3 + len(brokers)) + "|",
    ]
    for case, metric in dict.fromkeys((key[0], key[1]) for key in found):
        base = found.get((case, metric, BASELINE))
        cells = [case, metric, number(base)]
        for broker in brokers:
            value = found.get((case, metric, broker))
            ratio = f" ({value / base:.2f})" if value is not None and base else ""
            cells.append(number(value) + ratio)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def number(value: float | None) -> str:
    if value is None:
        return "-"
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def chart(found: Medians, title: str) -> str:
    """SVG: the ratio of Bollard to the baseline for each scenario of throughput, on a logarithmic scale."""
    rows = []
    for case, metric, broker in found:
        base = found.get((case, metric, BASELINE))
        if broker == "bollard" and metric not in LOWER and base:
            rows.append((case, found[case, metric, broker] / base))
    left, width, step = 190, 460, 20
    top = 46
    height = top + step * len(rows) + 24
    largest = max([ratio for _, ratio in rows], default=1.0)
    scale = width / math.log10(max(largest, 1.0) * 10)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 70}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="8" y="20" font-size="14">{escape(title)}</text>',
    ]
    for mark in (0.1, 1, 10, 100):
        x = left + math.log10(mark * 10) * scale
        if x <= left + width:
            colour = "#333" if mark == 1 else "#ccc"
            parts.append(f'<path d="M{x:.1f} {top - 8}V{height - 18}" stroke="{colour}"/>')
            parts.append(f'<text x="{x:.1f}" y="{height - 5}" text-anchor="middle">{mark:g}x</text>')
    for index, (case, ratio) in enumerate(rows):
        y = top + index * step
        length = max(math.log10(max(ratio, 0.1) * 10) * scale, 1)
        colour = "#2a6f97" if ratio >= 1 else "#bc4b51"
        parts.append(f'<text x="{left - 8}" y="{y + 11}" text-anchor="end">{escape(case)}</text>')
        parts.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="14" fill="{colour}"/>')
        parts.append(f'<text x="{left + length + 5:.1f}" y="{y + 11}">{ratio:.2g}x</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--room", type=Path, default=HERE.parent / "build" / "bench", help="work and results")
    parser.add_argument("--reps", type=int, default=5, help="interleaved repetitions (5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="each measurement (2)")
    parser.add_argument("--brokers", help="names, with commas between (all that are installed)")
    parser.add_argument("--scenarios", help="patterns, with commas between (all)")
    parser.add_argument(
        "--memory", action="store_true", help="bytes a connection, topic, subscription instead"
    )
    options = parser.parse_args()
    room: Path = options.room.resolve()
    room.mkdir(parents=True, exist_ok=True)
    try:
        load = build_generator(room)
        ours = our_broker(room)
        brokers = [*peers(room), ours]
    except CannotRun as problem:
        print(f"make bench: {problem}", file=sys.stderr)
        return 2
    plan = write_plan(room, brokers, scenarios(options.memory, options.seconds))
    results = room / ("memory.jsonl" if options.memory else "results.jsonl")
    results.unlink(missing_ok=True)
    command = [sys.executable, str(load / "compare.py"), "run", str(plan), "--out", str(results)]
    command += ["--reps", str(1 if options.memory else options.reps)]
    for name in ("brokers", "scenarios"):
        if getattr(options, name):
            command += [f"--{name}", getattr(options, name)]
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
        print("make bench: the comparison did not run; see above", file=sys.stderr)
        return 2
    found, faults = medians(results)
    written = table(found)
    results.with_suffix(".md").write_text(written)
    results.with_suffix(".svg").write_text(chart(found, f"Bollard against {BASELINE}, per CPU second"))
    print(written)
    for fault in faults:
        print(f"! {fault}")
    print(f"Written: {results.with_suffix('.md')}, {results.with_suffix('.svg')}, {results}")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
