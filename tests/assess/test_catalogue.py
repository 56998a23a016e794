"""The catalogue as a whole: complete rows, known words, standards, and the document made of it."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bollard.assess import catalogue
from bollard.assess.model import Definition
from bollard.assess.probes.table import BESIDE, OF_HOST, PROBES

ROOT = Path(__file__).parent.parent.parent
DEFINITIONS = [check.definition for check in catalogue.checks()]
PRODUCTS = {"mosquitto", "emqx", "nanomq", "hivemq", "vernemq", "rabbitmq", "amqtt", "bollard"}


@pytest.fixture(params=DEFINITIONS, ids=lambda each: each.id)
def definition(request: pytest.FixtureRequest) -> Definition:
    found: Definition = request.param
    return found


def test_ids_are_unique_and_in_order() -> None:
    ids = [each.id for each in DEFINITIONS]
    assert ids == sorted(set(ids))


def test_all_scanner_and_tls_checks_are_there() -> None:
    ids = {each.id for each in DEFINITIONS}
    assert {f"SCN-{n:02d}" for n in range(1, 39)} | {f"TLS-{n:02d}" for n in range(1, 17)} <= ids


def test_a_row_is_complete(definition: Definition) -> None:
    for text in (definition.title, definition.owner_text, definition.technical_text, definition.remedy):
        assert text.strip() == text != ""
    assert re.fullmatch(r"[A-Z]{3}-\d\d", definition.id)
    assert definition.group in catalogue.GROUPS
    assert definition.evidence in catalogue.EVIDENCE
    assert definition.cwe > 0
    assert definition.requires


#: Words of the field, which mean nothing to an owner.
JARGON = re.compile(
    r"\$|#|0x|\b(?:ACL|API|CRL|CVE|CVSS|CWE|DNS|IP|MQTT|OCSP|QoS|SCRAM|SSL|TCP|TLS|URL|VPN)\b|\b(?:authorit|authenticat|broker"
    r"|certificate|cipher|client|cluster|cookie|credential|daemon|filter|firewall|handshake|hash|header|keep ?alive|listener"
    r"|loopback|localhost|origin|packet|payload|plaintext|port\b|protocol|publish|retain|revo[ck]|root\b|session|socket"
    r"|subscri|suite|token|topic|wildcard)",
    re.IGNORECASE,
)


def test_the_owner_reads_one_sentence_of_plain_words(definition: Definition) -> None:
    assert re.fullmatch(r"[A-Z][^.!?]{20,149}\.", definition.owner_text)
    assert not JARGON.search(definition.owner_text)


def test_the_owner_reads_what_to_ask_for_in_plain_words(definition: Definition) -> None:
    assert re.fullmatch(r"[A-Z][^.!?]{20,149}\.", definition.owner_remedy)
    assert not JARGON.search(definition.owner_remedy)


def test_remedies_name_known_products(definition: Definition) -> None:
    assert set(definition.remediation) <= PRODUCTS


def test_every_group_is_in_some_standard(definition: Definition) -> None:
    assert definition.relevant


def test_no_standard_speaks_of_compliance() -> None:
    for each in catalogue.standards():
        assert "complian" not in (each.name + each.note).lower()


def test_nine_standards_are_mapped_to_known_groups() -> None:
    assert len(catalogue.standards()) == 9
    for each in catalogue.standards():
        assert set(each.groups) <= set(catalogue.GROUPS)


@pytest.mark.parametrize("id", [each.id for each in DEFINITIONS if each.subject in ("listener", "host")])
def test_every_evidence_that_a_scan_needs_has_a_probe_or_a_reason(id: str) -> None:
    (definition,) = [each for each in DEFINITIONS if each.id == id]
    gathered = {kind.__name__ for probe in (*PROBES, BESIDE, OF_HOST) for kind in probe.gives}
    gathered |= {"Listeners"}
    assert set(definition.requires) <= gathered


def test_checks_do_no_input_or_output() -> None:
    """A check that could look for itself could no longer judge recorded evidence."""
    forbidden = {
        "asyncio",
        "socket",
        "ssl",
        "time",
        "random",
        "secrets",
        "subprocess",
        "websockets",
        "threading",
    }
    folder = ROOT / "src" / "bollard" / "assess"
    for file in (*(folder / "checks").glob("*.py"), folder / "model.py", folder / "probes" / "evidence.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in names} & forbidden, file


def test_the_document_is_made_from_the_catalogue() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "checks_reference.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
