"""Response Topics that their sender may not read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bollard.base.events import AccessDenied
from bollard.base.types import Action
from bollard.engine.responses import response_topic
from bollard.wire.connect import Connack, Will
from bollard.wire.properties import Properties, encode_properties
from bollard.wire.spec import PacketType, ReasonCode
from support.memory import House, connect
from support.rights import Rights

#: A client may ask the service, and only the service may use the private topic.
OWN = Rights(("spy", Action.RECEIVE, "private"))


class Free(Rights):
    allow_foreign_response_topics = True


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_does_not_ask_for_an_answer_where_its_sender_may_not_read(qos: int) -> None:
    house = House(authorizer=OWN)
    service, spy = house.connect("service"), house.connect("spy", principal="spy")
    service.subscribe("ask", qos=2)
    spy.publish("ask", b"1", qos=qos, retain=True, response_topic="private")
    kind = PacketType.PUBACK if qos == 1 else PacketType.PUBREC
    assert spy.acks() == ([(kind, 1, ReasonCode.NOT_AUTHORIZED)] if qos else [])
    assert service.messages() == []
    spy.publish("ask", b"2", qos=qos, response_topic="mine", correlation_data=b"\x08")
    assert service.payloads() == [b"2"]
    (event,) = house.told(AccessDenied)
    assert (event.action, event.topic) == ("receive", "private")
    assert "a message on ask" in event.reason


def test_a_will_does_not_either() -> None:
    house = House(authorizer=OWN)
    device = house.open()
    will = Will("gone", b"1", 0, False, Properties(response_topic="private"))
    device.send(connect("s", principal="spy", will=will))
    assert device.one(Connack).code == ReasonCode.NOT_AUTHORIZED


def test_a_will_is_judged_by_it_again_when_it_is_due() -> None:
    house = House(authorizer=Rights())
    reader = house.connect("r")
    reader.subscribe("gone")
    will = Will("gone", b"1", 0, False, Properties(response_topic="private"))
    spy = house.connect("s", principal="spy", will=will)
    house.broker.set_authorizer(OWN, house.now)
    spy.drop()
    assert reader.messages() == []


def test_a_message_that_waits_or_is_retained_is_judged_by_it_again_when_it_goes_out() -> None:
    house = House(authorizer=Rights())
    spy, service = house.connect("spy", principal="spy"), house.connect("service", expiry=600)
    service.subscribe("ask", qos=1)
    service.drop()
    spy.publish("ask", b"waits", qos=1, retain=True, response_topic="private")
    spy.publish("ask", b"plain", qos=1)
    house.broker.set_authorizer(OWN, house.now)
    service = house.connect("service", clean=False, expiry=600)
    assert service.payloads() == [b"plain"]
    service.subscribe("ask", qos=1)
    assert service.payloads() == []
    house.broker.set_authorizer(Rights(), house.now)
    service.subscribe("ask", qos=1)
    assert service.payloads() == [b"waits"]


def test_an_option_of_the_policy_lets_everybody_name_any_topic() -> None:
    house = House(authorizer=Free(("spy", Action.RECEIVE, "private")))
    service, spy = house.connect("service"), house.connect("spy", principal="spy")
    service.subscribe("ask")
    spy.publish("ask", response_topic="private")
    assert len(service.messages()) == 1
    house.broker.set_authorizer(OWN, house.now)
    spy.publish("ask", response_topic="private")
    assert service.messages() == []


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)


@given(
    st.one_of(st.none(), TEXT.filter(lambda text: not set(text) & set("+#"))),
    st.lists(st.tuples(TEXT, TEXT), max_size=3),
    st.one_of(st.none(), st.binary(max_size=12)),
    st.one_of(st.none(), st.sampled_from([0, 1])),
    st.one_of(st.none(), TEXT),
)
def test_it_is_found_among_whatever_stands_beside_it(
    topic: str | None,
    user: list[tuple[str, str]],
    correlation: bytes | None,
    indicator: int | None,
    content: str | None,
) -> None:
    properties = Properties(
        payload_format_indicator=indicator,
        content_type=content,
        response_topic=topic,
        correlation_data=correlation,
        user_properties=tuple(user),
    )
    block = encode_properties(properties, PacketType.PUBLISH)
    start = next(index for index, byte in enumerate(block) if byte < 0x80) + 1
    assert response_topic(block[start:]) == (topic or "")
