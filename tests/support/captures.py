"""Captures for tests: frames, TCP conversations with right numbers, files of every kind, real TLS handshakes.

The writer knows nothing of the reader: formats are written down here from their own descriptions.
"""

import ipaddress
import ssl
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import trustme

#: Link types of the formats.
NULL, ETHERNET, RAW, LOOP, SLL, SLL2 = 0, 1, 101, 108, 113, 276
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
START_NS = 1_790_000_000 * 10**9
MSS = 1_400


def ip4(source: str, target: str, payload: bytes, *, protocol: int = 6, fragment: int = 0) -> bytes:
    """An IPv4 packet."""
    return (
        struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 1, fragment, 64, protocol, 0)
        + ipaddress.ip_address(source).packed
        + ipaddress.ip_address(target).packed
        + payload
    )


def ip6(source: str, target: str, payload: bytes, *, headers: Sequence[tuple[int, bytes]] = ()) -> bytes:
    """An IPv6 packet; `headers` are extension headers: their number, and what follows the next header's number."""
    numbers = [*(number for number, _ in headers), 6]
    body = b"".join(
        bytes((following,)) + content for following, (_, content) in zip(numbers[1:], headers, strict=True)
    )
    body += payload
    return (
        struct.pack(">IHBB", 6 << 28, len(body), numbers[0], 64)
        + ipaddress.ip_address(source).packed
        + ipaddress.ip_address(target).packed
        + body
    )


def tcp(
    source: int, target: int, seq: int, ack: int, flags: int, data: bytes = b"", options: bytes = b""
) -> bytes:
    """A TCP segment, without a checksum."""
    head = 20 + len(options)
    return (
        struct.pack(
            ">HHIIBBHHH", source, target, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, head << 2, flags, 65535, 0, 0
        )
        + options
        + data
    )


def mac(address: str) -> bytes:
    """A network card's address that follows from the IP address."""
    return b"\x24\x0a\xc4" + ipaddress.ip_address(address).packed[-3:]


def linked(packet: bytes, source: str, target: str, link: int = ETHERNET, tags: Sequence[int] = ()) -> bytes:
    """The frame of an IP packet. `tags` are VLANs, the outermost first."""
    six = packet[0] >> 4 == 6
    kind = struct.pack(">H", 0x86DD if six else 0x0800)
    if link == ETHERNET:
        outer = b"".join(
            struct.pack(">HH", 0x88A8 if index == 0 and len(tags) > 1 else 0x8100, tag)
            for index, tag in enumerate(tags)
        )
        return mac(target) + mac(source) + outer + kind + packet
    if link == SLL:
        return struct.pack(">HHH", 0, 1, 6) + mac(source) + b"\0\0" + kind + packet
    if link == SLL2:
        return kind + struct.pack(">HIHBB", 0, 2, 1, 0, 6) + mac(source) + b"\0\0" + packet
    if link == NULL:
        return struct.pack("<I", 30 if six else 2) + packet
    if link == LOOP:
        return struct.pack(">I", 30 if six else 2) + packet
    return packet


@dataclass
class Tape:
    """Frames as they are recorded. Each new one comes a millisecond after the one before."""

    link: int = ETHERNET
    tags: tuple[int, ...] = ()
    frames: list[tuple[int, bytes]] = field(default_factory=list)
    now_ns: int = START_NS

    def add(self, frame: bytes) -> None:
        self.frames.append((self.now_ns, frame))
        self.now_ns += 1_000_000

    def packet(self, source: str, target: str, segment: bytes) -> None:
        make = ip6 if ":" in source else ip4
        self.add(linked(make(source, target, segment), source, target, self.link, self.tags))

    def wait(self, seconds: float) -> None:
        self.now_ns += int(seconds * 10**9)


class Talk:
    """One TCP connection on a tape. `client` and `server` are address and port."""

    def __init__(
        self,
        tape: Tape,
        client: tuple[str, int],
        server: tuple[str, int],
        *,
        opened: bool = True,
        seq: int = 0xFFFFFF00,
    ) -> None:
        self.tape = tape
        self.ends = (client, server)
        # Close to the end of the numbers, so that they wrap in every longer conversation.
        self.seqs = [seq, 7_000]
        if opened:
            self.raw(0, SYN)
            self.seqs[0] += 1
            self.raw(1, SYN | ACK)
            self.seqs[1] += 1
            self.raw(0, ACK)

    def raw(self, side: int, flags: int, data: bytes = b"", *, seq: int | None = None) -> None:
        """One segment, which moves no number."""
        (source, source_port), (target, target_port) = self.ends[side], self.ends[1 - side]
        number = self.seqs[side] if seq is None else seq
        ack = self.seqs[1 - side] if flags & ACK else 0
        self.tape.packet(source, target, tcp(source_port, target_port, number, ack, flags, data))

    def send(self, side: int, data: bytes, mss: int = MSS) -> None:
        """Data of one side in segments, each of them acknowledged."""
        for start in range(0, len(data), mss):
            part = data[start : start + mss]
            self.raw(side, ACK | PSH, part)
            self.seqs[side] += len(part)
            self.raw(1 - side, ACK)

    def up(self, *packets: bytes) -> "Talk":
        """The client sends."""
        self.send(0, b"".join(packets))
        return self

    def down(self, *packets: bytes) -> "Talk":
        """The server sends."""
        self.send(1, b"".join(packets))
        return self

    def close(self) -> None:
        for side in (0, 1):
            self.raw(side, FIN | ACK)
            self.seqs[side] += 1
        self.raw(0, ACK)

    def reset(self, side: int = 1) -> None:
        self.raw(side, RST | ACK)


