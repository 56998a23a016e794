"""Bollard and the brokers of others, each with its configuration and how it is started, for `against_peers.py`.

All of them listen on loopback, let everybody do everything, and show the same P-256 chain. Bollard keeps its
defaults: policy, limits, durable store; only what one load generator could never do as real clients (thousands of
connections of one address) is allowed by name.
"""

import json
import os
import platform
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from load.ending import run_to_end

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build"
BASELINE = "mosquitto"
OURS = "bollard"
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
#: Where programs are that are not for everybody's path.
SBIN = "/usr/sbin:/usr/local/sbin"

#: Brokers that come from a registry, and the target of the Makefile that fetches them.
FETCHED = {"amqtt": "build/amqtt/.ready", "aedes": "build/node/.aedes-ready"}

Spec = dict[str, Any]

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
persistence {persistence}
persistence_location {room}/mosquitto-store/
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

AEDES = """const fs = require('fs'), net = require('net'), tls = require('tls'), module_ = require('aedes')
const Aedes = module_.Aedes || module_
const options = {{ concurrency: 1000, queueLimit: 65535, maxClientsIdLength: 200 }}
const chain = {{ key: fs.readFileSync('{key}'), cert: fs.readFileSync('{chain}') }}
const mutual = {{ ...chain, ca: fs.readFileSync('{device_ca}'), requestCert: true, rejectUnauthorized: true }}
;(async () => {{
  const broker = Aedes.createBroker ? await Aedes.createBroker(options) : new Aedes(options)
  net.createServer(broker.handle).listen({plain}, '127.0.0.1')
  tls.createServer(chain, broker.handle).listen({tls}, '127.0.0.1')
  tls.createServer(mutual, broker.handle).listen({mtls}, '127.0.0.1')
}})()
"""

