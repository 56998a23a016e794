"""What opens the keys of the authorities: the ways, and where each finds its secret.

    file         a passphrase in a file: protects copies and backups of `ca/` alone, and more if the file is on
                 other media
    credential   a passphrase in a systemd credential, which the machine's TPM may seal
    prompt       a person's passphrase, asked for at the start; what it opens is in `sealed.py`
    pkcs11       the keys are in a token and do not leave it; a PIN opens the token

The keys in `ca/` are PKCS#8, AES-256, for all but the last. The strength of a passphrase of `file` and
`credential` is its length: the derivation of PKCS#8 is fast, so a short one is refused.
"""

import base64
import os
from dataclasses import dataclass, field
from pathlib import Path

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity.files import read_private, write_private
from bollard.identity.keys import ByPassphrase, Keys, is_encrypted
from bollard.identity.prompt import TRIES, ask, ask_new, say_wrong
from bollard.identity.sealed import MAX_FILE_BYTES, seal, unseal

PASS_FILE = "ca.pass"  # noqa: S105 -- a name
SEALED_FILE = "ca.sealed"
CREDENTIAL, PIN_CREDENTIAL = "bollard-ca", "bollard-pin"
#: OpenSSL takes no more than 1023 bytes.
MIN_BYTES, MAX_BYTES = 20, 1023
MAX_PIN_BYTES = 255


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """Where the token is: the PKCS#11 `module` (a shared library), the token's `label`, and where its PIN is:
    `pin_from` is "prompt", "file" (then `pin_file`) or "credential"."""

    module: Path
    label: str
    pin_from: str = "prompt"
    pin_file: Path | None = None

    @property
    def said_pin(self) -> str:
        """Where the PIN comes from, in words."""
        if self.pin_from == "file":
            return f"its PIN is in {self.pin_file}"
        if self.pin_from == "credential":
            return f"its PIN is the systemd credential {PIN_CREDENTIAL}"
        return "each start asks for its PIN"

    def read_pin(self) -> Secret:
        """The PIN, text of 1 to 255 bytes. `LocalError` if it is missing, open to others or no such text; then
        the token was not asked, and has counted nothing."""
        if self.pin_from == "prompt":
            typed = ask(f"PIN of the token {self.label}")
            if not _may_be_pin(typed.reveal()):
                raise LocalError(
                    f"what was typed is no PIN: it needs 1 to {MAX_PIN_BYTES} bytes of text",
                    f"The token {self.label} was not asked, and no try is lost: start again.",
                )
            return typed
        place = f"the credential {PIN_CREDENTIAL}"
        if self.pin_from == "file" and self.pin_file is not None:
            place, text = str(self.pin_file), read_private(self.pin_file, follow=True)
        else:
            text = _read_credential(PIN_CREDENTIAL, "the token")
        text = text.rstrip(b"\r\n")
        if not _may_be_pin(text):
            raise LocalError(f"{place} holds no PIN", "It holds the PIN and nothing else, on one line.")
        return Secret(text)


@dataclass(frozen=True, slots=True)
class Unlock:
    """`way` is "file", "credential", "prompt" or "pkcs11"; the last has a `token`.

    `pass_file` None means `ca.pass` in the state directory. A person is asked once in the life of the process,
    and a token logged in to once: a running broker that reads its authorities again has nobody to ask, and a
    PIN that was changed meanwhile must not be tried until the token locks itself.
    """

    way: str = "file"
    pass_file: Path | None = None
    token: TokenSettings | None = None
    _opened: dict[Path, Keys] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __str__(self) -> str:
        """What opens the keys, as a sentence without its end."""
        if self.way == "credential":
            return f"the systemd credential {CREDENTIAL} opens the authorities' keys"
        if self.way == "prompt":
            return "a person's passphrase opens the authorities' keys; each start asks for it"
        if self.way == "pkcs11" and self.token is not None:
            return f"the authorities' keys are in the token {self.token.label}; {self.token.said_pin}"
        if self.pass_file is not None:
            return f"the passphrase in {self.pass_file} opens the authorities' keys"
        return (
            f"{PASS_FILE} in the state directory opens the authorities' keys: it protects copies of ca/ alone"
        )

    def keys(self, directory: Path) -> Keys:
        """The keys of the state directory `directory`, opened. `LocalError` if they cannot be."""
        if self.way in ("file", "credential"):
            return ByPassphrase(self.passphrase(directory))
        if directory not in self._opened:
            self._opened[directory] = self._open(directory)
        return self._opened[directory]

    def passphrase(self, directory: Path) -> Secret:
        """What the keys in files are encrypted under; it is made anew if no key needs it yet.

        `LocalError` if it is missing, open to others, or of no fitting length; or for a token.
        """
        if self.way == "credential":
            return _fitting(_read_credential(CREDENTIAL, "the keys of the authorities"), _named(CREDENTIAL))
        if self.way == "prompt":
            return _ask_passphrase(directory)
        if self.way == "pkcs11":
            raise LocalError("the keys of the authorities are in a token, which does not give them away")
        path = self.file(directory)
        if not path.exists():
            if is_needed(directory / "ca"):
                raise LocalError(
                    f"{path} is missing, and the keys of the authorities cannot be opened without it",
                    "Put it back, from its medium or your backup, or say where it is: pass_file in [authorities].",
                )
            write_private(path, new_passphrase().reveal() + b"\n")
        return _fitting(read_private(path, follow=True), str(path))

    def file(self, directory: Path) -> Path:
        """The file that `way` "file" reads."""
        return self.pass_file or directory / PASS_FILE

    def _open(self, directory: Path) -> Keys:
        if self.way == "prompt":
            return ByPassphrase(self.passphrase(directory))
        assert self.token is not None
        try:
            from bollard.identity.pkcs11 import open_token
        except ImportError:
            raise LocalError(
                'unlock = "pkcs11" needs a library that is not installed', "pip install 'bollard[pkcs11]'"
            ) from None
        return open_token(self.token, directory, left_in_files(directory))


