"""The server root replaced under a running broker, before devices of three kinds: one that joined, one with
a password and a file, one that speaks EST by curl and openssl. Nobody is dropped, and nobody is surprised."""

import shutil
import ssl
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from bollard.base.errors import LocalError
from bollard.server.ask import ask
from bollard.server.load import load_config
from bollard.server.requests import AskAuthority, Enroll, Enrolled, RotateAuthority, WhyConnection
from cli.daemon import Daemon, bollard, eventually
from server.test_revocation import tool
from web.conftest import CONFIG, POLICY, Device, Est

PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"
ROOT = "server-root.crt"


class Scene:
    """A broker, and three devices that are connected."""

    def __init__(self, folder: Path, broker: Daemon, config: Path) -> None:
        self.folder = folder
        self.broker = broker
        self.config = load_config(config)
        self.est = Est(broker)
        self.sheet = self.put_away("old-sheet.txt")
        self.links: list[Any] = []
        self.joined = self.join("joined")
        by_hand = self.ask(Enroll("by-hand"))
        self.by_hand = self.link("by-hand", broker.ca_file, password=by_hand.password)
        self.over_est = Device(folder, "over-est")
        self.est_root = folder / "est-root.pem"
        shutil.copy(broker.ca_file, self.est_root)
        secret = self.ask(Enroll("over-est", "token")).token.rpartition(".")[2]
        self.over_est.keep(self.est.enroll("over-est", secret, self.over_est.csr()))

    def ask(self, request: Any) -> Any:
        return ask(self.config, request)

    def put_away(self, name: str) -> str:
        """Move the recovery sheet off the broker's directory; its text."""
        there = Path(self.ask(AskAuthority()).recovery_file)
        assert stat.S_IMODE(there.stat().st_mode) == 0o600
        return there.rename(self.folder / name).read_text()

    def join(self, name: str) -> Any:
        done = bollard("join", self.ask(Enroll(name, "token")).token, "--out", self.folder / name)
        assert done.returncode == 0, done.stderr
        return self.link(name, self.folder / name / ROOT, certificate=self.folder / name / name)

    def link(self, name: str, root: Path, password: str = "", certificate: Path | None = None) -> Any:
        """A connection that stays, of `name`, which trusts `root`."""
        files = (certificate.with_suffix(".crt"), certificate.with_suffix(".key")) if certificate else ()
        chain, key = (file.read_text() for file in files) if files else ("", "")
        enrolled = Enrolled(
            id=name, client_id=name, template="device", host="127.0.0.1", port=self.broker.port, ca_file="",
            root_pem=root.read_text(), username=name if password else "", password=password,
            chain_pem=chain, key_pem=key,
        )  # fmt: skip
        made = tool.Device(enrolled, self.folder, 5)
        made.enrolled = enrolled
        assert made.connect(will=False) == 0
        self.links.append(made)
        return made

    def again(self, link: Any, root: Path) -> int:
        """Connect anew, as `link`, with what `root` holds now. No resumption: the chain is verified."""
        made = tool.Device(
            structs.replace(link.enrolled, id="again", root_pem=root.read_text()), self.folder, 5
        )
        try:
            return int(made.connect(will=False))
        finally:
            made.close()

    def fetch_by_est(self, *options: object) -> None:
        """What the EST device does: fetch the roots over what it trusts, with its certificate, and keep them."""
        answer = self.est.curl("cacerts", "--cacert", self.est_root, *options)
        assert answer.status == 200
        self.est_root.write_bytes(roots_of(answer.body))

    def everybody_lives(self) -> bool:
        for link in self.links:
            link._socket.sendall(PINGREQ)
            if link._socket.recv(2) != PINGRESP:
                return False
        return True

    def why(self, identity: str) -> Any:
        return self.ask(WhyConnection(identity))

    def standing(self) -> tuple[tuple[str, ...], ...]:
        following = self.ask(AskAuthority()).next_root
        return following.ready, following.waiting, following.unknown


