"""Which protocol a connection speaks, by what is said in it and never by its port.

The first bytes of a connection whose beginning was seen tell. Where it was not, TLS shows by its records, and
MQTT by packets that are whole and legal, two at least, over both directions.
"""

import ipaddress
from collections.abc import Callable

from bollard.assess.capture import masking
from bollard.assess.capture.flow import Flow
from bollard.assess.capture.mqtt import MqttTalk
from bollard.assess.capture.notebook import Notebook
from bollard.assess.capture.packets import FROM_CLIENT, FROM_SERVER, begins_mqtt, plausible
from bollard.assess.capture.streams import Budget, Reader, Sink
from bollard.assess.capture.tls import TlsNotes, TlsTalk
from bollard.assess.capture.websocket import (
    MAX_HEAD_BYTES,
    FrameSink,
    asks_for_websocket,
    head_of,
    headers_of,
)

#: What may be held of one direction while its protocol is not known, and segments that may fit nothing.
MAX_OPENING_BYTES = 16_384
MAX_MISFITS = 8
#: Packets that make a connection MQTT whose CONNECT was not seen.
ENOUGH_PACKETS = 2

#: The two heads of the PROXY protocol.
PROXY_2 = b"\r\n\r\n\0\r\nQUIT\n"
MAX_PROXY_BYTES = 108

Piece = tuple[bytes, int, int]


class Opening:
    """Reads a connection until its protocol is known, then hands it over. `sinks` and `end` follow the new reader."""

    __slots__ = (
        "_began",
        "_budget",
        "_flow",
        "_held",
        "_misfits",
        "_notes",
        "_packets",
        "_reader",
        "_taken",
        "_tls",
        "sinks",
    )

    def __init__(
        self, flow: Flow, began: bool, notes: Notebook, budget: Budget, tls: Callable[[TlsNotes], None]
    ) -> None:
        self._flow = flow
        self._began = began
        self._notes = notes
        self._budget = budget
        self._tls = tls
        self._held: tuple[list[Piece], list[Piece]] = ([], [])
        self._taken = 0
        self._misfits = 0
        self._packets: tuple[list[int], list[int]] = ([], [])
        self._reader: Reader | None = None
        self.sinks: list[Sink | None] = [_OpeningSide(self, 0), _OpeningSide(self, 1)]

    def end(self, how: str, frame: int, time_ns: int) -> None:
        if self._reader is not None:
            self._reader.end(how, frame, time_ns)
        elif how == "refused":
            flow = self._flow
            if flow.server_port in TLS_PORTS:
                self._notes.attacks.failed("the connection was refused", (flow, frame, time_ns), certain=True)
        self._free()

    def gap(self, index: int) -> None:
        """Something is missing before the protocol is known: what comes next is the middle of it."""
        self._began = False
        self._held[index].clear()

    def take(self, index: int, piece: Piece) -> None:
        """Data of one direction. Decides as soon as it can."""
        data = piece[0]
        held = self._held[index]
        size = sum(len(each[0]) for each in held) + len(data)
        if size > MAX_OPENING_BYTES + len(data) or not self._budget.take(len(data)):
            return self._ignore()
        self._taken += len(data)
        held.append(piece)
        opening = b"".join(each[0] for each in held) if len(held) > 1 else data
        if opening[:1] in (b"P", b"\r"):
            head = _proxy_head(opening)
            if head:
                opening = opening[head:]
                held[:] = [(opening, *piece[1:])] if opening else []
        if begins_mqtt(opening):
            return self._start_mqtt(index)
        if _begins_tls(opening, self._began):
            return self._start_tls(index, opening)
        if opening.startswith(b"GET "):
            return self._start_http(index)
        if self._began:
            if index == 0 and not _may_begin(opening):
                self._ignore()
            return None
        return self._middle(index, piece)

    def _middle(self, index: int, piece: Piece) -> None:
        """Data of a connection whose beginning is not there."""
        found = plausible(piece[0])
        if found:
            self._packets[index].extend(found[:ENOUGH_PACKETS])
            if sum(map(len, self._packets)) >= ENOUGH_PACKETS:
                self._start_mqtt(self._guess_client(), inferred=True)
            return
        self._held[index].clear()
        self._misfits += 1
        if self._misfits > MAX_MISFITS:
            self._ignore()

    def _guess_client(self) -> int:
        """Whose direction is the client's: by what only one side may send, else by the ports."""
        for index in (0, 1):
            if FROM_CLIENT.intersection(self._packets[index]) or FROM_SERVER.intersection(
                self._packets[1 - index]
            ):
                return index
        return 0 if self._flow.server_port <= self._flow.client_port else 1

    def _start_mqtt(self, client: int, *, inferred: bool = False) -> None:
        flow = self._flow if client == 0 else self._flow.turned()
        talk = MqttTalk(self._notes, flow, client, self._budget)
        _, frame, time_ns = (self._held[client] or self._held[1 - client])[0]
        self._notes.begin(flow, "tcp", inside(flow), inferred, frame, time_ns)
        self._hand_over(talk, client)

    def _start_tls(self, index: int, opening: bytes) -> None:
        """Records of TLS: a hello tells who is the client."""
        hello = opening[5] if opening[0] == 22 and len(opening) > 5 else 0
        client = index if hello == 1 else 1 - index if hello == 2 else 0
        if not hello and not self._began and self._flow.server_port > self._flow.client_port:
            client = 1
        flow = self._flow if client == 0 else self._flow.turned()
        _, frame, time_ns = self._held[index][0]
        talk = TlsTalk(flow, client, self._budget, self._tls, (frame, time_ns))
        talk.notes.middle = hello != 1
        self._hand_over(talk, client)

    def _start_http(self, client: int) -> None:
        flow = self._flow if client == 0 else self._flow.turned()
        self._hand_over(_Upgrade(self._notes, flow, client, self._budget), client)

    def _hand_over(self, reader: Reader, client: int) -> None:
        """From here on, `reader` reads; it gets what was held, the client's first."""
        held = self._held
        self._held = ([], [])
        self._free()
        self._reader = reader
        self.sinks = reader.sinks
        for index in (client, 1 - client):
            for piece in held[index]:
                sink = reader.sinks[index]
                if sink is not None:
                    sink.data(*piece)

    def _ignore(self) -> None:
        """Some other protocol."""
        self._held = ([], [])
        self._free()
        self.sinks = [None, None]

    def _free(self) -> None:
        self._budget.left += self._taken
        self._taken = 0


