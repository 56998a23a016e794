"""Where the passphrase comes from that the keys of the authorities are encrypted under.

The keys in `ca/` are PKCS#8, AES-256. The passphrase lies elsewhere: in a file, which protects copies and
backups of `ca/` alone, and more if the file is on other media; or in a systemd credential, which the
machine's TPM may seal. Its strength is its length: the derivation of PKCS#8 is fast, so a short one is
refused.
"""

import base64
import os
from dataclasses import dataclass
from pathlib import Path

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity.files import read_private, write_private

PASS_FILE = "ca.pass"  # noqa: S105 -- a name
CREDENTIAL = "bollard-ca"
#: OpenSSL takes no more than 1023 bytes.
MIN_BYTES, MAX_BYTES = 20, 1023


@dataclass(frozen=True, slots=True)
class Unlock:
    """`way` is "file" or "credential"; `pass_file` None means `ca.pass` in the state directory."""

    way: str = "file"
    pass_file: Path | None = None

    def passphrase(self, directory: Path) -> Secret:
        """The passphrase for the state directory `directory`; a file is made if no key needs it yet.

        `LocalError` if it is missing, open to others, or of no fitting length.
        """
        if self.way == "credential":
            return _fitting(_read_credential(), f"the credential {CREDENTIAL}")
        path = self.pass_file or directory / PASS_FILE
        if not path.exists():
            if _is_needed(directory / "ca"):
                raise LocalError(
                    f"{path} is missing, and the keys of the authorities cannot be opened without it",
                    "Put it back, from its medium or your backup, or say where it is: pass_file in [authorities].",
                )
            write_private(path, base64.b32encode(os.urandom(32)).rstrip(b"=") + b"\n")
        return _fitting(read_private(path), str(path))


#: A file beside `ca/`: what holds where nothing is configured.
BY_FILE = Unlock()


def is_encrypted(pem: bytes) -> bool:
    return b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in pem


def _is_needed(ca: Path) -> bool:
    """Whether a key of `ca` is encrypted: then a new passphrase would open nothing."""
    return any(is_encrypted(read_private(path)) for path in sorted(ca.glob("*.key")))


def _read_credential() -> bytes:
    # systemd sets owner, mode and access list of this directory, so the mode is not ours to judge.
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    try:
        if folder:
            with (Path(folder) / CREDENTIAL).open("rb") as file:
                return file.read(MAX_BYTES + 2)
    except OSError:
        pass
    raise LocalError(
        f"there is no systemd credential {CREDENTIAL}, and the keys of the authorities cannot be opened without it",
        f"Add LoadCredentialEncrypted={CREDENTIAL} to the unit; a command without it needs the running broker.",
    )


def _fitting(text: bytes, place: str) -> Secret:
    text = text.rstrip(b"\r\n")
    if not MIN_BYTES <= len(text) <= MAX_BYTES:
        raise LocalError(
            f"the passphrase in {place} has {len(text)} bytes; it needs {MIN_BYTES} to {MAX_BYTES}",
            "Restore the one that the keys were encrypted under.",
        )
    return Secret(text)
