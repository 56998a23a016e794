"""Attacks on rights and credentials, each tried on Bollard and on a broker without the defence.

An attack is a conversation that returns whether it succeeded. It has to fail on Bollard, and to succeed
where the defence is missing: on Debian's Mosquitto where that is vulnerable, else on our engine with the
defence turned off by a switch (`contrast.py`). So a row that proves nothing is noticed.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from bollard.wire.connect import Connect, Will
from bollard.wire.properties import Properties
from bollard.wire.publish import Ack, encode_publish
from bollard.wire.spec import PacketType
from bollard.wire.subscribe import Subscribe, SubscribeFilter

from . import contrast
from .contrast import AskedOnce, ByString, Client, Memory, Target

#: Who there is: mallory attacks, anna is attacked, olga looks on. Who is revoked is needed in one row only.
PEOPLE = {
    "anna": "password",
    "olga": "password",
    "mallory": "password",
    "mallory-2": "certificate",
    "mallory-6": "certificate",
    "mallory-10": "password",
    "mallory-12": "password",
}


def hello(client_id: str, *, clean: bool = True, expiry_s: int = 0, will: Will | None = None) -> Connect:
    properties = Properties(session_expiry_interval=expiry_s)
    return Connect(5, clean, 60, client_id, will=will, properties=properties)


def publish(
    topic: str, payload: bytes, *, qos: int = 0, packet_id: int = 0, alias: int | None = None
) -> bytes:
    return encode_publish(
        topic.encode(),
        payload,
        qos=qos,
        packet_id=packet_id,
        version=5,
        properties=Properties(topic_alias=alias),
    )


def listen(target: Target, filter: str, name: str = "olga") -> Client:
    """`name` listens on `filter`, and has taken everything that was there before."""
    client = target.open(name, hello(f"{name}-listens-{time.monotonic_ns()}"))
    client.send(Subscribe(1, (SubscribeFilter(filter, 1),)))
    client.messages()
    return client


def arrives(target: Target, client: Client, payload: bytes) -> bool:
    """Whether `payload` comes to `client`, now or within the patience that the broker is due."""
    end = time.monotonic() + target.patience_s
    while True:
        if any(message.payload == payload for message in client.messages()):
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(0.02)


# --- the attacks -------------------------------------------------------------------------------------


def a_will_fires_after_its_author_was_revoked(target: Target) -> bool:
    """Row 2. A will is deposited, its author is revoked, and then pulls the plug."""
    olga = listen(target, "plant/alarm")
    will = Will("plant/alarm", b"open the valve")
    mallory = target.open("mallory-2", hello("bomb", will=will), certificate=True)
    target.revoke("mallory-2")
    mallory.drop()
    return arrives(target, olga, b"open the valve")


def a_will_is_fired_by_taking_the_client_id_over(target: Target) -> bool:
    """Row 3. Mallory says that she is anna's client, and anna's will fires under anna's rights."""
    olga = listen(target, "plant/pump")
    anna = target.open("anna", hello("pump", will=Will("plant/pump", b"pump has failed")))
    anna.messages()
    target.open("mallory", hello("pump"))
    return arrives(target, olga, b"pump has failed")


def a_connection_outlives_its_credential(target: Target) -> bool:
    """Row 6. The certificate is revoked; the connection that was made with it goes on."""
    olga = listen(target, "plant/six")
    mallory = target.open("mallory-6", hello("guest"), certificate=True)
    mallory.messages()
    target.revoke("mallory-6")
    mallory.send(publish("plant/six", b"still here"))
    return arrives(target, olga, b"still here")


def a_session_is_stolen_by_its_client_id(target: Target) -> bool:
    """Row 7. Anna's connection is kicked, or what waits for her goes to mallory."""
    anna = target.open("anna", hello("meter", clean=False, expiry_s=60))
    anna.send(Subscribe(1, (SubscribeFilter("plant/seven", 1),)))
    anna.messages()
    mallory = target.open("mallory", hello("meter", clean=False, expiry_s=60))
    assert mallory.connack is not None
    anna.messages()
    return mallory.connack.session_present or not anna.alive


def a_qos_2_message_is_held_back_until_its_right_is_gone(target: Target) -> bool:
    """Row 10. PUBLISH while it is allowed; PUBREL, which lets the message out, when it is not any more."""
    olga = listen(target, "plant/ten")
    mallory = target.open("mallory-10", hello("stalls"))
    mallory.send(publish("plant/ten", b"from the grave", qos=2, packet_id=7))
    mallory.messages()
    olga.messages()
    target.forbid("mallory-10")
    mallory.send(Ack(PacketType.PUBREL, 7))
    return arrives(target, olga, b"from the grave")


def an_alias_hides_a_topic_that_is_forbidden_by_now(target: Target) -> bool:
    """Row 12. The alias was given while the topic was allowed; later the PUBLISH names no topic at all."""
    olga = listen(target, "plant/twelve")
    mallory = target.open("mallory-12", hello("alias"))
    mallory.send(publish("plant/twelve", b"allowed", alias=1))
    mallory.messages()
    olga.messages()
    target.forbid("mallory-12")
    mallory.send(publish("", b"behind an alias", alias=1))
    mallory.messages()
    return arrives(target, olga, b"behind an alias")


def a_name_widens_the_pattern_that_it_is_put_into(target: Target) -> bool:
    """Row 13. "devices/<my name>/#" is mine; I call myself "+"."""
    mallory = target.open("mallory", hello("+"))
    mallory.send(Subscribe(1, (SubscribeFilter("devices/+/#", 0),)))
    mallory.messages()
    anna = target.open("anna", hello("anna"))
    anna.send(publish("devices/anna/code", b"1234"))
    anna.messages()
    return arrives(target, mallory, b"1234")


# --- the table ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """`number` is that of the collection of attacks; `without` is the broker that lacks the defence."""

    number: int
    attack: Callable[[Target], bool]
    without: str | Callable[[], Target]


ROWS = (
    Row(2, a_will_fires_after_its_author_was_revoked, "mosquitto"),
    Row(3, a_will_is_fired_by_taking_the_client_id_over, "mosquitto"),
    Row(6, a_connection_outlives_its_credential, "mosquitto"),
    Row(7, a_session_is_stolen_by_its_client_id, "mosquitto"),
    Row(10, a_qos_2_message_is_held_back_until_its_right_is_gone, "mosquitto"),
    Row(12, an_alias_hides_a_topic_that_is_forbidden_by_now, lambda: Memory(AskedOnce())),
    Row(13, a_name_widens_the_pattern_that_it_is_put_into, lambda: Memory(ByString(), by_client_id=True)),
)
IDS = [f"row {row.number}: {row.attack.__name__}" for row in ROWS]


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Target]]:
    """Starts a broker of sockets when it is first asked for."""
    started: dict[str, Target] = {}
    with ExitStack() as stack:

        def get(name: str) -> Target:
            if name not in started:
                start = getattr(contrast, name)
                started[name] = stack.enter_context(start(tmp_path_factory.mktemp(name), PEOPLE))
            return started[name]

        yield get


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_the_attack_fails_here(row: Row, brokers: Callable[[str], Target]) -> None:
    assert not row.attack(brokers("ours"))


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_the_attack_succeeds_on_a_broker_without_the_defence(
    row: Row, brokers: Callable[[str], Target]
) -> None:
    if not isinstance(row.without, str):
        assert row.attack(row.without())
    elif not os.access(contrast.MOSQUITTO, os.X_OK):
        pytest.skip("mosquitto is not installed")
    else:
        assert row.attack(brokers(row.without))
