"""The naive reference of Mosquitto's ACL files, held against Mosquitto itself."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from .reference import AclReference
from .test_mosquitto_adopt import ACLS, SETUPS, topics

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
TOPICS = 60

pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed: apt install mosquitto")


@pytest.fixture
def port(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[int]:
    """A Mosquitto with the ACL file that the test is about, which takes any user name without a password."""
    name, file = request.param
    with socket.create_server(("127.0.0.1", 0)) as probe:
        number: int = probe.getsockname()[1]
    acl = tmp_path / "acl"
    shutil.copy(SETUPS / name / file, acl)
    config = tmp_path / "mosquitto.conf"
    config.write_text(
        f"listener {number} 127.0.0.1\nallow_anonymous true\nacl_file {acl}\nuser {Path.home().owner()}\n"
    )
    process = subprocess.Popen(
        [str(MOSQUITTO), "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait(number)
        yield number
    finally:
        process.terminate()
        process.wait(10)


def _wait(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("mosquitto did not start")


def _granted(port: int, user: str | None, names: list[str]) -> dict[str, bool]:
    """Which of the topics Mosquitto lets `user` publish to, by the reason codes of MQTT 5.0."""
    answers: dict[int, bool] = {}
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=user or "guest", protocol=paho.MQTTv5)
    client.on_publish = lambda _client, _data, mid, reason, _properties: answers.update(
        {mid: not reason.is_failure}
    )
    if user is not None:
        client.username_pw_set(user)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        asked = {}
        for name in names:
            sent = client.publish(name, b"", qos=1)
            sent.wait_for_publish(5)
            asked[name] = sent.mid
        for _ in range(100):
            if len(answers) >= len(asked):
                break
            time.sleep(0.05)
        return {name: answers[mid] for name, mid in asked.items()}
    finally:
        client.disconnect()
        client.loop_stop()


CASES = [(name, file) for name, files in ACLS.items() for file in files]


@pytest.mark.parametrize(("port", "name", "file"), [((n, f), n, f) for n, f in CASES], indirect=["port"])
def test_mosquitto_decides_as_the_reference_does(port: int, name: str, file: str) -> None:
    reference = AclReference(SETUPS / name / file)
    users = ACLS[name][file]
    names = [each for each in dict.fromkeys(topics(reference.topics(), users, seed=11)) if each[0] != "$"][
        :TOPICS
    ]
    for user in users:
        granted = _granted(port, user, names)
        wanted = {each: reference.allowed(user, user or "guest", "write", each) for each in names}
        assert granted == wanted, user
