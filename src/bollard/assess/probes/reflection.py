"""Whether a broker passes on a request whose answer would go where the requester may not write itself.

Both ends are ours: the second identity asks, the first answers. So no responder of others is ever spoken to.
"""

import secrets

from bollard.assess.probes.canary import enter, flight_s
from bollard.assess.probes.evidence import NoAnswer, Reflection
from bollard.assess.probes.line import Line
from bollard.assess.probes.room import Room
from bollard.wire.properties import Properties
from bollard.wire.publish import Publish, encode_publish
from bollard.wire.spec import V5

REFUSED = 0x80


async def probe_reflection(room: Room) -> tuple[Reflection]:
    """Ask with a Response Topic that is only the first identity's; answer; and see whether the answer arrives."""
    members = room.members()
    if len(members) < 2 or not room.own_topic or not room.shared_topic:
        raise NoAnswer(
            "it needs two sets of credentials, --own-topic, where only the first may publish, and --shared-topic, "
            "where both may"
        )
    first, second = members[:2]
    if {room.versions[first.label], room.versions[second.label]} != {V5}:
        raise NoAnswer("only MQTT 5.0 knows response topics")
    asked = f"{room.shared_topic}/{room.namespace}/request"
    answer = f"{room.own_topic}/{room.namespace}/answer"
    async with (
        await enter(room, second, V5) as requester,
        await enter(room, first, V5) as responder,
        await enter(room, first, V5) as witness,
    ):
        await responder.subscribe(asked)
        await witness.subscribe(answer)
        if (await requester.publish(answer, b"")) < REFUSED:
            raise NoAnswer(f"{second.label} may itself write where only {first.label} should")
        passed_on = await _passed_on(room, requester, responder, asked, answer)
        arrived = False
        if passed_on:
            token = secrets.token_bytes(16)
            await responder.publish(answer, token)
            arrived = bool(await witness.awaits(answer, token, flight_s(room)))
        for line in (requester, responder, witness):
            await line.goodbye()
    return (Reflection(passed_on=passed_on, arrived=arrived),)


async def _passed_on(room: Room, requester: Line, responder: Line, asked: str, answer: str) -> bool:
    """Did the request reach the responder with its Response Topic?

    Raises `NoAnswer` when not even a request without one arrives.
    """
    token = secrets.token_bytes(16)
    await requester.publish(asked, token)
    if not await responder.awaits(asked, token, flight_s(room)):
        raise NoAnswer("what the second identity publishes to --shared-topic does not reach the first")
    properties = Properties(response_topic=answer, message_expiry_interval=60)
    await requester.send(encode_publish(asked.encode(), token, version=V5, properties=properties))
    written = b"\x08" + len(answer.encode()).to_bytes(2, "big") + answer.encode()
    packet = await responder.receive(flight_s(room))
    while packet is not None and not isinstance(packet, Publish):
        packet = await responder.receive(flight_s(room))
    return packet is not None and written in packet.forward
