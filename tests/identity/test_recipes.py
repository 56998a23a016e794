"""Recipes as data: each is complete, safe to paste, and checked against what its client can do."""

import base64
import hashlib
import json
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bollard.base.errors import LocalError
from bollard.identity.authority import issue_device_certificate
from bollard.identity.recipes import facts
from bollard.identity.recipes.render import FILTERS, NAMES, Fact, fill, recipe
from bollard.identity.registry import Registry
from identity.conftest import NOW, Installation
from server.tools import load_tool

#: What would break out of a string, in one language or another.
NASTY = "a'b\"c\\d$(id)`id`\n#{x}%s end"
RUNNABLE = {"bollard", "paho", "aiomqtt", "mqtt.js", "mosquitto", "openssl"}


@pytest.fixture
def known(pristine: Installation, registry: Registry) -> dict[str, Fact]:
    """Everything that recipes may ask for."""
    registry.add("plug", "device", now=NOW)
    issued = issue_device_certificate(pristine.authorities, registry, "plug", now=NOW)
    root = pristine.authorities.root_file.read_text()
    chain, key = issued.chain_pem.decode(), issued.key_pem.reveal().decode()
    return {
        **facts.connection_facts("plug", "plug", "broker.example", 8883),
        **facts.server_facts(root, pristine.server.rsa_chain.read_bytes()),
        **facts.certificate_facts("plug", chain, key),
        **facts.password_facts("plug", "plug", "S" * 32),
        "filter": "devices/plug/#",
        "topic": "devices/plug/state",
        "ca_file": "/tmp/ca file.crt",
        "cert_file": "/tmp/plug.crt",
        "key_file": "/tmp/plug.key",
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_says_whether_it_is_run_and_can_be_filled_in(name: str, known: dict[str, Fact]) -> None:
    one = recipe(name)
    assert one.tested is (name in RUNNABLE)
    assert one.title
    assert one.texts
    for credential in one.texts:
        one.check(credential, "broker.example")
        text = one.text(credential, known)
        assert "{{" not in text
        assert text.endswith("\n")
        assert ("S" * 32 in text) == (credential == "password" and name != "openssl")


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_with_a_certificate_carries_or_names_the_key(name: str, known: dict[str, Fact]) -> None:
    text = recipe(name).text("certificate", known)
    scalar = known["key_scalar"]
    assert isinstance(scalar, bytes)
    carried = "PRIVATE KEY" in text or base64.b64encode(scalar).decode() in text
    assert carried != ("/tmp/plug.key" in text)


@pytest.mark.parametrize("name", ["json", "shell"])
def test_nothing_breaks_out_of_a_string(name: str) -> None:
    written = FILTERS[name](NASTY)
    if name == "json":
        assert json.loads(written) == NASTY
    else:
        done = subprocess.run(
            ["sh", "-c", f"printf %s {written}"], capture_output=True, text=True, check=True
        )
        assert done.stdout == NASTY


def test_bytes_for_the_shell_arrive_as_they_are() -> None:
    data = bytes(range(256))
    done = subprocess.run(["sh", "-c", f"printf {FILTERS['octal'](data)}"], capture_output=True, check=True)
    assert done.stdout == data


def test_a_recipe_that_names_an_unknown_fact_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        fill("{{nothing}}", {})


def test_a_client_is_refused_a_credential_that_it_cannot_use() -> None:
    blind = replace(recipe("esphome"), texts={"password": "x"})
    with pytest.raises(LocalError, match="cannot use a certificate") as raised:
        blind.check("certificate", "broker.example")
    assert "--password" in raised.value.remedy


def test_a_device_is_not_told_to_connect_to_itself() -> None:
    with pytest.raises(LocalError, match=r"connect to 127\.0\.0\.1") as raised:
        recipe("shelly").check("password", "127.0.0.1")
    assert "public_name" in raised.value.remedy


def test_a_client_that_shares_no_key_type_or_version_is_refused() -> None:
    old = recipe("tasmota")
    for limits in (
        replace(old.limits, server_keys=frozenset({"rsa-1024"})),
        replace(old.limits, tls=frozenset({"1.0"})),
        replace(old.limits, client_keys=frozenset({"ed25519"})),
    ):
        with pytest.raises(LocalError):
            replace(old, limits=limits).check("certificate", "broker.example")


def test_a_certificate_that_is_too_large_for_the_firmware_is_refused(known: dict[str, Fact]) -> None:
    tasmota = recipe("tasmota")
    bound = tasmota.limits.max_client_certificate_bytes
    certificate = known["cert_der"]
    assert isinstance(certificate, bytes)
    assert len(certificate) <= bound
    with pytest.raises(LocalError, match="700 bytes at most"):
        tasmota.text("certificate", {**known, "cert_der": b"x" * (bound + 1)})


def test_tasmotas_fingerprint_is_that_of_its_algorithm() -> None:
    key = rsa.RSAPublicNumbers(65537, (1 << 2047) + 9).public_key()
    # Three lengths, the text, exponent and modulus, the latter without the zero that SSH would put first.
    wire = b"\0\0\0\7ssh-rsa\0\0\0\3\1\0\1\0\0\1\0" + b"\x80" + bytes(254) + b"\x09"
    expected = hashlib.sha1(wire).digest().hex(" ").upper()
    assert facts.tasmota_fingerprint(key) == expected
    assert facts.tasmota_fingerprint(ec.generate_private_key(ec.SECP256R1()).public_key()) == ""


@pytest.mark.parametrize(
    ("host", "place", "option"),
    [
        ("192.0.2.7", "192.0.2.7:8883", "-verify_ip 192.0.2.7"),
        ("2001:db8::7", "[2001:db8::7]:8883", "-verify_ip 2001:db8::7"),
        ("b.example", "b.example:8883", "-verify_hostname b.example -servername b.example"),
    ],
)
def test_addresses_and_names_are_written_as_clients_want_them(host: str, place: str, option: str) -> None:
    found = facts.connection_facts("plug", "plug", host, 8883)
    assert (found["host_port"], found["verify_option"], found["url"]) == (place, option, f"mqtts://{place}")


def test_every_shell_recipe_is_one_that_the_shell_can_read(known: dict[str, Fact], tmp_path: Path) -> None:
    for name in NAMES:
        one = recipe(name)
        if one.language == "sh":
            for credential in one.texts:
                script = tmp_path / "script"
                script.write_text(one.text(credential, known))
                subprocess.run(["sh", "-n", str(script)], check=True)


def test_what_shelly_is_sent_is_json(known: dict[str, Fact]) -> None:
    for credential in ("password", "certificate"):
        lines = recipe("shelly").text(credential, known).splitlines()
        requests = [json.loads(line) for line in lines if line.startswith("{")]
        assert [request["id"] for request in requests] == list(range(1, len(requests) + 1))
        assert requests[0]["params"]["data"] == known["root_pem"]


def test_the_lines_of_mosquitto_quote_a_path_with_a_space(known: dict[str, Fact]) -> None:
    for line in recipe("mosquitto").text("password", known).splitlines():
        words = shlex.split(line)
        assert words[words.index("--cafile") + 1] == "/tmp/ca file.crt"


def test_the_document_shows_the_recipes_as_they_are() -> None:
    tool = load_tool("recipe_reference")
    assert (Path(__file__).parents[2] / "docs" / "RECIPES.md").read_text("utf-8") == tool.text()


@pytest.mark.parametrize("name", [name for name in NAMES if not recipe(name).tested])
def test_whatever_runs_elsewhere_is_not_told_to_connect_to_this_machine(name: str) -> None:
    for credential in recipe(name).texts:
        with pytest.raises(LocalError, match="runs elsewhere"):
            recipe(name).check(credential, "127.0.0.1")
