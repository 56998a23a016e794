"""Real stacks as devices: how each is started, and what is missing on this machine."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent / "devices"
ROOT = Path(__file__).parent.parent.parent.parent
NODE_MODULES = ROOT / "build" / "node" / "node_modules"
_PLACES = "{host} {port} {cafile} {plain_port}"
_MOSQUITTO = (
    "mosquitto_sub -h {host} -p {port} -t devices/plug/cmd -q 1 -u plug -P not-a-real-password -V mqttv5"
)


class Missing(Exception):
    """This machine lacks what the stack needs."""


def command(stack: str, setting: str, folder: Path) -> str:
    """The command of `bollard trap --run` for this stack. Raises `Missing`."""
    match stack:
        case "paho" | "aiomqtt":
            return f"{shlex.quote(sys.executable)} {HERE / stack}_device.py {_PLACES} {setting}"
        case "mosquitto":
            if shutil.which("mosquitto_sub") is None:
                raise Missing("needs Debian's mosquitto-clients")
            more = {"strict": "--cafile {cafile}", "careless": "--cafile {cafile} --insecure"}[setting]
            return f"{_MOSQUITTO} {more}"
        case "paho_c":
            return f"{_compiled(folder)} {_PLACES} {setting}"
        case "mqttjs":
            return f"env NODE_PATH={NODE_MODULES} {_node()} {HERE}/mqttjs_device.js {_PLACES} {setting}"
        case "bollard":
            (folder / "password").write_text("not-a-real-password\n")
            return (
                f"{shlex.quote(sys.executable)} -m bollard sub -h {{host}} -p {{port}} --ca-file {{crlfile}} "
                f"-t devices/plug/cmd -q 1 -u plug --password-file {folder}/password"
                + (" --scram" if setting == "scram" else "")
            )
    raise ValueError(stack)


def _compiled(folder: Path) -> Path:
    program = folder / "paho_c_device"
    if shutil.which("gcc") is None:
        raise Missing("needs gcc")
    words = ["gcc", "-o", program, HERE / "paho_c_device.c", "-lpaho-mqtt3cs"]
    if not program.exists() and subprocess.run(words, capture_output=True, check=False).returncode:
        raise Missing("needs Debian's libpaho-mqtt-dev")
    return program


def _node() -> str:
    node = shutil.which("node")
    if node is None or not (NODE_MODULES / "mqtt").exists():
        raise Missing("needs node and MQTT.js: make interop")
    return node
