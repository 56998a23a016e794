"""Log lines: nothing that a peer wrote can forge or flood them."""

import io
import json

from bollard.base.events import AccessDenied, ClientConnected, ClientDisconnected, ServerEvent, ServerWarning
from bollard.server.config import LogConfig
from bollard.server.observers import BURST_LINES, LINES_PER_S, MAX_FIELD_CHARS, EventLog

EVIL = 'x\n2026-01-01T00:00:00Z info server what="all is well"\x1b[2J\u202e"'


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def log(format: str = "text", level: str = "info") -> tuple[EventLog, io.StringIO, Clock]:
    stream, clock = io.StringIO(), Clock()
    return EventLog(LogConfig(format=format, level=level), stream, clock), stream, clock


def connected(client_id: str) -> ClientConnected:
    return ClientConnected("plug", client_id, "192.0.2.7", "tls 0.0.0.0:8883", 5, False, 60)


def test_a_text_line_has_time_level_name_and_fields() -> None:
    write, stream, _ = log()
    write(connected("a"))
    assert stream.getvalue() == (
        "2023-11-14T22:13:20.000Z info    client.connected principal=plug client_id=a address=192.0.2.7 "
        'listener="tls 0.0.0.0:8883" version=5 session_present=False keepalive_s=60\n'
    )


def test_it_says_which_kinds_of_events_are_written_at_its_level() -> None:
    at_info, at_warning = log()[0], log(level="warning")[0]
    assert [at_info.writes(kind) for kind in (ClientConnected, ServerWarning)] == [True, True]
    assert [at_warning.writes(kind) for kind in (ClientConnected, ServerWarning)] == [False, True]


def test_a_peer_cannot_forge_a_line_or_move_the_terminal() -> None:
    write, stream, _ = log()
    write(connected(EVIL))
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert "\x1b" not in line
    assert "\u202e" not in line
    assert r"\x1b[2J" in line


def test_a_backslash_of_a_peer_cannot_pass_for_an_escape() -> None:
    write, stream, _ = log()
    write(connected("a\\nb"))
    assert r'client_id="a\\nb"' in stream.getvalue()


def test_json_is_one_ascii_object_a_line_and_gives_back_what_was_said() -> None:
    write, stream, _ = log("json")
    write(connected(EVIL))
    line = stream.getvalue()
    assert line.isascii()
    assert line.count("\n") == 1
    told = json.loads(line)
    assert told["client_id"] == EVIL
    assert told["event"] == "client.connected"
    assert told["level"] == "info"


def test_a_field_of_a_peer_is_cut_at_its_bound() -> None:
    for format in ("text", "json"):
        write, stream, _ = log(format)
        write(connected("y" * 100_000))
        assert len(stream.getvalue()) < MAX_FIELD_CHARS + 500


def test_what_is_below_the_level_is_left_out() -> None:
    write, stream, _ = log(level="warning")
    write(ServerEvent("started"))
    write(ServerWarning("weakened"))
    assert [line.split()[2] for line in stream.getvalue().splitlines()] == ["server.warning"]


def test_tell_writes_whatever_the_level() -> None:
    write, stream, _ = log(level="error")
    write.tell(ServerWarning("weakened", "allow_plaintext"))
    assert "allow_plaintext" in stream.getvalue()


def test_a_flood_of_one_event_is_cut_and_counted_and_others_are_not_harmed() -> None:
    write, stream, clock = log()
    denied = AccessDenied("plug", "a", "publish", "t", "", "no rule grants this")
    for _ in range(BURST_LINES + 1000):
        write(denied)
    assert stream.getvalue().count("access.denied") == BURST_LINES
    write(ClientDisconnected("plug", "a", "192.0.2.7", "client", 0, ""))
    assert "client.disconnected" in stream.getvalue()
    clock.now += 1 / LINES_PER_S + 0.001
    write(denied)
    assert "left_out=1000" in stream.getvalue().splitlines()[-1]


def test_a_log_that_nobody_reads_any_more_is_given_up_in_silence() -> None:
    write, stream, _ = log()
    stream.close()
    write(ServerEvent("started"))
    write(ServerEvent("stopped"))
