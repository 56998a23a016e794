"""A signing request over MQTT by a client of other hands (paho), as firmware would send it, in both versions."""

import json
import queue
import ssl
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from cryptography import x509

from bollard.client.enroll import make_csr
from bollard.identity.keys import pem_key
from bollard.identity.profile import new_ec_key
from cli.daemon import Daemon

PROTOCOLS = {"v311": mqtt.MQTTv311, "v5": mqtt.MQTTv5}


class Firmware:
    """One connection; `packets` are (topic, payload), `granted` what SUBACK said, `code` of CONNACK."""

    def __init__(
        self, broker: Daemon, protocol: int, username: str = "", password: str = "", **tls: Any
    ) -> None:
        self.messages: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.granted: queue.Queue[list[int]] = queue.Queue()
        self.connected: queue.Queue[int] = queue.Queue()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=protocol)
        self.client.on_connect = lambda *given: self.connected.put(given[3].value)
        self.client.on_message = lambda *given: self.messages.put((given[2].topic, given[2].payload))
        self.client.on_subscribe = lambda *given: self.granted.put([code.value for code in given[3]])
        if username:
            self.client.username_pw_set(username, password)
        context = ssl.create_default_context(cafile=str(broker.ca_file))
        if tls:
            context.load_cert_chain(**tls)
        self.client.tls_set_context(context)
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        self.code = self.connected.get(timeout=10)

    def __enter__(self) -> "Firmware":
        return self

    def __exit__(self, *error: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def subscribe(self, topic: str) -> list[int]:
        self.client.subscribe(topic, 1)
        return self.granted.get(timeout=10)

    def ask(self, identity: str, csr: bytes) -> dict[str, Any]:
        self.subscribe(f"$enroll/reply/{identity}")
        self.client.publish("$enroll/csr", csr, 1)
        topic, payload = self.messages.get(timeout=10)
        assert topic == f"$enroll/reply/{identity}"
        answer: dict[str, Any] = json.loads(payload)
        return answer


@pytest.mark.parametrize("version", PROTOCOLS)
def test_firmware_enrolls_renews_and_has_no_other_rights(
    broker: Daemon, tmp_path: Path, version: str
) -> None:
    identity, protocol = f"firm-{version}", PROTOCOLS[version]
    secret = broker.json("enroll", identity, "--token")["token"].rpartition(".")[2]
    key = new_ec_key()
    with Firmware(broker, protocol, identity, secret) as device:
        assert device.code == 0
        for topic in ("#", f"devices/{identity}/#", "$enroll/#", "$enroll/reply/other", "$SYS/#"):
            assert device.subscribe(topic)[0] >= 0x80
        answer = device.ask(identity, make_csr(key, identity))
    assert answer["status"] == "issued"
    assert answer["port"] == broker.port
    leaf, issuer = x509.load_pem_x509_certificates(answer["certificate"].encode())
    leaf.verify_directly_issued_by(issuer)
    assert leaf.public_key() == key.public_key()

    files = {"certfile": tmp_path / "crt", "keyfile": tmp_path / "key"}
    files["certfile"].write_text(answer["certificate"])
    files["keyfile"].write_bytes(pem_key(key))
    with Firmware(broker, protocol, **files) as device:
        assert device.code == 0
        assert device.subscribe(f"devices/{identity}/#") == [1]
        assert device.ask(identity, make_csr(new_ec_key(), identity))["status"] == "issued"
        assert device.ask(identity, b"rubbish")["status"] == "refused"
        assert device.ask(identity, make_csr(new_ec_key(), "admin"))["status"] == "refused"
    assert len(broker.json("devices", "show", identity)["certificates"]) == 2


@pytest.mark.parametrize("version", PROTOCOLS)
def test_a_wrong_secret_does_not_get_in(broker: Daemon, version: str) -> None:
    broker.json("enroll", f"wrong-{version}", "--token")
    with Firmware(broker, PROTOCOLS[version], f"wrong-{version}", "A" * 32) as device:
        assert device.code >= 0x80
