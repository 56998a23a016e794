"""Who opens the keys of the authorities, as users choose it: `bollard up --unlock`, `bollard authority unlock`."""

import base64
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography import x509

from cli.daemon import COMMAND, Daemon, bollard
from support.softhsm import LABEL, PIN, Token
from web.conftest import Est, openssl

PASSPHRASE = "correct horse battery staple"
LISTEN = ("--host", "127.0.0.1", "--port", "0")


class Terminal:
    """A command on a terminal of its own, and what a person sees and types there."""

    def __init__(self, *arguments: object) -> None:
        self.process, self._terminal = pty.fork()
        if self.process == 0:
            os.execv(sys.executable, [*COMMAND, *map(str, arguments)])  # a child, which never returns
        self.seen = ""
        self._read = 0

    def expect(self, text: str, within_s: float = 30.0) -> None:
        """Wait until `text` is seen after what was waited for before."""
        end = time.monotonic() + within_s
        while text not in self.seen[self._read :]:
            assert time.monotonic() < end, self.seen
            if not self._more():
                raise AssertionError(f"it ended: {self.seen}")
        self._read = self.seen.index(text, self._read) + len(text)

    def answer(self, question: str, text: str) -> None:
        self.expect(question + ": ")
        os.write(self._terminal, text.encode() + b"\n")

    def end(self, number: int = 0) -> int:
        """Send a signal, if it is one, read to the end, and return the exit code."""
        if number:
            os.kill(self.process, number)
        while self._more():
            pass
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])

    def _more(self) -> bool:
        try:
            if select.select([self._terminal], [], [], 0.1)[0]:
                data = os.read(self._terminal, 65_536)
                self.seen += data.decode()
                return bool(data)
        except OSError:  # Linux's way to say that the other end is closed
            return False
        return True


