"""The audit log on disk: a chain in which no change stays unseen, and that survives kills and full disks."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bollard.store import audit as audit_module
from bollard.store.audit import AuditLog, known_keys, log_files, read_lines
from bollard.store.audit_chain import Entry, Head, Line, Verdict, decode_line, verify

NOW = 1_900_000_000.0


def entries(count: int, size: int = 0) -> list[Entry]:
    return [Entry("test", NOW + n, {"number": n, "text": "x" * size}) for n in range(count)]


def opened(folder: Path, max_bytes: int = 1 << 20) -> AuditLog:
    return AuditLog(folder, max_bytes, now=NOW)


def checked(folder: Path, kept: Head | None = None) -> Verdict:
    return verify(read_lines(log_files(folder)), known_keys(folder), kept)


def fault(folder: Path, kept: Head | None = None) -> str:
    return str(checked(folder, kept).fault or "")


def test_a_log_that_nobody_touched_is_whole(tmp_path: Path) -> None:
    log = opened(tmp_path / "audit")
    log.append(entries(3))
    log.change_key(NOW)
    log.append(entries(2))
    verdict = checked(tmp_path / "audit", log.head)
    assert verdict.fault is None
    assert verdict.notes == ()
    assert (verdict.first, verdict.entries, verdict.head) == (1, 7, log.head)


def test_a_log_is_continued_by_the_next_that_opens_it(tmp_path: Path) -> None:
    for _ in range(3):
        log = opened(tmp_path / "audit")
        log.append(entries(2))
        log.change_key(NOW)
        assert log.notes == []
    assert checked(tmp_path / "audit").entries == 10
    assert fault(tmp_path / "audit") == ""


def test_files_and_folder_are_for_their_owner_alone(tmp_path: Path) -> None:
    opened(tmp_path / "audit").append(entries(1))
    assert (tmp_path / "audit").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "audit").iterdir()} == {0o600}


def test_text_of_peers_cannot_break_a_line_nor_pose_as_our_fields(tmp_path: Path) -> None:
    log = opened(tmp_path / "audit")
    evil = '","sig":"' + "A" * 86 + '=="}\n{"n":9\x1b[2J\ud800'
    log.append(
        [Entry("test", NOW, {"topic": evil, "n": 99, "sig": "mine", "prev": "mine", "long": "y" * 10_000})]
    )
    line = list(read_lines(log_files(tmp_path / "audit")))[-1].data
    record = decode_line(line)
    assert record["n"] == 2
    assert record["topic"] == evil
    assert len(record["long"]) == 500
    assert line.isascii()
    assert line.decode().isprintable()
    assert fault(tmp_path / "audit") == ""


def test_old_files_go_when_there_are_too_many_and_the_log_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    log = opened(folder, 64 * 1024)
    for _ in range(60):
        log.append(entries(10, size=300))
    verdict = checked(folder, log.head)
    assert verdict.fault is None
    assert verdict.first > 1
    assert "were removed to make room" in verdict.notes[0]
    assert sum(path.stat().st_size for path in log_files(folder)) <= 64 * 1024
    assert "was removed to make room" in checked(folder, Head(1, "0" * 64)).notes[0]


def test_removing_old_files_without_an_entry_that_says_so_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    log = opened(folder)
    for _ in range(3):
        log.append(entries(1000, size=100))
    assert len(log_files(folder)) > 1
    log_files(folder)[0].unlink()
    assert "no entry says that they were removed" in fault(folder)


def test_a_torn_last_line_is_told_and_is_no_tampering(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    log = opened(folder)
    log.append(entries(3))
    before = log.head
    with log_files(folder)[-1].open("ab") as file:
        file.write(b'{"n":5,"time":"2030')
    verdict = checked(folder)
    assert verdict.fault is None
    assert "torn" in verdict.notes[0]
    again = opened(folder)
    assert "19 bytes at the end were torn off" in again.notes[0]
    assert again.head.number == before.number + 1
    assert decode_line(list(read_lines(log_files(folder)))[-1].data)["kind"] == "audit.torn"
    assert fault(folder, before) == ""


def test_a_last_line_nested_deeper_than_the_stack_is_no_entry_and_the_log_goes_on(tmp_path: Path) -> None:
    """Attack: one such line, and neither the broker starts nor anybody is told what happened to its log."""
    folder = tmp_path / "audit"
    log = opened(folder)
    log.append(entries(3))
    with log_files(folder)[-1].open("ab") as file:
        file.write(b"[" * 30_000 + b"\n")
    assert "not an entry: it is nested too deep" in fault(folder)
    again = opened(folder)
    again.append(entries(1))
    assert "its last line is no entry" in again.notes[0]
    assert "not an entry: it is nested too deep" in fault(folder)


@pytest.mark.parametrize("cut", [1, 50, 200])
def test_a_log_whose_very_first_line_is_torn_begins_again(tmp_path: Path, cut: int) -> None:
    folder = tmp_path / "audit"
    opened(folder)
    path = log_files(folder)[0]
    path.write_bytes(path.read_bytes()[:cut])
    again = opened(folder)
    again.append(entries(1))
    assert again.notes
    assert fault(folder) == ""


def test_a_new_file_whose_first_line_is_torn_begins_again_with_a_key(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    log = opened(folder, 64 * 1024)
    log.append(entries(40, size=300))
    number = log.head.number + 1
    (folder / f"audit-{number:010}.log").write_bytes(b'{"n":')
    again = opened(folder, 64 * 1024)
    assert "torn off" in again.notes[0]
    for _ in range(60):
        again.append(entries(10, size=300))
    verdict = checked(folder, again.head)
    assert verdict.fault is None
    assert verdict.first > number


@pytest.mark.parametrize("step", ["before", "after"])
def test_a_kill_while_the_key_changes_leaves_a_log_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    folder = tmp_path / "audit"
    log = opened(folder)
    saves = []

    def killed(path: Path, data: bytes) -> None:
        saves.append(data)
        if step == "after" and len(saves) == 1:
            path.write_bytes(data)
            return
        raise KeyboardInterrupt

    monkeypatch.setattr(audit_module, "write_private", killed)
    with pytest.raises(KeyboardInterrupt):
        log.change_key(NOW)
    monkeypatch.undo()
    (folder / "key").chmod(0o600)
    again = opened(folder)
    again.append(entries(2))
    again.change_key(NOW)
    assert again.notes == []
    assert fault(folder) == ""


def test_the_old_key_is_gone_after_a_change(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    log = opened(folder)
    old = (folder / "key").read_text()
    log.change_key(NOW)
    assert old.strip() not in (folder / "key").read_text()
    assert len(known_keys(folder)) == 1


def test_the_end_cut_off_before_a_change_of_key_is_found_without_a_kept_head(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    log = opened(folder)
    log.append(entries(4))
    log.change_key(NOW)
    path = log_files(folder)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    assert "cut off, or the log was exchanged" in fault(folder)
    again = opened(folder)
    assert "begun anew" in again.notes[0]
    assert "begun anew here: its signing key is another one" in fault(folder)


def test_the_end_cut_off_after_the_last_change_of_key_is_found_by_a_kept_head_alone(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    log = opened(folder)
    log.append(entries(4))
    path = log_files(folder)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]))
    assert fault(folder) == ""
    assert "it ends with entry 3" in fault(folder, log.head)


def test_a_log_written_anew_from_its_first_key_is_found_by_a_kept_head_alone(tmp_path: Path) -> None:
    log = opened(tmp_path / "audit")
    log.append(entries(4))
    forged = opened(tmp_path / "forged")
    forged.append(entries(6))
    assert fault(tmp_path / "forged") == ""
    assert "written anew" in fault(tmp_path / "forged", log.head)


def test_a_missing_key_is_told_by_the_next_start_and_by_every_check_after_it(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    opened(folder).append(entries(1))
    (folder / "key").unlink()
    again = opened(folder)
    again.append(entries(1))
    assert "its signing key is missing" in again.notes[0]
    assert ":1: the log was begun anew here" in fault(folder)


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 300)


def _lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"half a line")


def _remove_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


@pytest.mark.parametrize("harm", [_cut, _lengthen, Path.unlink, _remove_folder])
def test_harm_to_the_files_in_use_is_noticed_at_the_next_entry_and_loses_none_after_it(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    folder = tmp_path / "audit"
    log = opened(folder)
    log.append(entries(3))
    before = log.head
    harm(log_files(folder)[0])
    log.append(entries(2))
    log.change_key(NOW)
    log.append(entries(1))
    assert "cut, lengthened or removed while it was in use" in log.notes[0]
    lines = [decode_line(line.data) for line in read_lines(log_files(folder)[-1:])]
    assert [line["kind"] for line in lines] == ["audit.began", "test", "test", "audit.key", "test"]
    assert lines[0]["n"] == before.number + 1
    assert fault(folder)
    assert fault(folder, before)
    again = opened(folder)
    assert again.head == log.head
    assert stat_mode(folder) == 0o700


def stat_mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_disk_that_takes_nothing_leaves_the_log_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "audit"
    log = opened(folder)
    log.append(entries(1))
    before = log_files(folder)[0].read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        log.append(entries(5))
    monkeypatch.undo()
    assert log_files(folder)[0].read_bytes() == before
    log.append(entries(1))
    assert fault(folder) == ""


def test_bits_that_base64_leaves_unused_cannot_be_changed_either(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    opened(folder).append(entries(1))
    path = log_files(folder)[0]
    data = path.read_bytes()
    at = data.rindex(b'=="}') - 1
    other = {b"A": b"B", b"Q": b"R", b"g": b"h", b"w": b"x"}[data[at : at + 1]]
    path.write_bytes(data[:at] + other + data[at + 1 :])
    assert fault(folder).startswith(f"{path.name}:2: its signature is wrong")


def test_the_first_bad_line_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    opened(folder).append(entries(9))
    path = log_files(folder)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b'"number":3', b'"number":4')
    path.write_bytes(b"".join(lines))
    assert fault(folder).startswith(f"{path.name}:5: its signature is wrong")


# Every change -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The lines of a log of two files and three keys."""
    folder = tmp_path_factory.mktemp("sound") / "audit"
    log = opened(folder, 64 * 1024)
    log.append(entries(15, size=200))
    log.change_key(NOW)
    log.append(entries(15, size=300))
    log.append(entries(8))
    assert len(log_files(folder)) == 2
    return [line.data for line in read_lines(log_files(folder))]


