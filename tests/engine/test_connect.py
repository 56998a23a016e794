"""Admission: who is let in, to which session, and what CONNACK says."""

import pytest

from bollard.base.authentication import Accepted, Answer, Question, Refused
from bollard.base.events import ClientConnected, ClientDisconnected, ConnectRefused
from bollard.base.types import Action
from bollard.engine.limits import Limits
from bollard.wire.connect import Connack, Connect, Disconnect, Will
from bollard.wire.properties import Properties
from bollard.wire.spec import ReasonCode
from support.memory import House, connect
from support.rights import Rights


def refused(house: House, version: int, packet: Connect) -> Connack | None:
    """What a refused client gets; None when it is just closed."""
    device = house.open(version)
    device.send(packet)
    assert device.closed
    assert house.told(ConnectRefused)
    found = device.take()
    assert len(found) <= 1
    return found[0] if found else None  # type: ignore[return-value]


def code_of(house: House, version: int, packet: Connect) -> int | None:
    connack = refused(house, version, packet)
    return connack.code if connack is not None else None


def test_the_same_client_id_of_another_principal_is_another_session(house: House, version: int) -> None:
    mine = house.connect("c", version, principal="me", clean=False, expiry=100)
    mine.subscribe("a", qos=1)
    theirs = house.connect("c", version, principal="thief", clean=False, expiry=100)
    assert theirs.connack is not None
    assert not theirs.connack.session_present
    house.connect().publish("a", qos=1)
    assert not mine.closed
    assert len(mine.messages()) == 1
    assert theirs.messages() == []


def test_another_principal_cannot_wipe_a_session_by_starting_clean(house: House, version: int) -> None:
    house.connect("c", version, principal="me", clean=False, expiry=100).drop()
    house.connect("c", version, principal="thief", clean=True).leave()
    mine = house.connect("c", version, principal="me", clean=False, expiry=100)
    assert mine.connack is not None
    assert mine.connack.session_present


def test_the_same_principal_takes_its_session_over(house: House, version: int) -> None:
    first = house.connect("c", version, principal="me", clean=False, expiry=100)
    first.subscribe("a")
    second = house.connect("c", version, principal="me", clean=False, expiry=100)
    assert first.closed
    if version == 5:
        assert first.one(Disconnect).code == ReasonCode.SESSION_TAKEN_OVER
    assert second.connack is not None
    assert second.connack.session_present
    house.connect().publish("a")
    assert len(second.messages()) == 1
    assert house.broker.counters.clients_connected == 2
    assert house.told(ClientDisconnected)[0].code == ReasonCode.SESSION_TAKEN_OVER


def test_starting_clean_ends_the_session_before(house: House, version: int) -> None:
    first = house.connect("c", version, clean=False, expiry=100)
    first.subscribe("a", qos=1)
    first.drop()
    house.connect().publish("a", qos=1)
    second = house.connect("c", version, clean=True)
    assert second.connack is not None
    assert not second.connack.session_present
    assert second.messages() == []
    assert house.broker.core.tree.count == 0


def test_a_session_ends_with_its_connection_unless_it_was_asked_to_stay(house: House, version: int) -> None:
    house.connect("c", version).drop()
    assert house.session("c") is None
    again = house.connect("c", version, clean=False)
    assert again.connack is not None
    assert not again.connack.session_present


def test_clean_start_and_expiry_are_two_things_in_5_0(house: House) -> None:
    house.connect("c", clean=True, expiry=100).drop()
    again = house.connect("c", clean=False)
    assert again.connack is not None
    assert again.connack.session_present
    again.drop()
    assert house.session("c") is None


def test_a_session_expires_and_not_a_second_early(house: House) -> None:
    house.connect("c", expiry=100).drop()
    house.advance(99)
    assert house.session("c") is not None
    house.advance(1)
    assert house.session("c") is None


def test_a_client_that_comes_back_stops_the_expiry(house: House, version: int) -> None:
    house.connect("c", version, clean=False, expiry=100).drop()
    house.advance(50)
    device = house.connect("c", version, clean=False, expiry=100, keepalive_s=1000)
    house.advance(200)
    assert house.session("c") is not None
    device.drop()
    if version == 5:
        house.advance(99)
        assert house.session("c") is not None


