"""Asking on a terminal; the person is a function that types into a pseudo-terminal."""

import getpass
import os
import sys
import termios
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity import prompt, sealed, unlock
from bollard.identity.authority import create_authorities, load_authorities
from bollard.identity.unlock import SEALED_FILE, Unlock

from .conftest import NOW

PASSPHRASE = "correct horse battery staple"
Typing = Callable[..., list[str]]


@pytest.fixture
def typing(monkeypatch: pytest.MonkeyPatch) -> Typing:
    """`typing(a, b, …)` answers the questions to come, and gives the list of those that were asked."""

    def answers(*texts: str) -> list[str]:
        waiting, asked = list(texts), list[str]()

        def one(question: str) -> str:
            asked.append(question)
            if not waiting:
                raise EOFError
            return waiting.pop(0)

        monkeypatch.setattr(getpass, "getpass", one)
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        return asked

    return answers


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "COST", sealed.MIN_COST)


@pytest.fixture
def by_person(state: Path) -> Path:
    """A state directory whose keys a person opens."""
    secret = Unlock().passphrase(state)
    (state / SEALED_FILE).write_bytes(sealed.seal(secret, Secret(PASSPHRASE.encode())))
    (state / SEALED_FILE).chmod(0o600)
    (state / unlock.PASS_FILE).unlink()
    return state


def test_the_first_run_asks_twice_and_never_again_in_this_process(tmp_path: Path, typing: Typing) -> None:
    asked = typing(PASSPHRASE, PASSPHRASE)
    by_prompt = Unlock("prompt")
    create_authorities(tmp_path, now=NOW, unlock=by_prompt)
    load_authorities(tmp_path, by_prompt).reload()
    assert len(asked) == 2
    assert (tmp_path / SEALED_FILE).stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / unlock.PASS_FILE).exists()
    asked = typing(PASSPHRASE)
    load_authorities(tmp_path, Unlock("prompt"))
    assert len(asked) == 1


def test_one_that_is_too_short_or_differs_is_asked_for_again(
    tmp_path: Path, typing: Typing, capsys: pytest.CaptureFixture[str]
) -> None:
    typing("fifteen letters", PASSPHRASE, PASSPHRASE + " ", PASSPHRASE, PASSPHRASE)
    unlock.write_sealed(tmp_path, Secret(b"x"))
    said = capsys.readouterr().err
    assert "needs 16 characters" in said
    assert "not the same" in said
    assert PASSPHRASE not in said


def test_after_three_that_will_not_do_nothing_was_written(tmp_path: Path, typing: Typing) -> None:
    typing("a", "b", "c", PASSPHRASE, PASSPHRASE)
    with pytest.raises(LocalError, match="no new passphrase"):
        unlock.write_sealed(tmp_path, Secret(b"x"))
    assert os.listdir(tmp_path) == []


def test_three_wrong_ones_end_the_start_and_are_not_repeated(by_person: Path, typing: Typing) -> None:
    asked = typing("wrong 1", "wrong 2", "wrong 3", PASSPHRASE)
    with pytest.raises(LocalError, match="wrong three times") as caught:
        load_authorities(by_person, Unlock("prompt"))
    assert len(asked) == 3
    assert "wrong 1" not in str(caught.value)


def test_the_third_may_be_right(by_person: Path, typing: Typing) -> None:
    typing("wrong 1", "wrong 2", PASSPHRASE)
    load_authorities(by_person, Unlock("prompt"))


def test_letters_count_whichever_way_a_keyboard_composes_them(tmp_path: Path, typing: Typing) -> None:
    typing("p\u00e4ssphrase of lands", "pa\u0308ssphrase of lands")
    unlock.write_sealed(tmp_path, Secret(b"x"))


def test_without_a_terminal_nobody_is_asked(by_person: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open() as nothing:
        for stdin in (nothing, None):
            monkeypatch.setattr(sys, "stdin", stdin)
            with pytest.raises(LocalError, match="no terminal") as caught:
                load_authorities(by_person, Unlock("prompt"))
            assert "systemd credential" in caught.value.remedy


def test_a_terminal_that_would_show_it_is_refused(typing: Typing, monkeypatch: pytest.MonkeyPatch) -> None:
    typing("never")

    def shown(question: str) -> str:
        warnings.warn("Can not control echo on the terminal.", getpass.GetPassWarning, stacklevel=2)
        raise AssertionError("it was read although it would be shown")

    monkeypatch.setattr(getpass, "getpass", shown)
    with pytest.raises(LocalError, match="would show"):
        prompt.ask("passphrase")


def test_an_end_of_the_input_is_told(typing: Typing) -> None:
    typing()
    with pytest.raises(LocalError, match="no passphrase was given"):
        prompt.ask("passphrase")


def test_a_flood_is_refused(typing: Typing) -> None:
    typing("x" * 2000)
    with pytest.raises(LocalError, match="longer than 1024"):
        prompt.ask("passphrase")


def test_a_missing_sealed_file_is_not_made_anew(by_person: Path, typing: Typing) -> None:
    typing(PASSPHRASE, PASSPHRASE)
    (by_person / SEALED_FILE).unlink()
    with pytest.raises(LocalError, match=r"ca\.sealed is missing"):
        load_authorities(by_person, Unlock("prompt"))
    assert not (by_person / SEALED_FILE).exists()


def test_a_sealed_file_that_is_huge_or_open_to_others_is_refused(by_person: Path, typing: Typing) -> None:
    asked = typing(PASSPHRASE)
    file = by_person / SEALED_FILE
    file.chmod(0o644)
    with pytest.raises(LocalError, match="open to other users"):
        load_authorities(by_person, Unlock("prompt"))
    with file.open("ab") as opened:
        opened.truncate(2**40)
    with pytest.raises(LocalError, match="too large"):
        load_authorities(by_person, Unlock("prompt"))
    assert asked == []


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Standard input is a pseudo-terminal, and there is no other; the end of the person who types."""
    ours, theirs = os.openpty()
    with open(theirs, closefd=True) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        real = os.open

        def no_other(path: object, *rest: object, **more: object) -> int:
            if path == "/dev/tty":
                raise OSError
            return real(path, *rest, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(os, "open", no_other)
        yield ours
    os.close(ours)


def test_what_is_typed_is_not_echoed(terminal: int, capfd: pytest.CaptureFixture[str]) -> None:
    echoing = termios.tcgetattr(sys.stdin.fileno())[3] & termios.ECHO

    def person() -> None:
        while termios.tcgetattr(sys.stdin.fileno())[3] & termios.ECHO:
            pass
        os.write(terminal, PASSPHRASE.encode() + b"\n")

    typist = threading.Thread(target=person, daemon=True)
    typist.start()
    said = prompt.ask("passphrase")
    typist.join()
    assert said.reveal() == PASSPHRASE.encode()
    assert echoing
    os.set_blocking(terminal, False)
    try:
        echoed = os.read(terminal, 4096)
    except BlockingIOError:
        echoed = b""
    assert PASSPHRASE.encode() not in echoed
