"""`bollard trap` from the outside: its words, its exit codes, its certificate."""

import json
import sys
from pathlib import Path

from click.testing import CliRunner, Result

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