def roots_of(body: bytes) -> bytes:
    der = subprocess.run(["openssl", "base64", "-d"], input=body, capture_output=True, check=True).stdout
    command = ["openssl", "pkcs7", "-inform", "DER", "-print_certs"]
    return subprocess.run(command, input=der, capture_output=True, check=True).stdout


def roots_in(path: Path) -> int:
    return path.read_text().count("BEGIN CERTIFICATE")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    missing = [tool for tool in ("curl", "openssl") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} is not installed: the EST client of these tests")
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "policy.toml").write_text(POLICY)
    config = tmp_path / "state" / "bollard.toml"
    config.write_text(CONFIG.format(policy=tmp_path / "state" / "policy.toml"))
    with Daemon(tmp_path / "state", config=config) as broker:
        made = Scene(tmp_path, broker, config)
        yield made
        for link in made.links:
            link.close()


def test_the_root_is_replaced_and_only_who_was_left_behind_notices(scene: Scene, tmp_path: Path) -> None:
    broker, old = scene.broker, tmp_path / "old-root.crt"
    joined_root = tmp_path / "joined" / ROOT
    shutil.copy(broker.ca_file, old)
    scene.ask(RotateAuthority("server-root"))
    assert scene.standing() == ((), ("joined", "over-est"), ("by-hand",))
    assert scene.everybody_lives()
    assert [scene.again(link, old) for link in (scene.joined, scene.by_hand)] == [0, 0]

    # Devices fetch the new root, each in its way, over connections that the old one verifies.
    renewed = bollard("join", "--renew", tmp_path / "joined")
    assert (renewed.returncode, roots_in(joined_root)) == (0, 4), renewed.stderr
    scene.fetch_by_est()
    assert scene.standing() == (("joined",), ("over-est",), ("by-hand",)), "nobody has said who fetched"
    scene.fetch_by_est("--cert", scene.over_est.crt, "--key", scene.over_est.key)
    assert roots_in(scene.est_root) == 4
    assert scene.standing() == (("joined", "over-est"), (), ("by-hand",))

    # The end waits for whom nobody knows of, and needs the sheet of the new root.
    sheet = scene.put_away("new-sheet.txt")
    with pytest.raises(LocalError, match="by-hand") as refused:
        scene.ask(RotateAuthority("server-root", sheet, finish=True))
    assert "bollard authority handed" in refused.value.remedy
    with pytest.raises(LocalError, match="does not open the roots"):
        scene.ask(RotateAuthority("server-root", scene.sheet, finish=True, force=True))
    assert scene.standing() == (("joined", "over-est"), (), ("by-hand",))
    ended = scene.ask(RotateAuthority("server-root", sheet, finish=True, force=True))

    assert ended.next_root is None
    assert roots_in(broker.ca_file) == 2
    assert scene.everybody_lives()
    assert scene.again(scene.joined, joined_root) == 0
    files = scene.over_est.crt.with_suffix("")
    scene.link("over-est", scene.est_root, certificate=files)
    for link in (scene.joined, scene.by_hand):
        with pytest.raises(ssl.SSLCertVerificationError):
            scene.again(link, old)

    # The broker says so, to whoever asks why, until the device has what it needs.
    scene.by_hand.close()
    assert eventually(lambda: scene.why("by-hand").connected == 0)
    told = scene.why("by-hand")
    assert told.layer == "tls"
    assert "the server root was replaced" in told.text
    assert "does not trust our server certificate" in told.text
    assert "server-root.crt" in told.remedy
    assert scene.again(scene.by_hand, broker.ca_file) == 0
    assert [scene.why(name).layer for name in ("by-hand", "joined")] == ["", ""]

    # Who asks again drops the old root, and a new device joins by the new pin.
    assert bollard("join", "--renew", tmp_path / "joined").returncode == 0
    assert joined_root.read_bytes() == broker.ca_file.read_bytes()
    scene.join("late")
    passphrase = sheet.partition("Passphrase:  ")[2].split()[0]
    assert len(passphrase) > 30
    assert not broker.logged(passphrase)
    assert passphrase not in str(refused.value)
