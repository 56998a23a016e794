"""The table of what a client may send when."""

from bollard.session.states import ASKED, CHALLENGED, CLOSED, CONNECTED, LEGAL, OPENED
from bollard.wire.spec import PacketType

SERVER_ONLY = {
    PacketType.CONNACK,
    PacketType.SUBACK,
    PacketType.UNSUBACK,
    PacketType.PINGRESP,
}


def test_only_connect_opens() -> None:
    assert LEGAL[OPENED] == {PacketType.CONNECT}


def test_connect_is_legal_nowhere_else() -> None:
    assert all(PacketType.CONNECT not in LEGAL[state] for state in (ASKED, CHALLENGED, CONNECTED, CLOSED))


def test_a_connected_client_sends_all_but_connect_and_what_only_servers_send() -> None:
    assert LEGAL[CONNECTED] == set(PacketType) - SERVER_ONLY - {PacketType.CONNECT}


def test_nothing_is_legal_while_a_question_is_open_or_after_the_end() -> None:
    assert not LEGAL[ASKED]
    assert not LEGAL[CLOSED]
