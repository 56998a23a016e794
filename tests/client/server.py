"""A scripted server on loopback: each connection runs the script that a test wrote. Not a broker."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from bollard.wire.codec import Packet, decode, encode
from bollard.wire.connect import Connack, Connect, Disconnect, Pingreq, Pingresp
from bollard.wire.framer import Framer
from bollard.wire.publish import Ack, Publish
from bollard.wire.spec import PacketType
from bollard.wire.subscribe import Suback, Subscribe

Script = Callable[["Guest"], Awaitable[None]]


class Guest:
    """One connection, seen from the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, version: int) -> None:
        self.version = version
        self._reader = reader
        self._writer = writer
        self._framer = Framer(1_048_576)

    async def hear(self) -> Packet:
        """The client's next packet. Raises `EOFError` at its end."""
        framer = self._framer
        while not framer.next():
            data = await self._reader.read(65_536)
            if not data:
                raise EOFError
            framer.feed(data)
        return decode(framer.buffer, framer.header, framer.body, framer.end, self.version)

    async def until_goodbye(self) -> None:
        """Hear the client out: its DISCONNECT or its end."""
        with suppress(EOFError):
            while not isinstance(packet := await self.hear(), Disconnect):
                if isinstance(packet, Pingreq):
                    self.say(Pingresp())

    def say(self, *packets: Packet) -> None:
        self._writer.write(b"".join(encode(packet, self.version) for packet in packets))

    async def welcome(self, answer: Connack | None = None) -> Connect:
        """Hear CONNECT and accept it."""
        packet = await self.hear()
        assert isinstance(packet, Connect)
        self.say(answer or Connack())
        return packet

    def cut(self) -> None:
        self._writer.transport.abort()


@asynccontextmanager
async def serving(
    *scripts: Script, context: ssl.SSLContext | None = None, version: int = 5, unix: str = ""
) -> AsyncIterator[int]:
    """Serve: the first connection runs the first script, and so on, the last one again and again.

    Gives the port. A script that failed fails the test when the server ends.
    """
    failures: list[BaseException] = []
    turn = iter(range(1_000_000))

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await scripts[min(next(turn), len(scripts) - 1)](Guest(reader, writer, version))
        except (EOFError, ConnectionError):
            pass
        except Exception as error:
            failures.append(error)
        finally:
            writer.close()

    if unix:
        server = await asyncio.start_unix_server(attend, unix)
        port = 0
    else:
        server = await asyncio.start_server(attend, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
    try:
        yield port
    finally:
        server.close()
        await asyncio.sleep(0)
    if failures:
        raise failures[0]


async def polite(guest: Guest) -> None:
    await guest.welcome()
    await guest.until_goodbye()


async def echoing(guest: Guest) -> None:
    """Answer subscriptions, acknowledge and send back what is published."""
    await guest.welcome()
    while True:
        packet = await guest.hear()
        if isinstance(packet, Subscribe):
            guest.say(Suback(packet.packet_id, tuple(each.qos for each in packet.filters)))
        elif isinstance(packet, Publish):
            if packet.qos == 1:
                guest.say(Ack(PacketType.PUBACK, packet.packet_id))
            elif packet.qos == 2:
                guest.say(Ack(PacketType.PUBREC, packet.packet_id))
            guest.say(packet)
        elif isinstance(packet, Ack) and packet.packet_type == PacketType.PUBREC:
            guest.say(Ack(PacketType.PUBREL, packet.packet_id))
        elif isinstance(packet, Ack) and packet.packet_type == PacketType.PUBREL:
            guest.say(Ack(PacketType.PUBCOMP, packet.packet_id))
        elif isinstance(packet, Pingreq):
            guest.say(Pingresp())
        elif isinstance(packet, Disconnect):
            return
