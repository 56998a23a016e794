import pytest

from bollard.base.errors import LocalError
from bollard.client.errors import ServerBrokeProtocol, SubscribeRefused, UnsubscribeRefused
from bollard.wire.subscribe import Suback, Subscribe, SubscribeFilter, Unsuback, Unsubscribe
from client.peer import Talk


def subscribe(talk: Talk, *names: str, identifier: int = 0) -> tuple[int, Subscribe]:
    token = talk.core.subscribe(tuple(SubscribeFilter(name, 1) for name in names), identifier, talk.now)
    (packet,) = talk.sent()
    assert isinstance(packet, Subscribe)
    return token, packet


def test_the_answer_has_the_granted_qos_of_each_filter(version: int) -> None:
    talk = Talk(version=version)
    talk.connect()
    token, packet = subscribe(talk, "a", "b")
    talk.say(Suback(packet.packet_id, (0, 1)))
    assert talk.outcomes()[token] == (0, 1)


def test_one_refused_filter_is_an_error_that_names_it(version: int) -> None:
    talk = Talk(version=version)
    talk.connect()
    token, packet = subscribe(talk, "a", "b\x1b")
    talk.say(Suback(packet.packet_id, (0, 0x80)))
    error = talk.outcomes()[token]
    assert isinstance(error, SubscribeRefused)
    assert error.codes == {"a": 0, "b\x1b": 0x80}
    assert "\x1b" not in str(error)
    assert '"a"' not in str(error)


def test_unsubscribing_is_answered(version: int) -> None:
    talk = Talk(version=version)
    talk.connect()
    token = talk.core.unsubscribe(("a", "b"), talk.now)
    (packet,) = talk.sent()
    assert isinstance(packet, Unsubscribe)
    talk.say(Unsuback(packet.packet_id, (0, 0x11) if version == 5 else ()))
    assert talk.outcomes()[token] == ((0, 0x11) if version == 5 else (0, 0))


def test_a_refused_unsubscribe_is_an_error() -> None:
    talk = Talk()
    talk.connect()
    token = talk.core.unsubscribe(("a",), talk.now)
    talk.say(Unsuback(1, (0x87,)))
    assert isinstance(talk.outcomes()[token], UnsubscribeRefused)


def test_what_was_unsubscribed_is_not_asked_for_again() -> None:
    talk = Talk(reconnects=True)
    talk.connect()
    _, packet = subscribe(talk, "a", "b")
    talk.say(Suback(packet.packet_id, (1, 1)))
    talk.core.unsubscribe(("a",), talk.now)
    talk.say(Unsuback(2, (0,)))
    talk.core.lost()
    (again,) = talk.connect()
    assert isinstance(again, Subscribe)
    assert [each.filter for each in again.filters] == ["b"]


def test_an_identifier_is_asked_for_again_with_its_filters() -> None:
    talk = Talk(reconnects=True)
    talk.connect()
    _, packet = subscribe(talk, "a", identifier=9)
    assert packet.properties.subscription_identifiers == (9,)
    talk.say(Suback(packet.packet_id, (1,)))
    talk.core.lost()
    (again,) = talk.connect()
    assert isinstance(again, Subscribe)
    assert again.properties.subscription_identifiers == (9,)


@pytest.mark.parametrize("present", [False, True])
def test_a_request_without_answer_is_asked_again_on_the_next_connection(present: bool) -> None:
    talk = Talk(reconnects=True)
    talk.connect()
    token, _ = subscribe(talk, "a")
    talk.core.lost()
    (again,) = talk.connect(session_present=present)
    assert isinstance(again, Subscribe)
    talk.say(Suback(again.packet_id, (1,)))
    assert talk.outcomes()[token] == (1,)


@pytest.mark.parametrize("name", ["", "a/#/b", "a+", "$share/g", "$share/+/a"])
def test_a_filter_that_cannot_be_one_is_our_own_mistake(name: str) -> None:
    talk = Talk()
    talk.connect()
    with pytest.raises(LocalError):
        talk.core.subscribe((SubscribeFilter(name),), 0, talk.now)
    assert talk.sent() == []


def test_no_filter_at_all_is_our_own_mistake() -> None:
    talk = Talk()
    talk.connect()
    with pytest.raises(LocalError):
        talk.core.unsubscribe((), talk.now)


def test_an_option_that_3_1_1_does_not_have_fails_only_that_request() -> None:
    talk = Talk(version=4)
    talk.connect()
    token = talk.core.subscribe((SubscribeFilter("a", 1, no_local=True),), 0, talk.now)
    assert isinstance(talk.outcomes()[token], LocalError)
    assert not talk.core.closing


def test_an_answer_for_another_number_of_filters_is_a_protocol_error(version: int) -> None:
    talk = Talk(version=version)
    talk.connect()
    _, packet = subscribe(talk, "a", "b")
    talk.say(Suback(packet.packet_id, (0,)))
    assert isinstance(talk.core.failure, ServerBrokeProtocol)


def test_an_answer_of_the_other_kind_is_a_protocol_error(version: int) -> None:
    talk = Talk(version=version)
    talk.connect()
    _, packet = subscribe(talk, "a")
    talk.say(Unsuback(packet.packet_id, (0,) if version == 5 else ()))
    assert isinstance(talk.core.failure, ServerBrokeProtocol)
