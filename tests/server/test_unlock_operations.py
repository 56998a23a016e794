"""Moving the keys of the authorities between the ways of opening them: whole, or as it was."""

import getpass
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bollard.assess.probes.own import AuthorityKeys
from bollard.base.errors import LocalError
from bollard.identity import sealed
from bollard.identity.authority import load_authorities
from bollard.identity.keys import pem_key
from bollard.identity.unlock import PASS_FILE, SEALED_FILE, Unlock
from bollard.server import defaults
from bollard.server.config import Address, Config
from bollard.server.installation import gather
from bollard.server.load import load_config
from bollard.server.state import prepare
from bollard.server.unlock_operations import move
from bollard.server.unlock_settings import write_settings
from bollard.store.audit import log_files
from bollard.store.database import StateLock
from support.softhsm import Token

OLD, NEW = "correct horse battery staple", "another horse battery staple"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("first") / "state"
    prepare(root, Address("127.0.0.1", 18_883))
    return root


@pytest.fixture
def root(first: Path, tmp_path: Path) -> Path:
    """A state directory after its first run; its keys are opened by ca.pass."""
    shutil.copytree(first, tmp_path / "state")
    return tmp_path / "state"


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Token]:
    made = Token.make(tmp_path / "hsm", monkeypatch)
    yield made
    made.leave()


