"""Bollard as `bollard up` leaves it: every command that judges it gives it the best grade, with nothing open."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.daemon import Daemon, bollard

pytestmark = pytest.mark.slow
#: That somebody tests as the super-user is not the installation's doing.
OF_THE_TEST = {"DOC-09"} if os.geteuid() == 0 else set()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("up") / "state") as made:
        yield made


def expect_the_best(*arguments: object) -> dict[str, str]:
    """Run a command that judges; its problems are none. The states of its results by check."""
    done = bollard(*arguments, "--json")
    report: dict[str, Any] = json.loads(done.stdout)
    results = report["results"]
    bad = {each["check"] for each in results if each["state"] == "fail" and each["severity"] != "info"}
    assert bad <= OF_THE_TEST
    assert report["grade"]["open"] == len(bad)
    assert [each["check"] for each in results if each["state"] == "inconclusive"] == []
    if not bad:
        assert report["grade"]["letter"] == "A"
        assert done.returncode == 0
    return {each["check"]: each["state"] for each in results}


def test_a_scan_finds_nothing_open(broker: Daemon, tmp_path: Path) -> None:
    target, trusted = f"127.0.0.1:{broker.port}", ("--ca-file", broker.ca_file)
    quick = ("--rate", 100, "--patience", 0, "--listen", 0.5)
    found = expect_the_best("scan", target, *trusted, "--i-am-authorized", "--active", *quick)
    shut = ("SCN-02", "SCN-04", "SCN-05", "SCN-06", "SCN-07", "TLS-02", "TLS-04", "TLS-07", "TLS-08")
    assert {each: found[each] for each in shut} == dict.fromkeys(shut, "pass")


def test_an_audit_finds_nothing_open(broker: Daemon) -> None:
    found = expect_the_best("audit", broker.directory / "bollard.toml")
    assert all(found[each] == "pass" for each in ("CFG-01", "CFG-02", "CFG-04", "CFG-17", "CFG-18", "CFG-26"))


def test_the_doctor_finds_nothing_open(broker: Daemon) -> None:
    found = expect_the_best("doctor", "--dir", broker.directory)
    assert all(found[each] == "pass" for each in ("DOC-01", "DOC-02", "DOC-03", "DOC-05", "DOC-06", "DOC-08"))
    assert all(found[each] == "pass" for each in ("SCN-04", "SCN-25", "TLS-08", "CFG-02"))