def judged(lines: list[bytes]) -> Verdict:
    count = len(lines)
    return verify(Line("f", n, data, last=n == count) for n, data in enumerate(lines, 1))


def test_lines_as_they_were_written_have_no_fault(sound: list[bytes]) -> None:
    assert judged(sound).fault is None


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_found_in_its_own_line(sound: list[bytes], data: st.DataObject) -> None:
    row = data.draw(st.integers(0, len(sound) - 1))
    place = data.draw(st.integers(0, len(sound[row]) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte not in (sound[row][place], 10)))
    changed = sound[row][:place] + bytes([other]) + sound[row][place + 1 :]
    verdict = judged([*sound[:row], changed, *sound[row + 1 :]])
    assert verdict.fault is not None
    assert verdict.fault.line == row + 1


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_deletion_in_the_middle_is_found(sound: list[bytes], data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(sound) - 2))
    end = data.draw(st.integers(begin + 1, len(sound) - 1))
    verdict = judged([*sound[:begin], *sound[end:]])
    assert verdict.fault is not None
    assert verdict.fault.line in (0, begin + 1)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), data=st.data())
def test_any_other_order_and_any_repetition_is_found(
    sound: list[bytes], seed: int, data: st.DataObject
) -> None:
    mixed = list(sound)
    if data.draw(st.booleans()):
        mixed.insert(data.draw(st.integers(0, len(sound))), data.draw(st.sampled_from(sound)))
    else:
        random.Random(seed).shuffle(mixed)
    assert (judged(mixed).fault is None) == (mixed == sound)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_whole_end_cut_off_is_found_by_a_head_behind_the_cut(
    sound: list[bytes], data: st.DataObject
) -> None:
    whole = judged(sound)
    left = data.draw(st.integers(1, len(sound) - 1))
    count = left
    lines = (Line("f", n, line, last=n == count) for n, line in enumerate(sound[:left], 1))
    assert verify(lines, kept=whole.head).fault is not None


def test_lines_of_another_log_are_found(sound: list[bytes], tmp_path: Path) -> None:
    other = opened(tmp_path / "audit")
    other.append(entries(len(sound)))
    strange = [line.data for line in read_lines(log_files(tmp_path / "audit"))]
    for row in (1, 10, len(sound) - 1):
        verdict = judged([*sound[:row], strange[row], *sound[row + 1 :]])
        assert verdict.fault is not None
        assert verdict.fault.line == row + 1


@pytest.mark.parametrize("text", ["", "x", "1", "1:", "1:abc", "-1:" + "0" * 64, "1:" + "g" * 64])
def test_a_head_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal"):
        Head.read(text)


def test_a_head_reads_what_it_writes() -> None:
    head = Head(7, "ab" * 32)
    assert Head.read(str(head)) == head
