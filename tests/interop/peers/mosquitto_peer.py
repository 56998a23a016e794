"""mosquitto_sub and mosquitto_pub behind the line protocol: one process for each subscription."""

import subprocess
import threading

from lines import CA_FILE, HOST, KEPT_S, PASSWORD, PORT, USERNAME, hear, say

SERVER = ["-h", HOST, "-p", str(PORT), "--cafile", CA_FILE, "-u", USERNAME, "-P", PASSWORD]


class Peer:
    def __init__(self, version: str, client_id: str, clean: str, will_topic: str) -> None:
        self.version = ["-V", "mqttv5" if version == "5" else "mqttv311"]
        self.client_id = client_id
        self.options: list[str] = []
        if clean == "0":
            self.options += ["-c"]
            if version == "5":
                self.options += ["-x", str(KEPT_S)]
        if will_topic != "-":
            self.options += ["--will-topic", will_topic, "--will-payload", "gone", "--will-qos", "1"]
        self.listening: list[subprocess.Popen[str]] = []

    def subscribe(self, topic: str, qos: str, answer: str = "subscribed") -> None:
        words = [*self.version, *SERVER, *self.options, "-i", self.client_id, "-t", topic, "-q", qos]
        process = subprocess.Popen(
            ["stdbuf", "-oL", "mosquitto_sub", *words, "-d", "-F", "%t\t%p\t%q\t%r"],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.listening.append(process)
        threading.Thread(target=self.relay, args=(process, answer), daemon=True).start()

    @staticmethod
    def relay(process: "subprocess.Popen[str]", answer: str) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if "received SUBACK" in line:
                say(answer)
            elif line.count("\t") == 3:
                say("message", line.rstrip("\n"))

    def publish(self, topic: str, payload: str, qos: str, retain: str) -> None:
        words = [
            *self.version,
            *SERVER,
            "-t",
            topic,
            "-m",
            payload,
            "-q",
            qos,
            *(["-r"] if retain == "1" else []),
        ]
        subprocess.run(["mosquitto_pub", *words], check=True, timeout=20)

    def disconnect(self) -> None:
        # Its handler of SIGTERM takes locks that the interrupted code may hold: now and then it hangs.
        for process in self.listening:
            process.kill()
            process.wait(20)


def main() -> None:
    peer = None
    while fields := hear():
        match fields:
            case ["connect", version, client_id, clean, will_topic]:
                peer = Peer(version, client_id, clean, will_topic)
                if will_topic != "-":
                    # Only a subscriber stays connected, and only a connected client has a will.
                    peer.subscribe("nothing", "0", "connected\t?")
                else:
                    say("connected", "?")
            case ["subscribe", topic, qos] if peer:
                peer.subscribe(topic, qos)
            case ["publish", topic, payload, qos, retain] if peer:
                peer.publish(topic, payload, qos, retain)
                say("published")
            case ["disconnect"] if peer:
                peer.disconnect()
                say("disconnected")


main()
