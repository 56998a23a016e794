"""Brokers that are no single program: aedes on Node, RabbitMQ with its port mapper, nats-server.

Each is started on loopback, with names, ports and folders of its own, and ends with the test that started it.
"""

import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from assess.targets import ROOT, Broker, free_port
from bollard.wire.codec import encode
from bollard.wire.connect import Connect
from bollard.wire.spec import V311

#: Until RabbitMQ has made its users, on a busy machine.
USERS_S = 20.0

#: Where Debian's package keeps the program itself; the one on the path changes the user first.
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"


def aedes() -> str | None:
    """The broker `aedes` from the command line, as npm installs it."""
    if shutil.which("node") is None:
        return None
    own = ROOT / "build" / "node" / "node_modules" / "aedes-cli" / "bin" / "aedes"
    return os.environ.get("BOLLARD_TEST_AEDES") or (str(own) if own.exists() else shutil.which("aedes"))


def nats() -> str | None:
    return shutil.which("nats-server", path=os.environ.get("PATH", "") + ":/usr/sbin")


def rabbitmq() -> str | None:
    found = os.environ.get("BOLLARD_TEST_RABBITMQ") or RABBITMQ
    return found if os.access(found, os.X_OK) and shutil.which("epmd") is not None else None


def start_aedes(*options: str) -> Broker:
    """aedes-cli with these options after its port."""
    port = free_port()
    return Broker(["node", aedes() or "aedes", "--port", str(port), "--host", "127.0.0.1", *options], port)


def aedes_users(folder: Path, **users: tuple[str, str]) -> Path:
    """A credentials file of aedes-cli: for each user a password and a glob of topics."""
    path = folder / "credentials.json"
    path.write_text("{}")
    for name, (password, topics) in users.items():
        rules = ["--authorize-publish", topics, "--authorize-subscribe", topics]
        command = ["node", aedes() or "aedes", "--credentials", str(path), *rules, "adduser", name, password]
        subprocess.run(command, check=True, capture_output=True, timeout=20)
    return path


def start_nats(folder: Path, *lines: str) -> Broker:
    """nats-server with its MQTT listener, and these lines."""
    port, own = free_port(), free_port()
    config = folder / "nats.conf"
    config.write_text(
        f"server_name: assessed\nlisten: 127.0.0.1:{own}\n"
        f'jetstream {{ store_dir: "{folder / "jetstream"}" }}\n'
        f"mqtt {{ listen: 127.0.0.1:{port} }}\n" + "".join(f"{line}\n" for line in lines)
    )
    return Broker([nats() or "nats-server", "-c", str(config)], port)


def nats_users(**users: tuple[str, str]) -> str:
    """Users of nats-server: for each a password and the subject that is all it may use.

    In the words of NATS a topic's slash is a dot, and what clients of MQTT need for themselves is under $MQTT.
    """
    rows = [
        f'{{ user: {name}, password: "{password}", permissions: {{ '
        f'publish: ["{subject}"], subscribe: ["{subject}", "$MQTT.sub.>"] }} }}'
        for name, (password, subject) in users.items()
    ]
    return f"authorization {{ users: [ {', '.join(rows)} ] }}"


class RabbitMq:
    """RabbitMQ with its MQTT plugin and these lines of configuration. A context manager; `port` speaks MQTT.

    `users` has for each a password and the pattern of topics that is all it may use; None leaves those that come
    with it.
    """

    def __init__(self, folder: Path, *lines: str, users: dict[str, tuple[str, str]] | None = None) -> None:
        self.port, self._mapper_port, self._cluster_port = free_port(), free_port(), free_port()
        self._folder, self._users = folder, users or {}
        own = [
            f"listeners.tcp.1 = 127.0.0.1:{free_port()}",
            f"mqtt.listeners.tcp.1 = 127.0.0.1:{self.port}",
            "log.console = false",
            "log.file.level = none",
        ]
        if users is not None:
            (folder / "definitions.json").write_text(json.dumps(definitions(users)))
            own.append(f"load_definitions = {folder / 'definitions.json'}")
        (folder / "rabbitmq.conf").write_text("\n".join([*own, *lines]) + "\n")
        (folder / "plugins").write_text("[rabbitmq_mqtt].\n")
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            mapper = ["epmd", "-port", str(self._mapper_port), "-address", "127.0.0.1"]
            stack.enter_context(Broker(mapper, self._mapper_port))
            stack.enter_context(Broker([rabbitmq() or RABBITMQ], self.port, self._environment()))
            self._wait_for_users()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _wait_for_users(self) -> None:
        """It listens before it has read its definitions: wait until their last user may enter."""
        if not self._users:
            return
        name, (password, _) = list(self._users.items())[-1]
        hello = encode(Connect(client_id="waits", username=name, password=password.encode()), V311)
        end = time.monotonic() + USERS_S
        while time.monotonic() < end:
            with socket.create_connection(("127.0.0.1", self.port), 5) as line:
                line.sendall(hello)
                if line.recv(4)[3:] == b"\0":
                    return
            time.sleep(0.1)
        raise AssertionError("its users could not enter")

    def _environment(self) -> dict[str, str]:
        folder = str(self._folder)
        return {
            "HOME": folder,
            "RABBITMQ_NODENAME": f"assessed{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_DIST_PORT": str(self._cluster_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            # Then the Erlang machine is our own child, and ends by a signal.
            "RABBITMQ_ALLOW_INPUT": "1",
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }


def definitions(users: dict[str, tuple[str, str]]) -> dict[str, object]:
    """The users in RabbitMQ's own words."""
    names = {"vhost": "/", "configure": "^(mqtt-subscription-.*|amq\\.topic)$", "read": ".*", "write": ".*"}
    return {
        "vhosts": [{"name": "/"}],
        "users": [{"name": name, "password": password, "tags": []} for name, (password, _) in users.items()],
        "permissions": [{**names, "user": name} for name in users],
        "topic_permissions": [
            {"user": name, "vhost": "/", "exchange": "amq.topic", "read": topics, "write": topics}
            for name, (_, topics) in users.items()
        ],
    }
