"""The whole life of a device over EST, with nothing but curl and openssl, beginning with the pin alone."""

import base64
import hashlib
import shutil
import subprocess
from pathlib import Path

from cli.daemon import bollard, eventually
from web.conftest import Device, Est, openssl


def test_from_the_pin_to_a_renewed_certificate(est: Est, tmp_path: Path) -> None:
    device = Device(tmp_path, "from-the-pin")
    token = str(est.broker.json("enroll", device.name, "--token")["token"])
    pin, _, secret = token.partition("#")[2].split(".")

    # /cacerts from somebody unknown, then the roots against the pin.
    done = subprocess.run(["curl", "-sS", "-k", f"{est.url}/cacerts"], capture_output=True, check=True)
    der = openssl("base64", "-d", data=done.stdout)
    roots = openssl("pkcs7", "-inform", "DER", "-print_certs", data=der)
    (tmp_path / "roots.pem").write_bytes(roots)
    pinned = [root for root in _certificates(roots) if _pin(root) == pin]
    assert len(pinned) == 1

    # /simpleenroll, now with a server that is known.
    request = ("-H", "Content-Type: application/pkcs10")
    known = ("--cacert", tmp_path / "roots.pem")
    answer = est.curl("simpleenroll", *known, "-u", f"{device.name}:{secret}", *request, data=device.csr())
    device.keep(answer)
    assert _publishes(est, device, device.key) == 0

    # /simplereenroll with a new key; the old certificate ends when the new one is used.
    old_key, old_crt = tmp_path / "old.key", tmp_path / "old.crt"
    shutil.copy(device.key, old_key)
    shutil.copy(device.crt, old_crt)
    device.key.unlink()
    csr = device.csr()
    answer = est.curl("simplereenroll", *known, "--cert", old_crt, "--key", old_key, *request, data=csr)
    device.keep(answer)
    assert _publishes(est, device, device.key) == 0
    assert eventually(lambda: _states(est, device) == ["active", "superseded"])
    device.crt = old_crt
    assert _publishes(est, device, old_key) == 1


def _states(est: Est, device: Device) -> list[str]:
    shown = est.broker.json("devices", "show", device.name)
    return sorted(each["state"] for each in shown["certificates"])


def _certificates(pem: bytes) -> list[bytes]:
    blocks = pem.split(b"-----BEGIN CERTIFICATE-----")[1:]
    return [base64.b64decode(block.split(b"-----END")[0]) for block in blocks]


def _pin(der: bytes) -> str:
    return base64.b32encode(hashlib.sha256(der).digest()[:16]).decode().rstrip("=")


def _publishes(est: Est, device: Device, key: Path) -> int:
    return bollard(
        "pub", "-h", "127.0.0.1", "-p", est.broker.port, "--ca-file", est.broker.ca_file,
        "--cert", device.crt, "--key", key, "-t", f"devices/{device.name}/state", "-m", "on", "-q", 1,
    ).returncode  # fmt: skip