def pcap(
    tape: Tape | Iterable[tuple[int, bytes]],
    *,
    order: str = "<",
    nano: bool = False,
    snap: int = 262_144,
    link: int = 1,
) -> bytes:
    """The tape as a pcap file; frames are cut to `snap` bytes."""
    frames, link = (tape.frames, tape.link) if isinstance(tape, Tape) else (tape, link)
    magic = 0xA1B23C4D if nano else 0xA1B2C3D4
    parts = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, snap, link)]
    for time_ns, frame in frames:
        seconds, rest = divmod(time_ns, 10**9)
        kept = frame[:snap]
        parts.append(
            struct.pack(f"{order}IIII", seconds, rest if nano else rest // 1000, len(kept), len(frame))
        )
        parts.append(kept)
    return b"".join(parts)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """One block of a pcapng file."""
    body += b"\0" * (-len(body) % 4)
    size = struct.pack(f"{order}I", len(body) + 12)
    return struct.pack(f"{order}I", kind) + size + body + size


def section(order: str = "<") -> bytes:
    """The block that begins a section."""
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int, order: str = "<", *, resolution: int | None = None, snap: int = 0) -> bytes:
    """The block of an interface; `resolution` is its if_tsresol."""
    options = b""
    if resolution is not None:
        options = struct.pack(f"{order}HHB3xHH", 9, 1, resolution, 0, 0)
    return block(1, struct.pack(f"{order}HHI", link, 0, snap) + options, order)


def pcapng(tape: Tape, *, order: str = "<", resolution: int | None = None, snap: int = 262_144) -> bytes:
    """The tape as a pcapng file with one interface."""
    ticks = 10**6
    if resolution is not None:
        ticks = 2 ** (resolution & 0x7F) if resolution & 0x80 else 10**resolution
    parts = [section(order), interface(tape.link, order, resolution=resolution)]
    for time_ns, frame in tape.frames:
        stamp = time_ns * ticks // 10**9
        kept = frame[:snap]
        head = struct.pack(f"{order}IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, len(kept), len(frame))
        parts.append(block(6, head + kept, order))
    return b"".join(parts)


# ---------------------------------------------------------------- TLS


@dataclass
class Handshake:
    """What each side sent, in turns: (side, bytes), 0 for the client. `error` is why the client gave up, if it did."""

    turns: list[tuple[int, bytes]] = field(default_factory=list)
    error: str = ""


_AUTHORITY: list[trustme.CA] = []


def authority() -> trustme.CA:
    """One authority for all tests of a run."""
    if not _AUTHORITY:
        _AUTHORITY.append(trustme.CA())
    return _AUTHORITY[0]


def server_context(
    name: str, *, days: int = 30, version: ssl.TLSVersion | None = None, ciphers: str = ""
) -> ssl.SSLContext:
    """A server with a certificate for `name`; `days` < 0: it expired so many days before `START_NS`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    start = datetime.fromtimestamp(START_NS / 1e9, UTC)
    leaf = authority().issue_cert(
        name, not_before=start - timedelta(days=90), not_after=start + timedelta(days=days)
    )
    leaf.configure_cert(context)
    if ciphers:
        context.set_ciphers(ciphers)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["mqtt"])
    return context


def client_context(
    *, careless: bool = True, version: ssl.TLSVersion | None = None, ciphers: str = "", alpn: bool = True
) -> ssl.SSLContext:
    """A client that looks at nothing, or one that looks and knows no authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if careless:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    if alpn:
        context.set_alpn_protocols(["mqtt"])
    return context


def handshake(
    server: ssl.SSLContext,
    client: ssl.SSLContext,
    name: str | None,
    messages: Sequence[tuple[int, bytes]] = (),
) -> Handshake:
    """A real handshake in memory, then `messages` as application data; what was on the wire comes back."""
    made = Handshake()
    incoming = [ssl.MemoryBIO(), ssl.MemoryBIO()]
    outgoing = [ssl.MemoryBIO(), ssl.MemoryBIO()]
    ends = [
        client.wrap_bio(incoming[0], outgoing[0], server_hostname=name),
        server.wrap_bio(incoming[1], outgoing[1], server_side=True),
    ]

    def flush(side: int) -> None:
        data = outgoing[side].read()
        if data:
            made.turns.append((side, data))
            incoming[1 - side].write(data)

    done = [False, False]
    for _ in range(10):
        for side in (0, 1):
            try:
                if not done[side]:
                    ends[side].do_handshake()
                    done[side] = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                flush(side)
                made.error = error.reason or "failed"
                return made
            flush(side)
    for side, data in messages:
        ends[side].write(data)
        flush(side)
        ends[1 - side].read(65_536)
        flush(1 - side)
    return made


def play(talk: Talk, made: Handshake) -> Talk:
    """Put a handshake on a tape."""
    for side, data in made.turns:
        talk.send(side, data)
    return talk
