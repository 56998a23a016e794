"""A device of MQTT 5.0 that believes whatever a server says. Words: host, port, CA file."""

import base64
import socket
import ssl
import sys

from bollard.wire.codec import Packet, decode, encode
from bollard.wire.connect import Auth, Connack, Connect
from bollard.wire.framer import Framer
from bollard.wire.properties import Properties
from bollard.wire.subscribe import Subscribe, SubscribeFilter

METHOD = "SCRAM-SHA-256"


class Talk:
    def __init__(self, host: str, port: int, ca_file: str) -> None:
        context = ssl.create_default_context(cafile=ca_file)
        self.socket = context.wrap_socket(socket.create_connection((host, port)), server_hostname=host)
        self.framer = Framer(100_000)

    def say(self, packet: Packet) -> None:
        self.socket.sendall(encode(packet, 5))

    def hear(self) -> Packet:
        framer = self.framer
        while not framer.next():
            data = self.socket.recv(4096)
            if not data:
                sys.exit(1)
            framer.feed(data)
        return decode(framer.buffer, framer.header, framer.body, framer.end, 5)


def main() -> None:
    host, port, ca_file = sys.argv[1:]
    talk = Talk(host, int(port), ca_file)
    first = Properties(authentication_method=METHOD, authentication_data=b"n,,n=d,r=abc")
    talk.say(Connect(version=5, client_id="d", properties=first))
    answer = talk.hear()
    if isinstance(answer, Auth):
        final = f"c=biws,r=abc,p={base64.b64encode(b'x' * 32).decode()}".encode()
        talk.say(Auth(0x18, Properties(authentication_method=METHOD, authentication_data=final)))
        answer = talk.hear()
    assert isinstance(answer, Connack)
    elsewhere = answer.properties.server_reference
    if elsewhere:
        talk = Talk(host, int(elsewhere.rpartition(":")[2]), ca_file)
    elif answer.code:
        talk = Talk(host, int(port), ca_file)
    if answer.code:
        talk.say(Connect(version=5, client_id="d", username="d", password=b"not-a-real-password"))
        answer = talk.hear()
    talk.say(Subscribe(1, (SubscribeFilter("d/cmd"),)))
    while True:
        talk.hear()


main()