class _OpeningSide:
    """One direction of an `Opening`."""

    __slots__ = ("_index", "_opening")

    def __init__(self, opening: Opening, index: int) -> None:
        self._opening = opening
        self._index = index

    def data(self, data: bytes, frame: int, time_ns: int) -> None:
        self._opening.take(self._index, (data, frame, time_ns))

    def gap(self) -> None:
        self._opening.gap(self._index)


class _Upgrade:
    """An HTTP connection that may become a WebSocket, and that may then speak MQTT."""

    __slots__ = ("_asked", "_budget", "_client", "_frames", "_heads", "_notes", "_talk", "flow", "sinks")

    def __init__(self, notes: Notebook, flow: Flow, client: int, budget: Budget) -> None:
        self._notes = notes
        self._budget = budget
        self.flow = flow
        self._client = client
        self._heads = [b"", b""]
        self._frames: list[FrameSink | None] = [None, None]
        self._asked: tuple[int, int] | None = None
        self._talk = MqttTalk(notes, flow, client, budget, "ws")
        self.sinks: list[Sink | None] = [_HttpSide(self, 0), _HttpSide(self, 1)]

    def end(self, how: str, frame: int, time_ns: int) -> None:
        self._talk.end(how, frame, time_ns)
        self._forget(0)
        self._forget(1)
        for each in self._frames:
            if each is not None and each.dead not in ("", "closed"):
                self._notes.unread(each.dead)

    def _forget(self, index: int) -> None:
        self._budget.left += len(self._heads[index])
        self._heads[index] = b""

    def head(self, index: int, data: bytes, frame: int, time_ns: int) -> None:
        """Bytes of a head, or of frames once the head is through."""
        frames = self._frames[index]
        if frames is not None:
            return frames.data(data, frame, time_ns)
        whole = self._heads[index] + data
        self._forget(index)
        head = head_of(whole)
        if head is None:
            if len(whole) > MAX_HEAD_BYTES or not self._budget.take(len(whole)):
                self.sinks[:] = [None, None]
            else:
                self._heads[index] = whole
            return None
        rest = whole[len(head) :]
        upgrade = asks_for_websocket(head)
        if index != self._client:
            upgrade = upgrade and head[9:12] == b"101"
        if not upgrade:
            self.sinks[:] = [None, None]
            return None
        if index == self._client and self._budget.take(len(head)):
            # Kept until it is known whether this is about MQTT at all.
            self._heads[index] = head
            self._asked = (frame, time_ns)
        sink: Sink | None = self._talk.sinks[index]
        if sink is None:
            return None
        first = _FirstPacket(self, sink) if index == self._client else sink
        made = self._frames[index] = FrameSink(first)
        return made.data(rest, frame, time_ns) if rest else None

    def began(self, is_mqtt: bool, frame: int, time_ns: int) -> None:
        """The first bytes within the WebSocket have told whether it speaks MQTT."""
        if not is_mqtt:
            self._forget(self._client)
            self.sinks[:] = [None, None]
            return
        self._notes.begin(self.flow, "ws", inside(self.flow), False, frame, time_ns)
        if self._asked is not None:
            tell_tokens(self._notes, self._heads[self._client], (self.flow, *self._asked))
            self._asked = None
            self._forget(self._client)

    def gap(self, index: int) -> None:
        frames = self._frames[index]
        if frames is None:
            self.sinks[:] = [None, None]
            self._notes.unread("WebSocket upgrades with missing bytes")
        else:
            frames.gap()


