"""Topic aliases, each direction for itself."""

import pytest

from bollard.base.errors import PeerError
from bollard.session.aliases import InboundAliases, OutboundAliases
from bollard.wire.spec import ReasonCode


def refusal(aliases: InboundAliases, alias: int, topic: bytes = b"") -> int:
    with pytest.raises(PeerError) as fault:
        aliases.resolve(alias, topic)
    return fault.value.code


def test_an_alias_stands_for_the_topic_it_was_given() -> None:
    aliases = InboundAliases(2)
    assert aliases.resolve(1, b"a") == b"a"
    assert aliases.resolve(2, b"b") == b"b"
    assert aliases.resolve(1, b"") == b"a"


def test_an_alias_can_be_given_another_topic() -> None:
    aliases = InboundAliases(1)
    aliases.resolve(1, b"a")
    aliases.resolve(1, b"b")
    assert aliases.resolve(1, b"") == b"b"


def test_an_alias_above_the_maximum_is_invalid() -> None:
    assert refusal(InboundAliases(3), 4, b"a") == ReasonCode.TOPIC_ALIAS_INVALID


def test_an_alias_that_was_never_given_is_a_protocol_error() -> None:
    assert refusal(InboundAliases(3), 3) == ReasonCode.PROTOCOL_ERROR


def test_no_alias_is_accepted_where_none_was_offered() -> None:
    assert refusal(InboundAliases(0), 1, b"a") == ReasonCode.TOPIC_ALIAS_INVALID


def test_the_first_topics_sent_get_an_alias_and_keep_it() -> None:
    aliases = OutboundAliases(2)
    for topic, expected in [(b"a", 1), (b"b", 2)]:
        assert aliases.known(topic) == 0
        assert aliases.free() == expected
        aliases.assign(topic)
    assert (aliases.known(b"a"), aliases.known(b"b")) == (1, 2)


def test_no_alias_is_given_beyond_what_the_client_accepts() -> None:
    aliases = OutboundAliases(1)
    aliases.assign(b"a")
    assert aliases.free() == 0