RABBIT = """listeners.tcp.1 = 127.0.0.1:{other}
mqtt.listeners.tcp.1 = 127.0.0.1:{plain}
mqtt.listeners.ssl.1 = 127.0.0.1:{tls}
mqtt.allow_anonymous = true
mqtt.prefetch = 65535
ssl_options.certfile = {chain}
ssl_options.keyfile = {key}
ssl_options.verify = verify_none
loopback_users = none
log.console = false
log.file.level = none
vm_memory_high_watermark.relative = 0.6
disk_free_limit.absolute = 1GB
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


def write(path: Path, text: str, **values: object) -> str:
    path.write_text(text.format(**values))
    return str(path)


def meant(wanted: str | None, names: Iterable[str]) -> dict[str, list[str]]:
    """Which of `names` each pattern of `wanted` means; None stands for all."""
    there = list(dict.fromkeys(names))
    patterns = [each.strip() for each in (wanted or "*").split(",")]
    return {pattern: [name for name in there if fnmatchcase(name, pattern)] for pattern in patterns}


def set_up(wanted: str | None) -> None:
    """Fetch, once, the brokers from registries that a pattern of `wanted` means; where that fails, go on without."""
    found = meant(wanted, FETCHED).values()
    for name, target in FETCHED.items():
        if (ROOT / target).exists() or not any(name in some for some in found):
            continue
        if run_to_end(["make", "-C", str(ROOT), "--no-print-directory", target], stdout=sys.stderr):
            print(f"make bench: {name} cannot be fetched; going on without it", file=sys.stderr)


def found_brokers(room: Path, also: Sequence[Path] = ()) -> list[Spec]:
    """Mosquitto, Bollard, and every other broker that this machine has or that the files `also` describe.

    Each is a `[[broker]]` of the comparison tool, with `version` beside. Raises CannotRun.
    """
    ours = our_broker(room)
    names = {
        "chain": room / "bollard" / "tls" / "server-ecdsa.crt",
        "key": room / "bollard" / "tls" / "server-ecdsa.key",
        "device_ca": room / "bollard" / "ca" / "device-ca.crt",
        "room": room,
    }
    found = [mosquitto(room, names), ours]
    for other in (nats(room, names), rabbitmq(room, names), aedes(room, names), amqtt(room, names)):
        if other is not None:
            found.append(other)
    for path in also:
        found += described(path, names)
    return found


def our_broker(room: Path) -> Spec:
    """Bollard with a state directory of its own, and one identity whose certificate the load generator shows."""
    state = room / "bollard"
    plain, tls = free_ports(2)
    state.mkdir(mode=0o700, exist_ok=True)
    (state / "policy.toml").write_text(POLICY)
    config = state / "bollard.toml"
    config.write_text(CONFIG.format(plain=plain, tls=tls))
    if not (room / "bench" / "client.crt").exists():
        serve(config)
        enroll(config, room)
    return {
        "name": OURS,
        "version": _told([sys.executable, "-m", "bollard", "--version"]),
        "cmd": [sys.executable, "-m", "bollard", "serve", "--config", str(config)],
        "port": plain,
        "tls_port": tls,
        "mtls_port": tls,
        "ready_timeout": 60,
        # What an earlier run left for clients that stay away would be restored, and measured with the next.
        "clean": [f"{state}/sessions.db*"],
    }


def serve(config: Path) -> None:
    """Start once and stop, so that authorities and certificates are there."""
    command = [sys.executable, "-m", "bollard", "serve", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            line = next((line for line in process.stdout if "listening" in line), "")
        finally:
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


def mosquitto(room: Path, names: dict[str, Path]) -> Spec:
    """The baseline. Durable scenarios give it `durable_cmd` instead: it stores only when asked to."""
    program = _program("mosquitto")
    if program is None:
        raise CannotRun("mosquitto is missing. Install it: apt install mosquitto")
    plain, tls, mtls = free_ports(3)
    ports = {"plain": plain, "tls": tls, "mtls": mtls}
    config = write(room / "mosquitto.conf", MOSQUITTO, persistence="false", **ports, **names)
    durable = write(room / "mosquitto-durable.conf", MOSQUITTO, persistence="true", **ports, **names)
    return {
        "name": BASELINE,
        "version": _told([program, "-h"]),
        "cmd": [program, "-c", config],
        "durable_cmd": [program, "-c", durable],
        "clean": [str(room / "mosquitto-store")],
        "mkdir": [str(room / "mosquitto-store")],
        "port": plain,
        "tls_port": tls,
        "mtls_port": mtls,
    }


def nats(room: Path, names: dict[str, Path]) -> Spec | None:
    program = _program("nats-server")
    if program is None:
        return None
    plain, other = free_ports(2)
    config = write(room / "nats.conf", NATS, plain=plain, other=other, **names)
    return {
        "name": "nats-server",
        "version": _told([program, "--version"]),
        "cmd": [program, "-c", config],
        "clean": [str(room / "nats-store")],
        "port": plain,
        # 3.1.1 only, and QoS 2 is refused.
        "skip": ["*-q2", "v5*", "tls-v5*", "shared*", "tls-shared*", "retained*"],
    }


def rabbitmq(room: Path, names: dict[str, Path]) -> Spec | None:
    mapper = shutil.which("epmd")
    if not os.access(RABBITMQ, os.X_OK) or mapper is None:
        return None
    plain, tls, other, cluster, mapping = free_ports(5)
    store = room / "rabbitmq"
    config = write(room / "rabbitmq.conf", RABBIT, plain=plain, tls=tls, other=other, **names)
    plugins = write(room / "rabbitmq-plugins", "[rabbitmq_mqtt].\n")
    # Its port mapper would stay behind as a daemon; here it is a child and ends with the broker.
    starts = f"{mapper} -port {mapping} -address 127.0.0.1 & exec {RABBITMQ}"
    return {
        "name": "rabbitmq",
        "version": f"RabbitMQ {_debian_version('rabbitmq-server')}",
        "cmd": ["sh", "-c", starts],
        "clean": [str(store)],
        "mkdir": [str(store)],
        "port": plain,
        "tls_port": tls,
        "ready_timeout": 90,
        "settle": 2,
        "keep": True,
        "skip": ["*-q2", "v5*", "tls-v5*", "*shared*", "retained*", "*latency-20k*"],
        "env": {
            "HOME": str(store),
            "RABBITMQ_NODENAME": f"bench{plain}@localhost",
            "RABBITMQ_MNESIA_BASE": f"{store}/mnesia",
            "RABBITMQ_LOG_BASE": f"{store}/log",
            "RABBITMQ_CONFIG_FILE": config,
            "RABBITMQ_ENABLED_PLUGINS_FILE": plugins,
            "RABBITMQ_DIST_PORT": str(cluster),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {{127,0,0,1}}",
            "ERL_EPMD_PORT": str(mapping),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        },
    }


def aedes(room: Path, names: dict[str, Path]) -> Spec | None:
    modules = BUILD / "node" / "node_modules"
    node = shutil.which("node")
    if node is None or not (modules / "aedes" / "package.json").exists():
        return None
    plain, tls, mtls = free_ports(3)
    script = write(room / "aedes.js", AEDES, plain=plain, tls=tls, mtls=mtls, **names)
    about = json.loads((modules / "aedes" / "package.json").read_text())
    return {
        "name": "aedes",
        "version": f"aedes {about['version']}",
        "cmd": [node, script],
        "env": {"NODE_PATH": str(modules)},
        "port": plain,
        "tls_port": tls,
        "mtls_port": mtls,
        # It knows 3.1.1 only, and nothing of shared subscriptions.
        "skip": ["v5*", "tls-v5*", "*shared*", "durable*"],
    }


def amqtt(room: Path, names: dict[str, Path]) -> Spec | None:
    program = BUILD / "amqtt" / "bin" / "amqtt"
    if not program.exists():
        return None
    plain, tls = free_ports(2)
    config = write(room / "amqtt.yaml", AMQTT, plain=plain, tls=tls, **names)
    return {
        "name": "amqtt",
        "version": f"amqtt {_told([str(program), '--version'])}",
        "cmd": [str(program), "-c", config],
        "port": plain,
        "tls_port": tls,
        # 20,000 messages a second are more than it can take in.
        "skip": ["v5*", "tls-v5*", "*shared*", "retained*", "subscriptions*", "durable*", "*latency*"],
    }


def described(path: Path, names: dict[str, Path]) -> list[Spec]:
    """Brokers from a file of `[[broker]]` tables; `{chain}`, `{key}`, `{device_ca}` and `{room}` are filled in.

    For those that no package of this machine brings. Raises CannotRun for what cannot be used.
    """
    try:
        text = path.read_text()
        for name, value in names.items():
            text = text.replace("{" + name + "}", str(value))
        found: list[Spec] = tomllib.loads(text).get("broker", [])
    except OSError as problem:
        raise CannotRun(f"--also {path}: {problem.strerror}") from None
    except ValueError as problem:
        raise CannotRun(f"--also {path}: {problem}") from None
    if not found or any(not {"name", "cmd", "port"} <= set(spec) for spec in found):
        raise CannotRun(f"--also {path}: needs [[broker]] tables, each with name, cmd and port")
    return [{"version": spec["name"], **spec} for spec in found]


def machine() -> dict[str, str]:
    """What the figures are of."""
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "processor": model[1].strip() if model else platform.machine(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
    }


def _program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=SBIN)


def _told(command: list[str]) -> str:
    """The first line that a program says of itself."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0] if lines else "unknown"


def _debian_version(package: str) -> str:
    if shutil.which("dpkg-query") is None:
        return "unknown"
    return _told(["dpkg-query", "-W", "-f", "${Version}", package])