@pytest.fixture(autouse=True)
def person(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the person at the terminal types next."""
    typed: list[str] = []
    monkeypatch.setattr(sealed, "COST", sealed.MIN_COST)
    monkeypatch.setattr(getpass, "getpass", lambda _question: typed.pop(0))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    return typed


def config_of(root: Path) -> Config:
    return load_config(root / "bollard.toml")


def moved(root: Path, to: Unlock) -> None:
    said: list[str] = []
    move(config_of(root), to, said.append)
    assert said == []


def opens(root: Path) -> None:
    """A start by what the configuration says."""
    load_authorities(root, config_of(root).unlock)


def secrets_in(root: Path) -> set[str]:
    return {name for name in (PASS_FILE, SEALED_FILE) if (root / name).exists()}


def test_a_person_takes_over_from_the_file_and_gives_it_back(root: Path, person: list[str]) -> None:
    person += [OLD, OLD]
    moved(root, Unlock("prompt"))
    assert config_of(root).unlock == Unlock("prompt")
    assert secrets_in(root) == {SEALED_FILE}
    person += [OLD]
    opens(root)
    person += [OLD]
    moved(root, Unlock())
    assert secrets_in(root) == {PASS_FILE}
    opens(root)


def test_a_new_passphrase_ends_the_old_one(root: Path, person: list[str]) -> None:
    person += [OLD, OLD]
    moved(root, Unlock("prompt"))
    person += [OLD, NEW, NEW]
    moved(root, config_of(root).unlock)
    person += [OLD, OLD, NEW]
    opens(root)
    assert person == []


def test_a_new_passphrase_needs_the_old_one(root: Path, person: list[str]) -> None:
    person += [OLD, OLD]
    moved(root, Unlock("prompt"))
    before = (root / SEALED_FILE).read_bytes()
    person += [NEW, NEW, NEW, NEW, NEW]
    with pytest.raises(LocalError, match="wrong three times"):
        moved(root, config_of(root).unlock)
    assert (root / SEALED_FILE).read_bytes() == before


def test_a_configuration_that_was_edited_first_is_followed(root: Path, person: list[str]) -> None:
    write_settings(root / "bollard.toml", Unlock("prompt"))
    with pytest.raises(LocalError, match="bollard authority unlock prompt"):
        opens(root)
    person += [OLD, OLD]
    moved(root, Unlock("prompt"))
    person += [OLD]
    opens(root)
    assert secrets_in(root) == {SEALED_FILE}


def test_the_token_takes_the_keys_and_the_files_are_wiped(root: Path, token: Token) -> None:
    before = load_authorities(root)
    held = [os.open(path, os.O_RDONLY) for path in sorted((root / "ca").glob("*.key"))]
    moved(root, token.unlock())
    for handle in held:  # the blocks of the old files, which still have a reader
        assert set(os.read(handle, 65_536)) == {0}
        os.close(handle)
    assert secrets_in(root) == set()
    after = load_authorities(root, token.unlock())
    assert after.device_ca.certificate == before.device_ca.certificate
    assert after.server_ca_rsa.certificate == before.server_ca_rsa.certificate
    for path in (root / "ca").iterdir():
        assert (
            path.name == "server-root.key.enc"
            or "recovery" in path.name
            or b"PRIVATE" not in path.read_bytes()
        )


def test_keys_do_not_come_back_from_a_token(root: Path, token: Token) -> None:
    moved(root, token.unlock())
    token.leave()
    with pytest.raises(LocalError, match="does not give them away"):
        moved(root, Unlock())
    load_authorities(root, token.unlock())


def test_a_passphrase_elsewhere_is_left_and_told(root: Path, tmp_path: Path, person: list[str]) -> None:
    stick = tmp_path / "stick"
    (root / PASS_FILE).rename(stick)
    write_settings(root / "bollard.toml", Unlock(pass_file=stick))
    person += [OLD, OLD]
    done = move(config_of(root), Unlock("prompt"), print)
    assert done.keep_away == stick
    assert stick.exists()
    assert "stick" not in (root / "bollard.toml").read_text()
    person += [OLD]
    opens(root)


def test_a_wrong_pin_moves_nothing(root: Path, token: Token) -> None:
    token.write_pin("999999")
    with pytest.raises(LocalError, match="refused the PIN"):
        moved(root, token.unlock())
    opens(root)
    assert config_of(root).unlock == Unlock()


def test_while_a_broker_runs_nothing_is_moved(root: Path, person: list[str]) -> None:
    with StateLock(root), pytest.raises(LocalError, match="in use by process"):
        moved(root, Unlock("prompt"))
    assert person == []
    opens(root)


def test_a_damaged_key_is_found_before_anything_changes(root: Path, token: Token) -> None:
    key = root / "ca" / "server-ca.key"
    key.write_bytes((root / "ca" / "device-ca.key").read_bytes())
    before = (root / "bollard.toml").read_bytes()
    with pytest.raises(LocalError, match=r"server-ca\.key is damaged"):
        moved(root, token.unlock())
    assert (root / "bollard.toml").read_bytes() == before


def test_a_configuration_that_cannot_be_written_is_told_before_anything_changes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(LocalError, match="nothing was changed") as caught:
        moved(root, Unlock("prompt"))
    assert 'unlock = "prompt"' in caught.value.remedy
    assert secrets_in(root) == {PASS_FILE}


def test_it_is_on_record_who_moved_them(root: Path, person: list[str]) -> None:
    person += [OLD, OLD]
    moved(root, Unlock("prompt"))
    record = b"".join(path.read_bytes() for path in log_files(root / "audit"))
    assert b"authority.unlock" in record
    assert f"uid {os.getuid()}".encode() in record
    assert OLD.encode() not in record


# --- what the doctor sees


def seen(root: Path) -> AuthorityKeys:
    evidence, missing = gather(config_of(root), None, None)
    assert AuthorityKeys not in missing
    return next(each for each in evidence if isinstance(each, AuthorityKeys))


def test_the_doctor_sees_what_a_move_has_left(root: Path, person: list[str]) -> None:
    assert seen(root) == AuthorityKeys(opened_by=str(Unlock()))
    secret = (root / PASS_FILE).read_bytes()
    person += [OLD, OLD]
    moved(root, Unlock("prompt"))
    assert seen(root) == AuthorityKeys(opened_by=str(Unlock("prompt")))
    (root / PASS_FILE).write_bytes(secret)
    assert seen(root).left == (str(root / PASS_FILE),)


def test_the_doctor_sees_keys_that_are_not_encrypted_or_not_in_the_token(root: Path, token: Token) -> None:
    plain = root / "ca" / "device-ca.key"
    plain.write_bytes(pem_key(load_authorities(root).device_ca.key))
    assert seen(root).unprotected == (str(plain),)
    write_settings(root / "bollard.toml", token.unlock())
    left = {Path(path).name for path in seen(root).left}
    assert left == {"device-ca.key", "server-ca-rsa.key", "server-ca.key", PASS_FILE}


# --- the configuration


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# a comment, and no line end",
        "[log]\r\nlevel = 'debug'\r\n",
        "[authorities]  # mine\nunlock = 'file' # why\n",
    ],
)
def test_the_rest_of_the_configuration_stays(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bollard.toml"
    file.write_bytes(text.encode())
    file.chmod(0o644)
    write_settings(file, Unlock("prompt"))
    assert load_config(file).unlock == Unlock("prompt")
    assert file.stat().st_mode & 0o777 == 0o644
    for line in text.splitlines():
        if "unlock" not in line:
            assert line.encode() in file.read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_what_is_written_is_what_is_read(tmp_path: Path, token: Token) -> None:
    token.pin_file.rename(token.folder / 'a "quoted" \\ name')
    wanted = token.unlock(pin_file=token.folder / 'a "quoted" \\ name', label="ein Schl\u00fcssel")
    file = tmp_path / "bollard.toml"
    file.write_text(defaults.config_text(Address("127.0.0.1", 1), wanted))
    assert load_config(file).unlock == wanted
    write_settings(file, Unlock())
    assert load_config(file).unlock == Unlock()
    write_settings(file, wanted)
    assert load_config(file).unlock == wanted


# --- cut off


class Cut(BaseException):
    """The power went."""


@contextmanager
def power_for(steps: int) -> Iterator[list[str]]:
    """Power for so many changes of the disk; from then on none succeeds, so nothing is tidied up either."""
    done: list[str] = []

    def counted(name: str, change: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object, **named: object) -> object:
            if "audit" in str(arguments[0]):
                return change(*arguments, **named)
            if len(done) >= steps:
                raise Cut
            done.append(name)
            return change(*arguments, **named)

        return step

    with pytest.MonkeyPatch.context() as patched:
        for name in ("replace", "unlink"):
            patched.setattr(Path, name, counted(name, getattr(Path, name)))
        patched.setattr(os, "link", counted("link", os.link))
        yield done


def cut_at_every_step(
    first: Path, tmp_path: Path, attempt: Callable[[Path], None], check: Callable[[Path], None]
) -> int:
    """Make `attempt` with power for 0, 1, 2, … steps, each from the start, and `check` what is left; how many."""
    for steps in range(60):
        root = tmp_path / f"cut{steps}"
        shutil.copytree(first, root)
        with power_for(steps) as done:
            try:
                attempt(root)
            except Cut:
                went_through = False
            else:
                went_through = True
        check(root)
        shutil.rmtree(root)
        if went_through and len(done) <= steps:
            return steps
    raise AssertionError("it never went through")


def test_cut_off_anywhere_the_way_to_a_person_opens_and_is_finished(
    first: Path, tmp_path: Path, person: list[str]
) -> None:
    def attempt(root: Path) -> None:
        person[:] = [OLD, OLD]
        moved(root, Unlock("prompt"))

    def check(root: Path) -> None:
        person[:] = [OLD]
        opens(root)
        person[:] = [OLD, OLD, OLD, OLD]
        moved(root, Unlock("prompt"))
        person[:] = [OLD]
        opens(root)
        assert secrets_in(root) == {SEALED_FILE}

    assert cut_at_every_step(first, tmp_path, attempt, check) >= 3


def test_cut_off_anywhere_the_way_to_a_token_opens_and_is_finished(
    first: Path, tmp_path: Path, token: Token
) -> None:
    def attempt(root: Path) -> None:
        moved(root, token.unlock())

    def check(root: Path) -> None:
        token.leave()
        opens(root)
        if int(root.name.removeprefix("cut")) % 3:
            return  # to finish takes long: every third does
        token.leave()
        moved(root, token.unlock())
        assert secrets_in(root) == set()
        assert not list((root / "ca").glob(".*"))
        keys = list((root / "ca").glob("*.key"))
        assert len(keys) == 3
        assert all(re.match(rb"pkcs11:", path.read_bytes()) for path in keys)

    assert cut_at_every_step(first, tmp_path, attempt, check) >= 8