#: A file beside `ca/`: what holds where nothing is configured.
BY_FILE = Unlock()


def new_passphrase() -> Secret:
    """256 random bits, as text."""
    return Secret(base64.b32encode(os.urandom(32)).rstrip(b"="))


def is_needed(ca: Path) -> bool:
    """Whether a key of `ca` is encrypted: then a new passphrase would open nothing."""
    return any(is_encrypted(read_private(path)) for path in sorted(ca.glob("*.key")))


def left_in_files(directory: Path) -> ByPassphrase | None:
    """What opens the keys that a move to a token has not reached; None if there are none.

    The move puts the passphrase into `ca.pass` first, and takes it away last.
    """
    if not is_needed(directory / "ca"):
        return None
    path = directory / PASS_FILE
    if not path.exists():
        raise LocalError(
            f"keys in {directory / 'ca'} are still in files, and {path} is missing, which opens them",
            "Write the unlock that they had, and move them: bollard authority unlock pkcs11",
        )
    return ByPassphrase(_fitting(read_private(path, follow=True), str(path)))


def write_sealed(directory: Path, secret: Secret) -> None:
    """Ask for a new passphrase, and seal `secret` under it. `LocalError` leaves what was there."""
    text = seal(secret, ask_new("passphrase of the authorities"))
    write_private(directory / SEALED_FILE, text)


def _ask_passphrase(directory: Path) -> Secret:
    path = directory / SEALED_FILE
    if not is_needed(directory / "ca"):
        secret = new_passphrase()
        write_sealed(directory, secret)
        return secret
    if not path.exists():
        raise LocalError(
            f"{path} is missing, and the keys of the authorities cannot be opened without it",
            "Put it back from your backup. If the keys were opened in another way until now: "
            "bollard authority unlock prompt",
        )
    if path.stat().st_size > MAX_FILE_BYTES:
        raise LocalError(f"{path} is damaged: it is too large", "Restore it from your backup.")
    text = read_private(path)
    for _ in range(TRIES):
        secret_or_none = unseal(text, ask("passphrase of the authorities"))
        if secret_or_none is not None:
            return secret_or_none
        say_wrong("passphrase of the authorities")
    raise LocalError("the passphrase of the authorities was wrong three times", "Nothing was changed.")


def _read_credential(name: str, what: str) -> bytes:
    # systemd sets owner, mode and access list of this directory, so the mode is not ours to judge.
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    try:
        if folder:
            with (Path(folder) / name).open("rb") as file:
                return file.read(MAX_BYTES + 2)
    except OSError:
        pass
    raise LocalError(
        f"there is no systemd credential {name}, and {what} cannot be opened without it",
        f"Add LoadCredentialEncrypted={name} to the unit; a command without it needs the running broker.",
    )


def _named(credential: str) -> str:
    return f"the credential {credential}"


def _may_be_pin(text: bytes) -> bool:
    try:
        return 1 <= len(text) <= MAX_PIN_BYTES and text.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _fitting(text: bytes, place: str) -> Secret:
    text = text.rstrip(b"\r\n")
    if not MIN_BYTES <= len(text) <= MAX_BYTES:
        raise LocalError(
            f"the passphrase in {place} has {len(text)} bytes; it needs {MIN_BYTES} to {MAX_BYTES}",
            "Restore the one that the keys were encrypted under.",
        )
    return Secret(text)