def test_disconnect_can_change_the_expiry(house: House) -> None:
    house.connect("c", expiry=100).leave(session_expiry_interval=10)
    house.advance(10)
    assert house.session("c") is None
    house.connect("d", expiry=100).leave(session_expiry_interval=0)
    assert house.session("d") is None


def test_disconnect_cannot_keep_a_session_that_ends_with_its_connection(house: House) -> None:
    device = house.connect("c")
    device.send(Disconnect(0, Properties(session_expiry_interval=10)))
    assert device.one(Disconnect).code == ReasonCode.PROTOCOL_ERROR
    assert house.session("c") is None


def test_a_client_without_an_identifier_is_given_one(house: House) -> None:
    device = house.open()
    device.send(connect(""))
    given = device.one(Connack).properties.assigned_client_identifier
    assert given is not None
    assert len(given) >= 20
    assert house.session(given) is not None


def test_a_3_1_1_client_without_an_identifier_needs_a_clean_session(house: House) -> None:
    assert code_of(house, 4, connect("", 4, clean=False)) == ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
    device = house.open(4)
    device.send(connect("", 4))
    assert device.one(Connack).code == 0


def test_an_assigned_identifier_is_never_one_in_use(house: House) -> None:
    devices = [house.open() for _ in range(10)]
    for device in devices:
        device.send(connect(""))
    assert len(list(house.broker.sessions())) == 10


def test_a_refusal_tells_the_peer_only_what_it_may_know(version: int) -> None:
    def refuse(question: Question) -> Answer:
        return Refused(ReasonCode.BAD_USER_NAME_OR_PASSWORD, "the hash does not match", "try again")

    house = House(answerer=refuse)
    connack = refused(house, version, connect("c", version))
    assert connack is not None
    assert connack.code == ReasonCode.BAD_USER_NAME_OR_PASSWORD
    assert connack.properties.reason_string == ("try again" if version == 5 else None)
    assert not connack.session_present
    [event] = house.told(ConnectRefused)
    assert event.reason == "the hash does not match"


def test_a_stranger_touches_no_session(house: House, version: int) -> None:
    mine = house.connect("c", version)
    house.answerer = lambda question: Refused(ReasonCode.NOT_AUTHORIZED, "a stranger")
    assert code_of(house, version, connect("c", version)) == ReasonCode.NOT_AUTHORIZED
    mine.ping()
    assert not mine.closed


def test_no_session_is_touched_while_the_question_is_open(house: House, version: int) -> None:
    mine = house.connect("c", version)
    house.answers = False
    house.open(version).send(connect("c", version))
    assert not mine.closed
    house.answers = True
    house.settle()
    assert mine.closed


def test_an_answer_for_a_connection_that_is_gone_changes_nothing(house: House, version: int) -> None:
    house.answers = False
    device = house.open(version)
    device.send(connect("c", version))
    [question] = house.questions
    device.drop()
    house.broker.answer(question, Accepted("me"), house.now)
    assert list(house.broker.sessions()) == []
    assert house.broker.counters.clients_connected == 0


def test_a_second_answer_to_the_same_question_is_ignored(house: House, version: int) -> None:
    house.answers = False
    device = house.open(version)
    device.send(connect("c", version))
    [question] = house.questions
    house.broker.answer(question, Accepted("me"), house.now)
    house.broker.answer(question, Accepted("other"), house.now)
    house.broker.answer(question, Refused(ReasonCode.BANNED, "too late"), house.now)
    house.questions.clear()
    house.settle()
    assert not device.closed
    assert device.connection.principal == "me"


def test_connack_tells_a_5_0_client_what_differs_from_its_wishes() -> None:
    limits = Limits(
        session_expiry_max_s=60,
        keepalive_max_s=30,
        receive_maximum=7,
        topic_alias_maximum=3,
        maximum_qos=1,
        retain_available=False,
        max_packet_bytes=5000,
    )
    device = House(limits).connect("c", expiry=1000, keepalive_s=0)
    assert device.connack is not None
    assert device.connack.properties == Properties(
        session_expiry_interval=60,
        server_keep_alive=30,
        receive_maximum=7,
        topic_alias_maximum=3,
        maximum_qos=1,
        retain_available=0,
        maximum_packet_size=5000,
    )


