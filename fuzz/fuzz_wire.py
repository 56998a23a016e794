"""Feed the wire floor what no client would send: `python fuzz/fuzz_wire.py --seconds 60 --target all`.

The property, for every target: the input is accepted or refused by `PeerError`, and nothing else; what is accepted
is encoded again and decodes to the same; a stream gives the same however it is cut. With the atheris package the
search is guided by coverage (of the uncompiled source; set PYTHONPATH=src); without it, by outcomes never seen
before. The seeds are the packet vectors of the tests. A failure prints the input and ends with exit code 1.
"""

import argparse
import importlib
import importlib.util
import os
import random
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

USE_ATHERIS = importlib.util.find_spec("atheris") is not None and "own" not in sys.argv
if USE_ATHERIS:
    import atheris

    with atheris.instrument_imports(include=["bollard.wire"]):
        importlib.import_module("bollard.wire.codec")
import bollard.wire.codec as codec  # noqa: E402  the import above must come first
from bollard.base.errors import PeerError  # noqa: E402
from bollard.wire.connect import refusal_version  # noqa: E402
from bollard.wire.framer import Framer  # noqa: E402
from bollard.wire.properties import decode_properties, encode_properties  # noqa: E402
from bollard.wire.publish import Publish, encode_publish  # noqa: E402
from bollard.wire.reader import Reader  # noqa: E402
from bollard.wire.spec import FIXED_FLAGS, PacketType  # noqa: E402
from bollard.wire.topics import check_filter, check_topic_name, contains, matches, split_share  # noqa: E402
from vectors import load  # noqa: E402

Target = Callable[[bytes], str]
LIMIT = 600
LONGEST = 4096


def check(truth: bool, what: str) -> None:
    """An `assert` that no interpreter option switches off."""
    if not truth:
        raise AssertionError(what)


def round_trip(packet: codec.Packet, version: int) -> None:
    again = codec.decode_all(codec.encode(packet, version), version)
    check(again == [packet], f"{packet!r} came back as {again!r}")


def frames(pieces: list[bytes]) -> tuple[list[bytes], int, int]:
    """The packets, the bytes that wait for more, and the code of the error or 0."""
    framer = Framer(LIMIT)
    found: list[bytes] = []
    for piece in pieces:
        framer.feed(piece)
        try:
            while framer.next():
                found.append(framer.buffer[framer.start : framer.end])
                check(framer.header == found[-1][0], "the header is not the first byte")
                check(framer.start < framer.body <= framer.end, "the fields are out of order")
        except PeerError as fault:
            return found, 0, fault.code
    return found, framer.pending, 0


def fuzz_framer(data: bytes) -> str:
    whole = frames([data])
    check(whole == frames([data[at : at + 1] for at in range(len(data))]), "a byte at a time is different")
    step = len(data) % 13 + 2
    check(whole == frames([data[at : at + step] for at in range(0, len(data), step)]), "pieces are different")
    check(b"".join(whole[0]) == data[: sum(map(len, whole[0]))], "bytes were changed")
    return f"{min(len(whole[0]), 4)} {whole[2]}"


def fuzz_stream(data: bytes) -> str:
    """Whole packets, as a peer of either version sends them."""
    outcome = ""
    for version in (4, 5):
        try:
            packets = codec.decode_all(data, version)
        except PeerError as fault:
            outcome += f"{fault.code} {fault.clause} "
            continue
        for packet in packets:
            round_trip(packet, version)
            outcome += type(packet).__name__
    return outcome


def packet_target(packet_type: int) -> Target:
    """One decoder: the first byte chooses version and flags, the rest is the body."""

    def fuzz_packet(data: bytes) -> str:
        if not data:
            return ""
        version = 4 + (data[0] & 1)
        flags = data[0] >> 4 if data[0] & 2 or packet_type == PacketType.PUBLISH else FIXED_FLAGS[packet_type]
        if packet_type == PacketType.CONNECT:
            check(refusal_version(data, 1, len(data)) in (0, 4, 5), "no such version")
        try:
            packet = codec.decode(data, packet_type << 4 | flags, 1, len(data), version)
        except PeerError as fault:
            return f"{version} {fault.code} {fault.clause} {fault.text[:30]}"
        round_trip(packet, packet.version if packet_type == PacketType.CONNECT else version)
        if isinstance(packet, Publish) and version == 5:
            agree(packet)
        return f"{version} {packet!r}"[:60]

    return fuzz_packet


def agree(packet: Publish) -> None:
    """The decoder for the way through and that for a reader follow one specification."""
    other = codec.decode_all(
        encode_publish(packet.topic, b"", version=5, properties=packet.properties()), version=5
    )
    check(other[0].properties() == packet.properties(), "the two property decoders differ")


def fuzz_properties(data: bytes) -> str:
    if not data:
        return ""
    packet = data[0] % 16
    try:
        found = decode_properties(Reader(data, 1, len(data)), packet)
    except PeerError as fault:
        return f"{packet} {fault.code} {fault.clause} {fault.text[:30]}"
    block = encode_properties(found, packet)
    check(decode_properties(Reader(block, 0, len(block)), packet) == found, "properties changed")
    return f"{packet} {found!r}"[:60]


def fuzz_topics(data: bytes) -> str:
    """Two filters and a topic name, a line each."""
    text = data.decode("utf-8", "surrogateescape")
    first, second, topic = [*text.split("\n"), "", ""][:3]
    codes = []
    for judge, one in ((check_filter, first), (check_filter, second), (check_topic_name, topic)):
        try:
            judge(one)
            codes.append(0)
        except PeerError as fault:
            codes.append(fault.code)
    if any(codes):
        return str(codes)
    (_, first), (_, second) = split_share(first), split_share(second)
    check(contains(first, first), "a filter does not hold itself")
    check(matches(first, topic) == contains(first, topic), "holding a name is not matching it")
    if contains(first, second) and matches(second, topic):
        check(matches(first, topic), "the wider filter misses a topic")
    return f"{matches(first, topic)} {matches(second, topic)} {contains(first, second)}"