def test_a_person_opens_the_keys_from_the_first_run_on(tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = Terminal("up", "--dir", state, *LISTEN, "--unlock", "prompt")
    first.answer("New passphrase of the authorities", PASSPHRASE)
    first.answer("The same passphrase of the authorities again", PASSPHRASE)
    first.expect("listening 127.0.0.1:")
    # The running broker is asked, and asks nobody.
    assert bollard("enroll", "plug", "--certificate", "--out", tmp_path, "--dir", state).returncode == 0
    for place in ("cmdline", "environ"):
        assert PASSPHRASE.encode() not in Path(f"/proc/{first.process}/{place}").read_bytes()
    assert "Max core file size        0 " in Path(f"/proc/{first.process}/limits").read_text()
    assert first.end(signal.SIGTERM) == 0
    assert PASSPHRASE not in first.seen
    assert not (state / "ca.pass").exists()

    second = Terminal("up", "--dir", state)
    second.answer("Passphrase of the authorities", "a wrong one")
    second.expect("That is not the passphrase")
    second.answer("Passphrase of the authorities", PASSPHRASE)
    second.expect("listening 127.0.0.1:")
    assert second.end(signal.SIGTERM) == 0

    alone = bollard("up", "--dir", state, stdin=subprocess.DEVNULL)
    assert alone.returncode == 2
    assert "no terminal to ask for the passphrase" in alone.stderr

    third = Terminal("authority", "unlock", "file", "--dir", state)
    third.answer("Passphrase of the authorities", PASSPHRASE)
    assert third.end() == 0
    assert (state / "ca.pass").exists()


def test_a_first_run_that_nobody_answers_leaves_what_the_next_one_finishes(tmp_path: Path) -> None:
    state = tmp_path / "state"
    alone = bollard("up", "--dir", state, *LISTEN, "--unlock", "prompt", stdin=subprocess.DEVNULL)
    assert alone.returncode == 2
    assert not (state / "ca").exists()
    next_time = Terminal("up", "--dir", state)
    next_time.answer("New passphrase of the authorities", PASSPHRASE)
    next_time.answer("The same passphrase of the authorities again", PASSPHRASE)
    next_time.expect("listening 127.0.0.1:")
    assert next_time.end(signal.SIGTERM) == 0


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Token:
    return Token.make(tmp_path / "hsm", monkeypatch)


def token_words(token: Token) -> tuple[str, ...]:
    return (
        *("--pkcs11-module", str(token.module)),
        *("--pkcs11-token", LABEL),
        *("--pin-file", str(token.pin_file)),
    )


def enroll_over_est(broker: Daemon, folder: Path) -> None:
    if shutil.which("curl") is None or shutil.which("openssl") is None:
        pytest.skip("curl and openssl are needed for EST")
    est, key = Est(broker), folder / "est.key"
    csr = openssl(
        *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-keyout", str(key), "-subj", "/CN=plug", "-outform", "DER"),
    )
    answer = est.enroll("plug", est.token("plug"), base64.b64encode(csr))
    assert answer.status == 200, answer.body
    pem = openssl("pkcs7", "-inform", "DER", "-print_certs", data=base64.b64decode(answer.body))
    certificate = x509.load_pem_x509_certificate(pem)
    authorities = x509.load_pem_x509_certificates((broker.directory / "ca" / "device-ca.crt").read_bytes())
    certificate.verify_directly_issued_by(authorities[0])


def test_a_broker_whose_keys_are_in_a_token_does_all_that_it_does(token: Token, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Daemon(state, arguments=(*LISTEN, "--unlock", "pkcs11", *token_words(token))) as broker:
        string = broker.json("enroll", "joiner", "--token")["token"]
        assert bollard("join", string, "--out", tmp_path / "joiner").returncode == 0
        settings = tmp_path / "joiner" / "joiner.json"
        published = bollard("pub", "--settings", settings, "-t", "devices/joiner/state", "-m", "on", "-q", 1)
        assert published.returncode == 0, published.stderr
        assert broker.run("authority", "crl").returncode == 0
        assert b"BEGIN X509 CRL" in (state / "ca" / "device-ca.crl").read_bytes()
        assert broker.run("authority", "rotate", "device-ca").returncode == 0
        for place in ("cmdline", "environ"):
            assert PIN.encode() not in Path(f"/proc/{broker.process.pid}/{place}").read_bytes()
    assert not (state / "ca.pass").exists()
    assert all(path.read_bytes().startswith(b"pkcs11:") for path in (state / "ca").glob("*.key"))
    configuration = state / "bollard.toml"
    configuration.write_text(f'{configuration.read_text()}\n[est]\nbind = "127.0.0.1:0"\n')
    with Daemon(state) as broker:
        enroll_over_est(broker, tmp_path)
        published = bollard(
            *(
                "pub",
                "--settings",
                settings,
                "-t",
                "devices/joiner/state",
                "-m",
                "on",
                "-q",
                1,
                "-p",
                broker.port,
            )
        )
        assert published.returncode == 0, published.stderr

    token.write_pin("999999")
    refused = bollard("up", "--dir", state)
    assert refused.returncode == 2
    assert "refused the PIN; it was tried once" in refused.stderr
    assert "999999" not in refused.stderr
    assert "Traceback" not in refused.stderr


def test_keys_move_into_a_token_while_the_broker_is_stopped(token: Token, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Daemon(state) as broker:
        while_it_runs = broker.run("authority", "unlock", "pkcs11", *token_words(token))
        assert while_it_runs.returncode == 2
        assert "in use by process" in while_it_runs.stderr
    moved = bollard("authority", "--dir", state, "unlock", "pkcs11", *token_words(token))
    assert moved.returncode == 0, moved.stderr
    assert "device-ca.key, server-ca-rsa.key, server-ca.key" in moved.stdout
    assert not (state / "ca.pass").exists()
    with Daemon(state) as broker:
        assert broker.run("enroll", "plug", "--certificate", "--out", tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("unlock", "pkcs11"), "needs --pkcs11-module"),
        (("unlock", "prompt", "--pin-file", "pin"), "belong to pkcs11"),
        (("unlock", "password"), "is not one of"),
        (
            ("unlock", "pkcs11", "--pkcs11-module", "m", "--pkcs11-token", "t", "--pin-from", "file"),
            "belong together",
        ),
    ],
)
def test_options_that_do_not_belong_together_are_told(
    words: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    (tmp_path / "bollard.toml").write_text("")
    done = bollard("authority", *words, "--dir", tmp_path)
    assert done.returncode == 2
    assert said in done.stderr


def test_the_way_is_chosen_at_the_first_run_and_changed_by_its_command(tmp_path: Path) -> None:
    (tmp_path / "bollard.toml").write_text("")
    done = bollard("up", "--dir", tmp_path, "--unlock", "prompt")
    assert done.returncode == 2
    assert f"authority unlock --dir {tmp_path} prompt" in done.stderr


def test_a_systemd_credential_is_said_to_be_set_up_by_hand(tmp_path: Path) -> None:
    done = bollard("authority", "unlock", "credential", "--dir", tmp_path)
    assert done.returncode == 2
    assert "by hand" in done.stderr
