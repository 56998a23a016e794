"""A server's answer to a signing request: read, or refused in one way whatever it is."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

import pytest

from bollard.client import Client, ClientError
from bollard.client.enroll import MAX_ANSWER_BYTES, Answer, ask


@dataclass
class Told:
    topic: str
    payload: bytes


class Server:
    """In place of a client: whatever is asked, `payload` comes back."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload

    async def subscribe(self, *_: Any, **__: Any) -> None:
        pass

    async def publish(self, *_: Any, **__: Any) -> None:
        pass

    @property
    async def messages(self) -> AsyncIterator[Told]:
        yield Told("$enroll/reply/plug", self._payload)


def answer(payload: bytes) -> Answer:
    return asyncio.run(ask(cast(Client, Server(payload)), "plug", b"csr"))


def test_what_a_later_version_adds_is_passed_over() -> None:
    assert answer(b'{"status": "waiting", "key": "ab", "colour": "red"}') == Answer("waiting", key="ab")


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"[]", b"{}", b"\xff", b"[" * 30_000, b'{"a":' * 30_000, b" " * MAX_ANSWER_BYTES + b"{}"],
)
def test_what_is_no_answer_is_an_error_of_the_client(payload: bytes) -> None:
    with pytest.raises(ClientError, match="answer cannot be read"):
        answer(payload)
