"""mosquitto_sub and mosquitto_pub: one process each that subscribes, one for each message."""

import json
import signal
import subprocess
import threading
from typing import Any

from speak import serve, tell

WAIT_S = 10.0


class Mosquitto:
    options: dict[str, Any]
    subscriber: subprocess.Popen[str] | None = None

    def connect(self, **o: Any) -> None:
        self.options = o
        tell("connected", present=None)

    def _common(self) -> list[str]:
        o = self.options
        version = "mqttv5" if o["version"] == 5 else "mqttv311"
        command = ["-h", o["host"], "-p", str(o["port"]), "--cafile", o["ca"], "-V", version]
        return [*command, "-u", o["user"], "-P", o["password"]]

    def subscribe(self, filter: str, qos: int) -> None:
        o = self.options
        command = ["mosquitto_sub", *self._common(), "-i", o["id"], "-t", filter, "-q", str(qos)]
        command += ["-d", "-F", "%j"]
        if not o["clean"]:
            command.append("-c")
            if o["version"] == 5:
                command += ["-x", str(o["expiry"])]
        if o["will"]:
            will = o["will"]
            command += ["--will-topic", will["topic"], "--will-payload", will["payload"]]
            command += ["--will-qos", str(will["qos"])] + (["--will-retain"] if will["retain"] else [])
        self.subscriber = subprocess.Popen(["stdbuf", "-oL", *command], stdout=subprocess.PIPE, text=True)
        ready = threading.Event()
        threading.Thread(target=self._listen, args=(self.subscriber, ready), daemon=True).start()
        if not ready.wait(WAIT_S):
            raise RuntimeError("no SUBACK")
        tell("subscribed")

    def _listen(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Subscribed"):
                ready.set()
            elif line.startswith("{"):
                m = json.loads(line)
                payload = m["payload"] if isinstance(m["payload"], str) else json.dumps(m["payload"])
                tell("message", topic=m["topic"], payload=payload, qos=m["qos"], retain=bool(m["retain"]))

    def publish(self, topic: str, payload: str, qos: int, retain: bool) -> None:
        command = ["mosquitto_pub", *self._common(), "-t", topic, "-q", str(qos)]
        command += ["-m", payload] if payload else ["-n"]
        command += ["-r"] if retain else []
        subprocess.run(command, check=True, timeout=WAIT_S)
        tell("published")

    def disconnect(self) -> None:
        if self.subscriber is not None:
            self.subscriber.send_signal(signal.SIGINT)
            self.subscriber.wait(WAIT_S)
        tell("disconnected")


client = Mosquitto()
serve(
    {
        "connect": client.connect,
        "subscribe": client.subscribe,
        "publish": client.publish,
        "disconnect": client.disconnect,
    }
)