class _HttpSide:
    """One direction of an `_Upgrade`."""

    __slots__ = ("_index", "_upgrade")

    def __init__(self, upgrade: _Upgrade, index: int) -> None:
        self._upgrade = upgrade
        self._index = index

    def data(self, data: bytes, frame: int, time_ns: int) -> None:
        self._upgrade.head(self._index, data, frame, time_ns)

    def gap(self) -> None:
        self._upgrade.gap(self._index)


class _FirstPacket:
    """Stands before the reader of MQTT until the client's first bytes have told that it is MQTT."""

    __slots__ = ("_held", "_known", "_sink", "_upgrade")

    def __init__(self, upgrade: _Upgrade, sink: Sink) -> None:
        self._upgrade = upgrade
        self._sink = sink
        self._held = b""
        self._known = False

    def data(self, data: bytes, frame: int, time_ns: int) -> None:
        if not self._known:
            data = self._held + data
            found = begins_mqtt(data)
            if found is None:
                self._held = data
                return
            self._held = b""
            self._known = True
            self._upgrade.began(found, frame, time_ns)
            if not found:
                return
        self._sink.data(data, frame, time_ns)

    def gap(self) -> None:
        self._sink.gap()


def tell_tokens(notes: Notebook, head: bytes, where: tuple[Flow, int, int]) -> None:
    """Bearer secrets in the head of an upgrade: in its path, an Authorization or a cookie."""
    headers = headers_of(head)
    authorization = headers.get(b"authorization", b"")
    token = masking.bearer(authorization)
    if token:
        notes.token(None, "Authorization of a WebSocket upgrade", "bearer token", token, where)
    elif authorization.lower().startswith(b"basic "):
        notes.token(
            None, "Authorization of a WebSocket upgrade", "basic authorization", authorization[6:], where
        )
    for place, text in (("address", head.split(b"\r\n", 1)[0]), ("cookie", headers.get(b"cookie", b""))):
        token = masking.signed_token(text)
        if token:
            notes.token(None, f"{place} of a WebSocket upgrade", "signed token", token, where)


#: Where MQTT over TLS usually listens; a refusal there counts as a failed attempt.
TLS_PORTS = frozenset((8883, 8884, 8886))


def inside(flow: Flow) -> bool:
    """Does this connection stay within one machine?"""
    return ipaddress.ip_address(flow.client).is_loopback or flow.client == flow.server


def _begins_tls(data: bytes, began: bool) -> bool:
    """Is this a record of TLS? Where the beginning was seen, only a hello can be one."""
    if len(data) < 6 or not 20 <= data[0] <= 23 or data[1] != 3 or data[2] > 4:
        return False
    length = data[3] << 8 | data[4]
    return 0 < length <= 18_432 and (not began or (data[0] == 22 and data[5] in (1, 2)))


def _proxy_head(data: bytes) -> int:
    """How long the head is that a proxy has put before its client's bytes; 0 while there is none, or not whole."""
    if data.startswith(b"PROXY "):
        return data.find(b"\r\n", 0, MAX_PROXY_BYTES) + 2 if b"\r\n" in data[:MAX_PROXY_BYTES] else 0
    if data.startswith(PROXY_2) and len(data) >= 16:
        size = 16 + int.from_bytes(data[14:16], "big")
        return size if len(data) >= size else 0
    return 0


def _may_begin(data: bytes) -> bool:
    """May more bytes still turn this into something that is read?"""
    return (
        begins_mqtt(data) is None
        or (len(data) < 6 and data[:1] == b"\x16" and data[1:2] in (b"", b"\x03"))
        or b"GET ".startswith(data)
        or (data.startswith(b"PROXY ") and len(data) < MAX_PROXY_BYTES)
        or b"PROXY ".startswith(data)
        or data.startswith(PROXY_2)
        or PROXY_2.startswith(data)
    )
