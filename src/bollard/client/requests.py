"""SUBSCRIBE and UNSUBSCRIBE: what was asked, what was granted, and what to ask again. No I/O.

The granted subscriptions are remembered, so that they can be made again when a server has lost the session.
"""

from dataclasses import dataclass

from bollard.base.errors import BollardError, LocalError, PeerError, ProtocolError
from bollard.client.errors import ClientError, SubscribeRefused, UnsubscribeRefused
from bollard.client.messages import MAX_TOPIC_LEVELS
from bollard.client.outgoing import PacketIds
from bollard.wire.codec import encode
from bollard.wire.properties import Properties
from bollard.wire.spec import V5
from bollard.wire.subscribe import Suback, Subscribe, SubscribeFilter, Unsuback, Unsubscribe
from bollard.wire.topics import check_filter

#: Filters in one packet when subscriptions are made again: well below what servers allow.
FILTERS_A_PACKET = 50
#: Stands for the requests that the client makes by itself, which nobody waits for.
OWN_TOKEN = 0


@dataclass(slots=True)
class Request:
    """One SUBSCRIBE (`filters` has what was asked) or UNSUBSCRIBE (`names` has)."""

    token: int
    filters: tuple[SubscribeFilter, ...] = ()
    names: tuple[str, ...] = ()
    identifier: int = 0


class Requests:
    """The subscriptions of one session; lives through reconnections."""

    def __init__(self, ids: PacketIds, version: int) -> None:
        self._ids = ids
        self._version = version
        self._waiting: list[Request] = []
        self._asked: dict[int, Request] = {}
        self._granted: dict[str, tuple[SubscribeFilter, int]] = {}

    @property
    def unanswered(self) -> int:
        return len(self._asked)

    def add(self, request: Request) -> None:
        """Put a request in line. Raises `LocalError` for a filter that cannot be one. [MQTT5-3.8.3-1]"""
        if not request.filters and not request.names:
            raise LocalError("there is no topic filter", "Give at least one.")
        for name in (*(each.filter for each in request.filters), *request.names):
            _check(name)
        self._waiting.append(request)

    def begin(self, *, resumed: bool) -> None:
        """A connection stands: what was not answered is asked again, and, in a new session, all of it."""
        unanswered = list(self._asked.values())
        for packet_id in self._asked:
            self._ids.free(packet_id)
        self._asked.clear()
        again = [] if resumed else self._all_granted()
        self._waiting[:0] = again + [
            request for request in unanswered if request.token != OWN_TOKEN or resumed
        ]

    def _all_granted(self) -> list[Request]:
        by_identifier: dict[int, list[SubscribeFilter]] = {}
        for each, identifier in self._granted.values():
            by_identifier.setdefault(identifier, []).append(each)
        return [
            Request(OWN_TOKEN, tuple(filters[start : start + FILTERS_A_PACKET]), identifier=identifier)
            for identifier, filters in by_identifier.items()
            for start in range(0, len(filters), FILTERS_A_PACKET)
        ]

    def flush(self) -> tuple[bytes, list[tuple[int, BollardError]]]:
        """(the packets of all requests that wait, those that cannot be sent with the reason)."""
        parts: list[bytes] = []
        outcomes: list[tuple[int, BollardError]] = []
        for request in self._waiting:
            try:
                parts.append(self._encode(request))
            except BollardError as error:
                outcomes.append((request.token, error))
        self._waiting.clear()
        return b"".join(parts), outcomes

    def _encode(self, request: Request) -> bytes:
        packet_id = self._ids.take()
        try:
            packet = encode(self._packet(packet_id, request), self._version)
        except BollardError:
            self._ids.free(packet_id)
            raise
        self._asked[packet_id] = request
        return packet

    def _packet(self, packet_id: int, request: Request) -> Subscribe | Unsubscribe:
        if request.names:
            return Unsubscribe(packet_id, request.names, Properties())
        identified = request.identifier and self._version == V5
        properties = (
            Properties(subscription_identifiers=(request.identifier,)) if identified else Properties()
        )
        return Subscribe(packet_id, request.filters, properties)

    def suback(self, packet: Suback) -> tuple[int, tuple[int, ...] | ClientError]:
        """The answer to a SUBSCRIBE: (token, granted QoS of each filter, or the refusal)."""
        request = self._answered(packet.packet_id)
        if len(packet.codes) != len(request.filters):  # [MQTT5-3.8.4-6]
            raise ProtocolError(
                f"{len(packet.codes)} answers to {len(request.filters)} filters", "MQTT5-3.8.4-6"
            )
        for each, code in zip(request.filters, packet.codes, strict=True):
            if code < 0x80:
                self._granted[each.filter] = (each, request.identifier)
            elif request.token == OWN_TOKEN:
                self._granted.pop(each.filter, None)
        if max(packet.codes) < 0x80:
            return request.token, packet.codes
        names = (each.filter for each in request.filters)
        codes = dict(zip(names, packet.codes, strict=True))
        return request.token, SubscribeRefused(codes, packet.properties.reason_string)

    def unsuback(self, packet: Unsuback) -> tuple[int, tuple[int, ...] | ClientError]:
        """The answer to an UNSUBSCRIBE; 3.1.1 answers without codes."""
        request = self._answered(packet.packet_id, subscribe=False)
        codes = packet.codes if self._version == V5 else (0,) * len(request.names)
        if len(codes) != len(request.names):
            raise ProtocolError(f"{len(codes)} answers to {len(request.names)} filters", "MQTT5-3.11.3-2")
        answers = dict(zip(request.names, codes, strict=True))
        for name, code in answers.items():
            if code < 0x80:
                self._granted.pop(name, None)
        if max(codes) < 0x80:
            return request.token, codes
        return request.token, UnsubscribeRefused(answers, packet.properties.reason_string)

    def tokens(self) -> list[int]:
        """Everything that somebody waits for."""
        both = (*self._waiting, *self._asked.values())
        return [request.token for request in both if request.token != OWN_TOKEN]

    def _answered(self, packet_id: int, *, subscribe: bool = True) -> Request:
        request = self._asked.get(packet_id)
        if request is None or bool(request.filters) != subscribe:
            raise ProtocolError(f"an answer with packet identifier {packet_id}, which nothing waits for")
        del self._asked[packet_id]
        self._ids.free(packet_id)
        return request


def _check(name: str) -> None:
    try:
        check_filter(name, MAX_TOPIC_LEVELS)
    except PeerError as error:
        raise LocalError(
            f"cannot subscribe to {name!r}: {error.text}", "# may only be the last level, + a whole level."
        ) from error