TARGETS: dict[str, Target] = {
    "framer": fuzz_framer,
    "stream": fuzz_stream,
    "properties": fuzz_properties,
    "topics": fuzz_topics,
    **{packet.name.lower(): packet_target(packet) for packet in PacketType},
}


def seeds(name: str) -> list[bytes]:
    """What to begin with: the vectors, in the form that the target reads."""
    if name == "topics":
        return [b"a/#\na/+\na/b", b"$share/g/+/b\n#\n$SYS/x", b"+/+\n+/#\n/", "é/+\né/ü\né/ü".encode()]
    whole = [vector for vector in load() if len(vector.data) > 2 and vector.data[1] < 128]
    if name in ("framer", "stream"):
        return [vector.data for vector in whole]
    if name == "properties":
        return [
            bytes((n,)) + vector.data[at:] for vector in whole[::5] for at in (4, 6, 12) for n in (0, 1, 3)
        ]
    return [
        bytes((vector.version - 4 | (vector.data[0] & 15) << 4,)) + vector.data[2:]
        for vector in whole
        if vector.packet.lower() == name
    ] or [b"\1\0\1\0"]


class Own:
    """A mutating search: inputs with an outcome that was not seen before become seeds."""

    def __init__(self, name: str, chance: random.Random) -> None:
        self.target = TARGETS[name]
        self.chance = chance
        self.corpus = seeds(name)
        self.seen: set[str] = set()
        self.executions = 0

    def run(self, count: int) -> None:
        for _ in range(count):
            data = self.mutate()
            self.executions += 1
            try:
                outcome = self.target(data)
            except Exception:
                traceback.print_exc()
                sys.exit(f"input: {data.hex()}")
            if outcome not in self.seen and len(self.seen) < 20_000:
                self.seen.add(outcome)
                self.corpus.append(data)

    def mutate(self) -> bytes:
        chance = self.chance
        data = bytearray(chance.choice(self.corpus))
        for _ in range(chance.choice((1, 1, 2, 3, 8))):
            at = chance.randrange(len(data) + 1)
            kind = chance.randrange(6)
            if kind == 0:
                data[at : at + 1] = bytes((chance.randrange(256),))
            elif kind == 1:
                data[at:at] = bytes((chance.choice((0, 1, 2, 0x26, 0x7F, 0x80, 0xFF)),))
            elif kind == 2:
                del data[at : at + chance.choice((1, 1, 2, 8))]
            elif kind == 3:
                data[at:at] = data[at : at + chance.randrange(1, 12)]
            elif kind == 4:
                other = chance.choice(self.corpus)
                begin = chance.randrange(len(other) + 1)
                data[at:] = other[begin:]
            elif at < len(data):
                data[at] = (data[at] + chance.choice((-1, 1, 16, 128))) % 256
        return bytes(data[:LONGEST])


def fuzz_own(names: list[str], seconds: float, seed: int) -> None:
    """All targets in turn, each for the same number of inputs."""
    chance = random.Random(seed)
    runs = {name: Own(name, chance) for name in names}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for run in runs.values():
            run.run(500)
    for name, run in runs.items():
        print(f"  {name}: {run.executions:,} executions, {len(run.seen):,} outcomes")
    report(sum(run.executions for run in runs.values()), seconds, f"mutations, seed {seed}")


def fuzz_atheris(names: list[str], seconds: float, seed: int) -> None:
    """One search over all targets: the first byte of the input chooses among them."""
    counts = dict.fromkeys(names, 0)
    end = time.monotonic() + seconds

    def one(data: bytes) -> None:
        if time.monotonic() > end:
            for name, count in counts.items():
                print(f"  {name}: {count:,} executions")
            report(sum(counts.values()), seconds, f"atheris, seed {seed}")
            sys.stdout.flush()
            # libFuzzer takes any other way out for a crash.
            os._exit(0)
        if data:
            name = names[data[0] % len(names)]
            counts[name] += 1
            TARGETS[name](data[1:])

    corpus = Path(os.environ.get("FUZZ_CORPUS", HERE.parent / "build" / "fuzz-corpus"))
    corpus.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(names):
        for number, data in enumerate(seeds(name)):
            (corpus / f"seed-{name}-{number}").write_bytes(bytes((place,)) + data)
    flags = [f"-max_len={LONGEST}", f"-seed={seed}", "-rss_limit_mb=1024", "-timeout=10", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *flags, f"-artifact_prefix={corpus.parent}/", str(corpus)], one)
    atheris.Fuzz()


def report(executions: int, seconds: float, how: str) -> None:
    variant = "uncompiled" if (codec.__file__ or "").endswith(".py") else "compiled"
    print(f"fuzz: {executions:,} executions in {seconds:.0f} s, no failure ({variant}, {how})")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="how long, for all targets together")
    parser.add_argument("--target", choices=["all", *TARGETS], default="all")
    parser.add_argument("--engine", choices=["auto", "own"], default="auto")
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    options = parser.parse_args()
    names = list(TARGETS) if options.target == "all" else [options.target]
    seed = options.seed or random.SystemRandom().randrange(1, 1 << 31)
    if USE_ATHERIS:
        fuzz_atheris(names, options.seconds, seed)
    else:
        fuzz_own(names, options.seconds, seed)


if __name__ == "__main__":
    main()
