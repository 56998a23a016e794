"""A PKCS#11 token for tests: SoftHSM2 with a directory of its own."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from bollard.identity.unlock import TokenSettings, Unlock

MODULES = [
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    *sorted(Path("/usr/lib").glob("*/softhsm/libsofthsm2.so")),
    Path("/usr/local/lib/softhsm/libsofthsm2.so"),
]
PIN, LABEL = "271828", "plant"


def module() -> Path:
    """The module, or the test is skipped."""
    pytest.importorskip("pkcs11", reason="the extra pkcs11 is not installed")
    found = next((path for path in MODULES if path.exists()), None)
    if found is None or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM2 is not installed (apt install softhsm2)")
    return found.resolve()


@dataclass
class Token:
    """One token that is ready, with its PIN in a file. The environment names it to this process and its children."""

    folder: Path
    module: Path

    @classmethod
    def make(cls, folder: Path, patch: pytest.MonkeyPatch) -> "Token":
        (folder / "tokens").mkdir(parents=True)
        token = cls(folder, module())
        token._tell(patch)
        token.add(LABEL)
        token.write_pin(PIN)
        return token

    @classmethod
    def copied(cls, source: Path, folder: Path, patch: pytest.MonkeyPatch) -> "Token":
        """A token like the one in `source`, with its keys."""
        shutil.copytree(source, folder)
        token = cls(folder, module())
        token._tell(patch)
        return token

    def _tell(self, patch: pytest.MonkeyPatch) -> None:
        conf = self.folder / "softhsm2.conf"
        tokens = f"directories.tokendir = {self.folder / 'tokens'}"
        conf.write_text(f"{tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
        patch.setenv("SOFTHSM2_CONF", str(conf))

    @property
    def pin_file(self) -> Path:
        return self.folder / "pin"

    def write_pin(self, pin: str) -> None:
        self.pin_file.write_text(pin + "\n")
        self.pin_file.chmod(0o600)

    def add(self, label: str) -> None:
        """Initialize one more token."""
        words = ["--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "314159"]
        subprocess.run(["softhsm2-util", *words], check=True, capture_output=True, env=dict(os.environ))

    def settings(self, **changes: object) -> TokenSettings:
        about = {"module": self.module, "label": LABEL, "pin_from": "file", "pin_file": self.pin_file}
        return TokenSettings(**(about | changes))  # type: ignore[arg-type]

    def unlock(self, **changes: object) -> Unlock:
        """What a process says that starts now."""
        self.leave()
        return Unlock("pkcs11", token=self.settings(**changes))

    def leave(self) -> None:
        """What the end of a process does: sessions end, and with them the login."""
        import pkcs11

        pkcs11.lib(str(self.module)).finalize()
