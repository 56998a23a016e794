"""EST as RFC 7030 has it, spoken by curl and openssl; and what is refused, with nothing issued."""

import base64
import json
import socket
import ssl
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cli.daemon import bollard
from web.conftest import Device, Est, openssl


def issued(est: Est, device: Device) -> list[dict[str, str]]:
    shown = est.broker.json("devices", "show", device.name)
    certificates: list[dict[str, str]] = shown["certificates"]
    return certificates


def test_a_device_enrolls_and_connects(est: Est, device: Device) -> None:
    secret = est.token(device.name)
    pem = device.keep(est.enroll(device.name, secret, device.csr()))
    assert pem.count(b"BEGIN CERTIFICATE") == 1
    done = bollard(
        "pub", "-h", "127.0.0.1", "-p", est.broker.port, "--ca-file", est.broker.ca_file,
        "--cert", device.crt, "--key", device.key, "-t", f"devices/{device.name}/state", "-m", "on", "-q", 1,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_cacerts_gives_the_roots_that_devices_trust_and_not_the_device_authority(est: Est) -> None:
    answer = est.curl("cacerts")
    assert answer.status == 200
    text = openssl("pkcs7", "-inform", "DER", "-print_certs", data=openssl("base64", "-d", data=answer.body))
    pinned = est.broker.ca_file.read_bytes()
    for block in pinned.split(b"-----END CERTIFICATE-----")[:-1]:
        assert block.split(b"-----BEGIN CERTIFICATE-----")[1].strip() in text
    assert b"device CA" not in text


def test_bodies_are_base64_at_64_columns_with_a_last_line_end(est: Est) -> None:
    body = est.curl("cacerts").body
    assert body.endswith(b"\n")
    assert {len(line) for line in body.splitlines()[:-1]} == {64}


@pytest.mark.parametrize("form", ["pem", "der", "one line"])
def test_a_request_is_taken_in_any_form(est: Est, device: Device, form: str) -> None:
    der = base64.b64decode(device.csr())
    body = {
        "pem": b"-----BEGIN CERTIFICATE REQUEST-----\n"
        + base64.encodebytes(der)
        + b"-----END CERTIFICATE REQUEST-----\n",
        "der": der,
        "one line": base64.b64encode(der),
    }[form]
    device.keep(est.enroll(device.name, est.token(device.name), body))


def test_the_name_comes_from_the_registry_when_the_request_has_none(est: Est, device: Device) -> None:
    pem = device.keep(est.enroll(device.name, est.token(device.name), device.csr(subject="/")))
    subject = openssl("x509", "-noout", "-subject", "-ext", "extendedKeyUsage", data=pem).decode()
    assert f"CN = {device.name}" in subject
    assert "TLS Web Client Authentication" in subject


def test_the_same_key_may_ask_again_and_gets_the_same_certificate(est: Est, device: Device) -> None:
    secret, csr = est.token(device.name), device.csr()
    first = device.keep(est.enroll(device.name, secret, csr))
    assert device.keep(est.enroll(device.name, secret, csr)) == first
    assert len(issued(est, device)) == 1


def test_a_string_is_spent_once(est: Est, device: Device, tmp_path: Path) -> None:
    secret = est.token(device.name)
    device.keep(est.enroll(device.name, secret, device.csr()))
    (tmp_path / "thief").mkdir()
    thief = Device(tmp_path / "thief", device.name)
    answer = est.enroll(device.name, secret, thief.csr())
    assert answer.status == 403
    assert b"another key" in answer.body
    assert len(issued(est, device)) == 1


@pytest.mark.parametrize(
    ("name", "secret"), [("", "A" * 32), ("nobody", "A" * 32), ("known", "A" * 32), ("known", "")]
)
def test_unknown_names_and_wrong_secrets_get_the_same_answer(est: Est, name: str, secret: str) -> None:
    if "known" not in {each["id"] for each in est.broker.json("devices")}:
        est.token("known")
    answer = est.enroll(name, secret, b"")
    assert (answer.status, answer.body) == (401, b"wrong user name or password\n")
    assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    "header", ["Basic ***", "Basic " + base64.b64encode(b"nocolon").decode(), "Bearer x", ""]
)
def test_no_usable_credentials_are_asked_for(est: Est, header: str) -> None:
    answer = est.curl("simpleenroll", "-H", f"Authorization: {header}", data=b"")
    assert answer.status == 401


def test_the_owner_approves_a_device_that_waits(est: Est, device: Device) -> None:
    secret, csr = est.token(device.name, "--approve"), device.csr()
    answer = est.enroll(device.name, secret, csr)
    assert answer.status == 202
    assert int(answer.headers["retry-after"]) > 0
    enrollment = est.broker.json("devices", "show", device.name)["enrollment"]
    assert enrollment["state"] == "waits for approval"
    assert enrollment["key"] in answer.body.decode()
    assert issued(est, device) == []
    assert est.broker.run("devices", "approve", device.name).returncode == 0
    device.keep(est.enroll(device.name, secret, csr))


