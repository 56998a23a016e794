"""A broker with EST, and curl and openssl as an EST client of other hands."""

import base64
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cli.daemon import Daemon, eventually

CONFIG = """\
policy = "{policy}"

[[listener]]
bind = "127.0.0.1:0"

[est]
bind = "127.0.0.1:0"
"""
POLICY = """\
version = 1
[template.device]
publish = ["devices/${id}/#"]
"""


@dataclass
class Answer:
    """Status, headers (small letters) and body of an HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)


class Est:
    """EST of a running broker, spoken by curl."""

    def __init__(self, broker: Daemon) -> None:
        self.broker = broker
        found: list[str] = []
        assert eventually(
            lambda: found.extend(re.findall(r"listening (\S+) est", "\n".join(broker.output))) or found
        )
        self.url = f"https://{found[0]}/.well-known/est"

    def curl(self, path: str, *options: object, data: bytes | None = None) -> Answer:
        command = ["curl", "-sS", "--max-time", "10", "-i", "--cacert", str(self.broker.ca_file)]
        if data is not None:
            command += ["--data-binary", "@-"]
        done = subprocess.run(
            [*command, *map(str, options), f"{self.url}/{path}"],
            input=data,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 100"):
            head, _, body = body.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        pairs = (line.partition(": ")[::2] for line in lines)
        return Answer(int(first.split()[1]), {name.lower(): value for name, value in pairs}, body)

    def enroll(self, name: str, secret: str, csr: bytes, kind: str = "application/pkcs10") -> Answer:
        return self.curl("simpleenroll", "-u", f"{name}:{secret}", "-H", f"Content-Type: {kind}", data=csr)

    def token(self, identity: str, *options: str) -> str:
        """Enroll `identity` with a token, and give its secret."""
        text: Any = self.broker.json("enroll", identity, "--token", *options)["token"]
        return str(text).rpartition(".")[2]


class Device:
    """Keys and requests of one device, made by openssl."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.key = folder / f"{name}.key"
        self.crt = folder / f"{name}.crt"

    def csr(self, *key_options: str, subject: str | None = None, extra: tuple[str, ...] = ()) -> bytes:
        """A request as base64 of DER, which is what EST asks for."""
        options = key_options or ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
        if self.key.exists() and not key_options:
            options = ("-key", str(self.key))
        done = openssl(
            "req",
            "-new",
            "-nodes",
            *options,
            *(() if options[0] == "-key" else ("-keyout", str(self.key))),
            "-subj",
            f"/CN={self.name}" if subject is None else subject,
            *extra,
            "-outform",
            "DER",
        )
        return base64.encodebytes(done)

    def keep(self, answer: Answer) -> bytes:
        """The certificate in a response, in PEM, as openssl reads it; also written to a file."""
        assert answer.status == 200, answer.body
        assert answer.headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
        der = openssl("base64", "-d", data=answer.body)
        pem = openssl("pkcs7", "-inform", "DER", "-print_certs", data=der)
        self.crt.write_bytes(pem)
        return pem


def openssl(*arguments: str, data: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def est(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Est]:
    missing = [tool for tool in ("curl", "openssl") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} is not installed: the EST client of these tests")
    folder = tmp_path_factory.mktemp("est")
    folder.chmod(0o700)
    policy = folder / "policy.toml"
    policy.write_text(POLICY)
    config = folder / "bollard.toml"
    config.write_text(CONFIG.format(policy=policy))
    with Daemon(folder, config=config) as broker:
        yield Est(broker)


@pytest.fixture
def device(tmp_path: Path, request: pytest.FixtureRequest) -> Device:
    """A device with a name of its own for each test."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[-60:].strip("-")
    return Device(tmp_path, name)
