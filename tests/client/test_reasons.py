import pytest

from bollard.client.errors import ConnectRefused, PublishRefused, ServerDisconnected, SubscribeRefused
from bollard.client.reasons import MAX_TOLD, describe, heals, printable, told
from bollard.wire.spec import ReasonCode


def test_a_code_is_described_in_the_words_of_the_specification() -> None:
    assert describe(0x87) == "not authorized (0x87)"
    assert describe(0x7F) == "unknown reason (0x7F)"


@pytest.mark.parametrize("code", [0x86, 0x87, 0x8A, 0x8C, 0x84, 0x85, 0x8E, 0x9C, 0x9D])
def test_these_refusals_are_not_repeated(code: int) -> None:
    assert not heals(code)
    assert not ConnectRefused(code).heals


@pytest.mark.parametrize("code", [0x80, 0x88, 0x89, 0x8B, 0x97, 0x9F])
def test_these_refusals_may_heal(code: int) -> None:
    assert heals(code)


@pytest.mark.parametrize("code", sorted(set(ReasonCode)))
def test_every_code_makes_a_whole_message(code: int) -> None:
    assert f"0x{code:02X}" in str(ServerDisconnected(code))


def test_a_topic_is_blamed_only_where_one_was_asked_for() -> None:
    for error in (ConnectRefused(0x87), ServerDisconnected(0x87), ConnectRefused(0x87, "", "elsewhere")):
        assert "revoked" in error.remedy
        assert "topic" not in error.remedy
    for asked in (PublishRefused("a", 0x87), SubscribeRefused({"a": 0x87})):
        assert "grants the topic" in asked.remedy
        assert "revoked" not in asked.remedy


@pytest.mark.parametrize("text", ["\x1b[31m", "a\nb", "\u202eevil", "\x07", "\x9b"])
def test_what_moves_a_terminal_is_escaped(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)


def test_plain_text_stays_as_it_is() -> None:
    assert printable("Grüße, 世界") == "Grüße, 世界"


def test_the_servers_words_are_cut() -> None:
    assert len(told("x" * 10_000)) < MAX_TOLD + 40
    assert told("") == told(None) == ""


def test_the_topic_of_a_refusal_is_escaped() -> None:
    assert "\x1b" not in str(PublishRefused("a\x1b", 0x87))
