"""`bollard trap` from the outside: its words, its exit codes, its certificate."""

import json
import re
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from bollard.assess.trap.endpoints import ENDPOINTS, UNSERVED
from bollard.base.errors import LocalError
from bollard.cli.trap import command
from bollard.wire.codec import encode
from bollard.wire.connect import Connect

QUICK = ["--plain-port", "0", "--port", "0", "--attempts", "1", "--linger", "0.5", "--settle", "0.2"]
DEVICE = """
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
if sys.argv[3] == "careless":
    context.check_hostname = False
with context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1]))), server_hostname="127.0.0.1") as s:
    s.sendall(bytes.fromhex("CONNECT"))
    s.recv(100)
""".replace("CONNECT", encode(Connect(version=4, client_id="d", username="u", password=b"p"), 4).hex())


def invoke(*words: str) -> Result:
    return CliRunner().invoke(command, [*QUICK, *words], standalone_mode=False)


def device(folder: Path, setting: str) -> str:
    program = folder / "device.py"
    program.write_text(DEVICE)
    return f"{sys.executable} {program} {{port}} {{cafile}} {setting}"


def test_a_strict_device_ends_with_0_and_gets_its_certificate(tmp_path: Path) -> None:
    page = tmp_path / "plug.html"
    result = invoke(
        "--run", device(tmp_path, "strict"), "--only", "DEV-03", "--device", "plug", "-o", str(page)
    )
    assert (result.return_value, result.exception) == (0, None)
    assert "Grade A" in result.stdout
    text = page.read_text()
    assert "Does this device check who it talks to?" in text
    assert "DEV-03" in text
    assert "plug" in text


def test_the_alert_of_a_strict_device_is_recorded(tmp_path: Path) -> None:
    result = invoke("--run", device(tmp_path, "strict"), "--only", "DEV-01", "--json")
    evidence = json.loads(result.stdout)["results"][0]["evidence"]
    assert evidence["alerts"] == ["unknown_ca"]


def test_a_careless_one_ends_with_1_and_json_says_why(tmp_path: Path) -> None:
    result = invoke("--run", device(tmp_path, "careless"), "--only", "DEV-03", "--json")
    assert (result.return_value, result.exception) == (1, None)
    report = json.loads(result.stdout)
    assert (report["kind"], report["schema"]) == ("trap", "bollard.assessment/1")
    assert [(each["check"], each["state"]) for each in report["results"]] == [("DEV-03", "fail")]
    assert report["results"][0]["evidence"]["credential"][0].startswith("password of 1 bytes, salted hash ")


def test_nobody_came_is_2_and_the_guide_names_everything_to_set(tmp_path: Path) -> None:
    root = tmp_path / "root.crt"
    result = invoke("--wait", "0.5", "--save-root", str(root), "--qr")
    assert (result.return_value, result.exception) == (2, None)
    assert root.read_text() in result.stderr
    for word in ("server   127.0.0.1", "port     ", "/trap-root.crt", "SHA-256", "user name"):
        assert word in result.stderr


def test_addresses_that_strangers_reach_and_unknown_endpoints_are_refused() -> None:
    for wrong in (["--bind", "0.0.0.0"], ["--bind", "8.8.8.8"], ["--bind", "plug"], ["--only", "DEV-21"]):
        result = invoke(*wrong)
        assert result.exception is not None
        assert result.exit_code != 0


def test_an_unknown_endpoint_is_refused_with_those_that_there_are() -> None:
    said = str(invoke("--only", "DEV-99").exception)
    assert "DEV-99" in said.partition(":")[0]
    assert all(each.id in said for each in ENDPOINTS)


@pytest.mark.parametrize("empty", ["", "   "])
def test_an_empty_command_is_a_usage_error(empty: str) -> None:
    assert isinstance(invoke("--run", empty).exception, click.UsageError)


def test_an_unknown_placeholder_is_named_with_those_that_there_are() -> None:
    result = invoke("--run", "mosquitto_sub -h {hostt} -p {port} -t {topic}")
    assert isinstance(result.exception, LocalError)
    said = str(result.exception)
    assert "there is no {hostt}, {topic}" in said
    assert "{host} {port} {plain_port} {cafile} {crlfile} {endpoint}" in said


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_program_that_ends_without_connecting_is_said_without_details(options: tuple[str, ...]) -> None:
    result = invoke("--run", "true", "--wait", "2", "--only", "DEV-01", *options)
    assert result.return_value == 2
    told = result.stderr if options else result.stdout
    assert "The device never came, not even to the good endpoint; its command ended by itself with 0." in told


def test_help_and_the_manual_tell_how_many_ways_are_served_and_which_is_not() -> None:
    numbers = {18: "eighteen", 19: "nineteen", 20: "twenty", 21: "twenty-one"}
    served = numbers[len(ENDPOINTS)]
    (unserved,) = UNSERVED
    told = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    manual = " ".join((Path(__file__).parents[2] / "docs/TRAP.md").read_text("utf-8").split())
    for text in (told, manual):
        assert re.search(rf"in {served} ways", text)
        assert f"{ENDPOINTS[0].id} to {ENDPOINTS[-1].id}" in text
        assert f"{unserved} has none of its own" in text
