"""`bollard factory`: from the manufacturer's machine over the buyer's broker to a device that connects."""

import hashlib
import json
import os
import pty
import re
import stat
import subprocess
from base64 import b64encode
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from cli.daemon import COMMAND, Daemon, bollard


class Sheet(HTMLParser):
    """The labels of a sheet, its style sheet, and every element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.elements[-1][0] if self.elements else "", []).append(data)

    @property
    def labels(self) -> list[str]:
        return [text for text in self.texts["code"] if text.startswith("BOLF1:")]


def make(folder: Path, prefix: str, *options: object, count: int = 2) -> dict[str, Any]:
    done = bollard(
        "factory", "make", "--count", count, "--prefix", prefix, "--out", folder / prefix,
        "--key", folder / "factory.key", "--json", *options,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    told["labels"] = Sheet(Path(told["labels_file"]).read_text()).labels
    return told


def take_in(broker: Daemon, batch: dict[str, Any], *options: object) -> subprocess.CompletedProcess[str]:
    words = ("factory", "import", batch["manifest_file"], "--key-fingerprint", batch["key_fingerprint"])
    return broker.run(*words, *options, "--json")


def join(label: str, told: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    at = ("--host", told["host"], "--port", told["port"], "--pin", told["pin"])
    return bollard("join", "-", *at, "--out", folder, input=label + "\n")


def test_a_label_from_the_factory_gets_a_device_in_at_its_buyers_broker(
    broker: Daemon, tmp_path: Path
) -> None:
    batch = make(tmp_path, "METER")
    done = take_in(broker, batch)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["added"], told["there"]) == (2, 0)
    joined = join(batch["labels"][0], told, tmp_path / "device")
    assert joined.returncode == 0, joined.stderr
    settings = tmp_path / "device" / "METER-000001.json"
    sent = bollard("pub", "--settings", settings, "-t", "devices/METER-000001/state", "-m", "on", "-q", 1)
    assert sent.returncode == 0, sent.stderr
    assert broker.json("devices", "show", "METER-000001")["state"] == "active"
    assert broker.json("devices", "show", "METER-000002")["state"] == "pending"

    replayed = join(batch["labels"][0], told, tmp_path / "thief")
    assert replayed.returncode == 2
    assert "another key" in replayed.stderr
    again = json.loads(take_in(broker, batch).stdout)
    assert (again["added"], again["there"], again["expires_at"]) == (0, 2, None)
    replayed = join(batch["labels"][0], told, tmp_path / "thief2")
    assert replayed.returncode == 2
    assert "another key" in replayed.stderr
    secret = batch["labels"][0].rpartition(".")[2]
    assert not broker.logged(secret)
    assert secret not in replayed.stderr + joined.stdout + joined.stderr


def test_the_sheet_is_private_needs_nothing_else_and_has_no_script(tmp_path: Path) -> None:
    batch = make(tmp_path, "SHEET", count=3)
    path = Path(batch["labels_file"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    sheet = Sheet(path.read_text())
    names = [name for name, _ in sheet.elements]
    assert names.count("svg") == names.count("section") == 3
    assert not {"script", "link", "img", "iframe", "a"} & set(names)
    assert not {"src", "href", "style"} & {name for _, attributes in sheet.elements for name in attributes}
    policy = next(a["content"] for n, a in sheet.elements if "http-equiv" in a)
    style = "".join(sheet.texts["style"]).split("</style>")[0]
    digest = b64encode(hashlib.sha256(style.rstrip("\n").encode() + b"\n").digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'"


def test_the_qr_code_of_a_label_is_that_of_its_text(tmp_path: Path) -> None:
    from bollard.cli.factory_labels import render_labels
    from bollard.identity.factory import read_label

    text = make(tmp_path, "CODE", count=1)["labels"][0]
    page = (tmp_path / "CODE" / "labels.html").read_text()
    assert page == render_labels([read_label(text)]).decode()
    other = render_labels([read_label(text[:-1] + ("A" if text[-1] != "A" else "B"))]).decode()
    code = re.compile(r"<path[^>]*>")
    assert code.findall(page) != code.findall(other)


def test_a_second_batch_goes_on_with_the_key_and_never_over_the_first(tmp_path: Path) -> None:
    first = make(tmp_path, "PUMP")
    second = make(tmp_path, "PUMP2", "--start", 3)
    assert (first["key_made"], second["key_made"]) == (True, False)
    assert first["key_fingerprint"] == second["key_fingerprint"]
    assert second["first"] == "PUMP2-000003"
    before = Path(first["labels_file"]).read_bytes()
    again = bollard(
        "factory", "make", "--count", 1, "--prefix", "X", "--out", tmp_path / "PUMP",
        "--key", tmp_path / "factory.key",
    )  # fmt: skip
    assert again.returncode == 2
    assert "exists already" in again.stderr
    assert "does not exist yet" in again.stderr
    assert Path(first["labels_file"]).read_bytes() == before


def test_a_manifest_by_another_key_or_changed_is_refused_and_nothing_enrolled(
    broker: Daemon, tmp_path: Path
) -> None:
    batch = make(tmp_path, "FORGED")
    done = take_in(broker, {**batch, "key_fingerprint": "0" * 64})
    assert done.returncode == 2
    assert "another key" in done.stderr
    path = Path(batch["manifest_file"])
    path.write_text(path.read_text().replace("FORGED-000002", "FORGED-000009"))
    done = take_in(broker, batch)
    assert done.returncode == 2
    assert "changed after it was signed" in done.stderr
    assert not [each for each in broker.json("devices") if each["id"].startswith("FORGED")]


@pytest.mark.parametrize("text", ["zz", "", "3b0c", "g" * 64, "0" * 65])
def test_what_can_be_no_fingerprint_is_said_before_the_manifest_is_read(text: str, tmp_path: Path) -> None:
    missing = tmp_path / "manifest.json"
    done = bollard("factory", "import", missing, "--key-fingerprint", text, "--dir", tmp_path)
    assert done.returncode == 2
    assert "no fingerprint" in done.stderr
    assert "64 hexadecimal digits" in done.stderr
    assert missing.name not in done.stderr


def test_a_batch_needs_a_folder_that_is_new_or_empty(tmp_path: Path) -> None:
    (tmp_path / "EMPTY").mkdir()
    assert make(tmp_path, "EMPTY")["count"] == 2
    (tmp_path / "FILE").write_text("mine")
    done = bollard("factory", "make", "--count", 1, "--prefix", "FILE", "--out", tmp_path / "FILE")
    assert done.returncode == 2
    assert "exists already" in done.stderr
    assert (tmp_path / "FILE").read_text() == "mine"


def test_names_that_are_taken_and_templates_that_are_unknown_are_named(
    broker: Daemon, tmp_path: Path
) -> None:
    broker.json("enroll", "TAKEN-000002")
    done = take_in(broker, make(tmp_path, "TAKEN"))
    assert done.returncode == 2
    assert "TAKEN-000002" in done.stderr
    done = take_in(broker, make(tmp_path, "ODD", "--as", "devise"))
    assert done.returncode == 2
    assert '"device"' in done.stderr
    ids = {each["id"] for each in broker.json("devices")}
    assert not ids & {"TAKEN-000001", "ODD-000001", "ODD-000002"}


def test_the_largest_batch_is_imported_by_a_running_broker_and_audited(
    broker: Daemon, tmp_path: Path
) -> None:
    from bollard.identity.factory import MAX_DEVICES, ensure_key, fingerprint, make_labels, write_manifest

    key, _ = ensure_key(tmp_path / "factory.key")
    path = tmp_path / "manifest.json"
    path.write_bytes(write_manifest(make_labels("L" * 57, start=1, count=MAX_DEVICES), "device", key, now=1))
    batch = {"manifest_file": path, "key_fingerprint": fingerprint(key.public_key())}
    done = take_in(broker, batch)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["added"] == MAX_DEVICES
    entries = "".join(file.read_text() for file in (broker.directory / "audit").glob("*") if file.is_file())
    assert entries.count("identity.enrolled") >= MAX_DEVICES
    assert "audit.lost" not in entries


def test_without_a_fingerprint_somebody_at_a_terminal_has_to_say_yes(broker: Daemon, tmp_path: Path) -> None:
    batch = make(tmp_path, "ASK")
    words = ["factory", "import", batch["manifest_file"], "--dir", str(broker.directory)]
    done = bollard(*words, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert "--key-fingerprint" in done.stderr
    for answer, code in ((b"n\n", 130), (b"y\n", 0)):
        ours, theirs = pty.openpty()
        os.write(ours, answer)
        asked = subprocess.run(
            [*COMMAND, *words], stdin=theirs, capture_output=True, text=True, timeout=50, check=False
        )
        os.close(ours)
        os.close(theirs)
        assert asked.returncode == code, asked.stderr
        assert batch["key_fingerprint"] in asked.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("BOLF1:x." + "A" * 32,),
        ("BOLF1:x." + "A" * 32, "--host", "localhost"),
        ("BOLF1:x." + "A" * 32, "--host", "localhost", "--pin", "short"),
        ("BOLF1:x", "--host", "localhost", "--pin", "A" * 26),
        ("BOL1:x", "--host", "localhost"),
    ],
)
def test_a_label_and_what_is_not_on_it_belong_together(words: tuple[str, ...], tmp_path: Path) -> None:
    done = bollard("join", *words, "--out", tmp_path / "x")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "A" * 32 not in done.stderr