def test_a_certificate_is_renewed_with_itself(est: Est, device: Device) -> None:
    first = device.keep(est.enroll(device.name, est.token(device.name), device.csr()))
    old = device.crt.read_bytes()
    answer = est.curl(
        "simplereenroll",
        "--cert", device.crt, "--key", device.key, "-H", "Content-Type: application/pkcs10",
        data=device.csr(),
    )  # fmt: skip
    second = device.keep(answer)
    assert second != first
    assert old == first
    assert [each["state"] for each in issued(est, device)] == ["active", "active"]


def test_renewal_without_a_certificate_is_refused(est: Est, device: Device) -> None:
    answer = est.curl("simplereenroll", "-H", "Content-Type: application/pkcs10", data=device.csr())
    assert answer.status == 401


def test_a_revoked_device_is_not_renewed(est: Est, device: Device) -> None:
    device.keep(est.enroll(device.name, est.token(device.name), device.csr()))
    assert est.broker.run("devices", "revoke", device.name).returncode == 0
    before = issued(est, device)
    answer = est.curl(
        "simplereenroll",
        "--cert", device.crt, "--key", device.key, "-H", "Content-Type: application/pkcs10",
        data=device.csr(),
    )  # fmt: skip
    assert (answer.status, answer.body) == (403, b"this identity is revoked\n")
    assert issued(est, device) == before


def test_a_device_renews_by_the_signature_of_its_old_key(est: Est, device: Device, tmp_path: Path) -> None:
    pem = device.keep(est.enroll(device.name, est.token(device.name), device.csr()))
    csr = tmp_path / "csr.der"
    csr.write_bytes(base64.b64decode(device.csr()))
    signature = openssl("dgst", "-sha256", "-sign", str(device.key), str(csr))
    parts = {
        "certificate": openssl("x509", "-outform", "DER", data=pem),
        "csr": csr.read_bytes(),
        "signature": signature,
    }
    body = {name: base64.b64encode(value).decode() for name, value in parts.items()}
    device.keep(est.curl("bollard-renew", data=json.dumps(body).encode()))
    body["signature"] = base64.b64encode(bytes(70)).decode()
    assert est.curl("bollard-renew", data=json.dumps(body).encode()).status == 403
    assert est.curl("bollard-renew", data=b"{}").status == 400


REFUSED = {
    "no request": (b"rubbish", 400),
    "nothing": (b"", 400),
    "cut off": (None, 400),
    "too large": (b"A" * 20_000, 413),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_malformed_request_leaves_the_string_unspent(est: Est, device: Device, what: str) -> None:
    body, status = REFUSED[what]
    secret = est.token(device.name)
    answer = est.enroll(device.name, secret, device.csr()[:200] if body is None else body)
    assert answer.status == status, answer.body
    assert issued(est, device) == []
    device.keep(est.enroll(device.name, secret, device.csr()))


WEAK = {
    "rsa-1024": ("-newkey", "rsa:1024"),
    "p-521": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"),
    "secp256k1": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"),
    "ed25519": ("-newkey", "ed25519"),
}


@pytest.mark.parametrize("kind", WEAK)
def test_a_weak_or_unknown_key_is_refused(est: Est, device: Device, kind: str) -> None:
    answer = est.enroll(device.name, est.token(device.name), device.csr(*WEAK[kind]))
    assert answer.status == 400, answer.body
    assert b"P-256" in answer.body
    assert issued(est, device) == []


NAMES = {
    "another common name": {"subject": "/CN=admin"},
    "another alternative name": {"extra": ("-addext", "subjectAltName=DNS:broker.local")},
    "an authority": {"extra": ("-addext", "basicConstraints=critical,CA:TRUE")},
}


@pytest.mark.parametrize("what", NAMES)
def test_a_request_for_what_the_identity_is_not_is_refused(est: Est, device: Device, what: str) -> None:
    answer = est.enroll(device.name, est.token(device.name), device.csr(**NAMES[what]))
    assert answer.status == 400, answer.body
    assert issued(est, device) == []


def test_another_content_type_is_refused(est: Est, device: Device) -> None:
    assert est.enroll(device.name, est.token(device.name), device.csr(), "text/plain").status == 415


@pytest.mark.parametrize("path", ["serverkeygen", "", "../../etc/passwd"])
def test_other_paths_are_not_there(est: Est, path: str) -> None:
    assert est.curl(path, data=b"").status in (404, 405)


def test_a_replaced_string_is_worth_nothing(est: Est, device: Device) -> None:
    old = est.token(device.name)
    est.token(device.name)
    assert est.enroll(device.name, old, device.csr()).status == 401


def test_the_broker_lives_through_rubbish_on_the_port(est: Est) -> None:
    parts = urlsplit(est.url)
    assert parts.hostname is not None
    assert parts.port is not None
    for data in (b"GET / HTTP/1.1\r\n\r\n", bytes(200), b"\x16\x03\x01\xff\xff"):
        with socket.create_connection((parts.hostname, parts.port), 5) as plain:
            plain.sendall(data)
    context = ssl.create_default_context(cafile=est.broker.ca_file)
    with (
        socket.create_connection((parts.hostname, parts.port), 5) as raw,
        context.wrap_socket(raw, server_hostname=parts.hostname) as tls,
    ):
        tls.sendall(b"\x00\x01\x02\r\n\r\n")
        assert tls.recv(100).startswith(b"HTTP/1.1 400")
    end = time.monotonic() + 5
    while est.curl("cacerts").status != 200:
        assert time.monotonic() < end
