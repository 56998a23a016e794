"""Credentials that were given for a scan: files that cannot be used, and users whom nobody lets in."""

import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from assess.rooms import room
from assess.servers import Server, context, mint, says
from bollard.assess.given import told
from bollard.assess.probes.evidence import Doors, Entry
from bollard.assess.probes.room import Identity
from bollard.base.types import Secret
from bollard.cli import report, scan

QUICK = ("--rate", "1000", "--timeout", "1", "--listen", "0", "--patience", "0")
REFUSE_311 = b"\x20\x02\x00\x05"
ACCEPT_311 = b"\x20\x02\x00\x00"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(scan.command, [*map(str, arguments), *QUICK], standalone_mode=False)


def refused_before_scanning(*arguments: object) -> str:
    """What the command says when it ends before a connection is made."""
    with Server(says(REFUSE_311)) as server:
        done = run(f"127.0.0.1:{server.port}", *arguments)
        assert server.connections == 0
    assert done.exception is not None
    assert getattr(done.exception, "exit_code", None) == 2
    return str(done.exception)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key."""
    folder = tmp_path / "pair"
    folder.mkdir()
    return mint(folder)


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "wrong.txt"
    path.write_text("correct-horse\n")
    return path


@pytest.fixture
def garbage(tmp_path: Path) -> Path:
    path = tmp_path / "garbage"
    path.write_bytes(b"\x30\x82 no PEM")
    return path


def test_a_certificate_without_its_key_is_refused(pair: tuple[Path, Path]) -> None:
    said = refused_before_scanning("--cert", pair[0])
    assert str(pair[0]) in said
    assert "--key is needed" in said


def test_one_file_may_hold_certificate_and_key(pair: tuple[Path, Path], tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(pair[0].read_bytes() + pair[1].read_bytes())
    with Server(says(ACCEPT_311)) as server:
        done = run(f"mqtt://127.0.0.1:{server.port}", "--cert", both, "--only", "SCN-04")
    assert done.exception is None


def test_files_that_are_no_pem_are_named_with_what_is_expected(
    pair: tuple[Path, Path], garbage: Path, tmp_path: Path
) -> None:
    cert, key = pair
    empty = tmp_path / "empty"
    empty.touch()
    for bad in (garbage, empty):
        for arguments, expected in (
            (("--cert", bad, "--key", key), "BEGIN CERTIFICATE"),
            (("--cert", cert, "--key", bad), "BEGIN PRIVATE KEY"),
            (("--ca-file", bad), "BEGIN CERTIFICATE"),
        ):
            said = refused_before_scanning(*arguments)
            assert str(bad) in said
            assert expected in said


def test_damaged_pem_a_foreign_key_and_a_locked_one_are_refused(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    cert, key = pair
    damaged = tmp_path / "damaged.pem"
    damaged.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    other = tmp_path / "other"
    other.mkdir()
    locked = tmp_path / "locked.key"
    locked.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
    assert str(damaged) in refused_before_scanning("--cert", damaged, "--key", key)
    assert str(damaged) in refused_before_scanning("--ca-file", damaged)
    assert "do not belong together" in refused_before_scanning("--cert", cert, "--key", mint(other)[1])
    assert "pass phrase" in refused_before_scanning("--cert", cert, "--key", locked)


@pytest.mark.parametrize("first_line", ["", "\n", "\r\nsecret\n", "x" * 65_536])
def test_a_password_file_whose_first_line_is_none_is_wrong_usage(first_line: str, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text(first_line, newline="")
    said = refused_before_scanning("-u", "hand", "--password-file", path)
    assert "--password-file" in said
    assert str(path) in said


def test_the_password_of_nobody_is_wrong_usage(password: Path) -> None:
    assert "--second-username" in refused_before_scanning("--second-password-file", password)


def test_credentials_that_are_let_in_nowhere_end_with_2_and_are_told(password: Path) -> None:
    with Server(says(REFUSE_311)) as server:
        target = f"mqtt://127.0.0.1:{server.port}"
        arguments = ("-u", "hand", "--password-file", password, "--allow-exposed-password", "--json")
        done = run(target, *arguments, "--fail-on", "never")
    document = json.loads(done.stdout)
    (note,) = [each for each in document["notes"] if "given credentials" in each]
    left_out = [
        each
        for each in document["results"]
        if each["state"] == "not-tested" and "credentials" in each["observed"]
    ]
    assert left_out
    assert note.startswith(
        f"{target}: none of the given credentials was let in (hand: the password was sent, "
    )
    assert f"{len(left_out)} checks were left out" in note
    assert "refused with 0x" in note
    assert note in done.stderr
    assert f"{len(left_out)} checks were left out" in done.stderr
    assert "correct-horse" not in done.output
    assert done.return_value == 2


def test_a_password_that_was_withheld_is_told(password: Path) -> None:
    with Server(says(REFUSE_311)) as server:
        target = f"mqtt://127.0.0.1:{server.port}"
        done = run(target, "-u", "hand", "--password-file", password, "--only", "SCN-04")
    assert "hand: the password was not sent without TLS; --allow-exposed-password does" in done.stderr
    assert done.return_value == 2


def test_a_scan_that_goes_on_still_knows_who_was_let_in_nowhere(password: Path, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    with Server(says(REFUSE_311)) as server:
        words = (f"mqtt://127.0.0.1:{server.port}", "-u", "hand", "--password-file", password)
        codes = [run(*words, "--only", "SCN-04", "--resume", state).return_value for _ in range(2)]
    assert codes == [2, 2]


def test_who_is_let_in_is_no_matter_for_a_note(password: Path) -> None:
    with Server(says(ACCEPT_311)) as server:
        target = f"mqtt://127.0.0.1:{server.port}"
        arguments = ("-u", "hand", "--password-file", password, "--allow-exposed-password", "--json")
        done = run(target, *arguments, "--only", "SCN-02", "--fail-on", "never")
    assert not [each for each in json.loads(done.stdout)["notes"] if "let in" in each]
    assert "credentials" not in done.stderr
    assert done.return_value == 0


def test_a_password_that_no_proven_server_may_have_is_told(password: Path, tmp_path: Path) -> None:
    with Server(says(REFUSE_311), context(tmp_path)) as server:
        target = f"mqtts://localhost:{server.port}"
        done = run(target, "-u", "hand", "--password-file", password, "--only", "SCN-04")
    assert "none of the given credentials was let in (hand: " in done.stderr
    assert "password was sent" not in done.stderr
    assert done.return_value == 2


def test_a_scan_without_any_answer_ends_with_2() -> None:
    with Server(says(REFUSE_311)) as server:
        done = run(f"mqtt://127.0.0.1:{server.port}", "--only", "SCN-07")
    assert "Nothing could be looked at" in done.stdout
    assert done.return_value == 2


def test_who_alone_is_not_let_in_is_named_and_nothing_counts_as_left_out() -> None:
    pair = tuple(Identity(label=name, username=name, password=Secret(b"x")) for name in ("ann", "bob"))
    no, yes = Entry(version=5, outcome="refused", code=0x86), Entry(version=5, outcome="accepted")
    doors = Doors(anonymous=(no,), invented=no, empty_password=no, no_password=no, old_version=no)
    at = room(1883, identities=pair, versions={"ann": 5})
    doors = msgspec.structs.replace(doors, given=(yes, yes, no, no))
    note = told("mqtt://x:1", at, doors, "", ())
    assert note == "mqtt://x:1: not everybody was let in (bob: the password was sent, and refused with 0x86)"
    assert "not tried: too busy" in told("mqtt://x:1", at, None, "too busy", ())


def test_a_report_without_any_answer_fails_a_build_and_can_still_be_rendered(tmp_path: Path) -> None:
    saved = tmp_path / "saved.json"
    with Server(says(REFUSE_311)) as server:
        run(f"mqtt://127.0.0.1:{server.port}", "--only", "SCN-07", "-o", saved)
    for words, code in (([], 0), (["--fail-on", "high"], 2)):
        done = CliRunner().invoke(report.command, [str(saved), *words], standalone_mode=False)
        assert done.return_value == code