def test_connack_keeps_silent_about_wishes_that_were_granted(house: House) -> None:
    device = house.connect("c", expiry=1000, keepalive_s=60)
    assert device.connack is not None
    properties = device.connack.properties
    assert properties.session_expiry_interval is None
    assert properties.server_keep_alive is None
    assert properties.assigned_client_identifier is None
    assert properties.response_information is None


def test_response_information_is_given_to_who_asks_and_names_the_principal() -> None:
    house = House(response_information="answers/${id}/")
    asking = house.connect("c", principal="me", request_response_information=1)
    assert asking.connack is not None
    assert asking.connack.properties.response_information == "answers/me/"
    silent = house.connect("d", principal="me")
    assert silent.connack is not None
    assert silent.connack.properties.response_information is None


def test_a_server_that_moved_redirects_everyone(version: int) -> None:
    connack = refused(House(server_reference="other.example:8883"), version, connect("c", version))
    assert connack is not None
    if version == 5:
        assert connack.code == ReasonCode.USE_ANOTHER_SERVER
        assert connack.properties.server_reference == "other.example:8883"
    else:
        assert connack.code == ReasonCode.SERVER_UNAVAILABLE


def test_a_connack_larger_than_the_client_takes_is_not_sent(house: House) -> None:
    too_large = ReasonCode.PACKET_TOO_LARGE
    assert code_of(house, 5, connect("c", maximum_packet_size=8)) == too_large
    assert code_of(house, 5, connect("c", maximum_packet_size=3)) is None
    assert house.session("c") is None


@pytest.mark.parametrize(
    ("will", "code"),
    [
        (Will("a/+", b""), ReasonCode.MALFORMED_PACKET),
        (Will("a", b"", qos=2), ReasonCode.QOS_NOT_SUPPORTED),
        (Will("a", b"", retain=True), ReasonCode.RETAIN_NOT_SUPPORTED),
        (Will("denied", b""), ReasonCode.NOT_AUTHORIZED),
        (Will("$SYS/x", b""), ReasonCode.NOT_AUTHORIZED),
    ],
)
def test_a_will_that_could_not_be_published_refuses_its_client(will: Will, code: int) -> None:
    house = House(Limits(maximum_qos=1, retain_available=False), Rights((None, Action.WILL, "denied")))
    assert code_of(house, 5, connect("c", will=will)) == code
    assert house.session("c") is None


def test_a_retained_will_needs_the_right_to_retain() -> None:
    house = House(authorizer=Rights((None, Action.RETAIN, "a")))
    will = Will("a", b"", retain=True)
    assert code_of(house, 5, connect("c", will=will)) == ReasonCode.NOT_AUTHORIZED
    house.connect("c", will=Will("a", b""))


def test_a_refusal_that_3_1_1_cannot_express_is_just_the_end() -> None:
    house = House(Limits(maximum_qos=1))
    assert refused(house, 4, connect("c", 4, will=Will("a", b"", qos=2))) is None


def test_a_client_is_announced_with_what_was_agreed(house: House, version: int) -> None:
    house.connect("c", version, principal="me", keepalive_s=20)
    [event] = house.told(ClientConnected)
    assert (event.principal, event.client_id, event.version) == ("me", "c", version)
    assert (event.keepalive_s, event.session_present, event.address) == (20, False, "192.0.2.1")


def test_silence_for_one_and_a_half_keep_alive_ends_the_connection(house: House, version: int) -> None:
    device = house.connect("c", version, keepalive_s=10)
    house.advance(14)
    device.ping()
    house.advance(14.9)
    assert not device.closed
    house.advance(0.2)
    assert device.closed
    if version == 5:
        assert device.one(Disconnect).code == ReasonCode.KEEP_ALIVE_TIMEOUT


def test_half_a_packet_is_no_sign_of_life(house: House, version: int) -> None:
    device = house.connect("c", version, keepalive_s=10)
    for byte in (b"\x30", b"\x20", b"\x00"):
        house.advance(5.1)
        device.send(byte)
    assert device.closed


def test_a_deep_takeover_chain_leaves_one_connection(house: House, version: int) -> None:
    devices = [house.connect("c", version, clean=False, expiry=100) for _ in range(20)]
    assert [device.closed for device in devices] == [True] * 19 + [False]
    assert house.broker.counters.clients_connected == 1
    assert len(list(house.broker.connections())) == 1
