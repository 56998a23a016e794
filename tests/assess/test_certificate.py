"""What a server's certificate says, in evidence; and clients with certificates."""

import asyncio
import ssl
from pathlib import Path

import pytest

from assess.rooms import room
from assess.servers import Server, context, mint, silent
from bollard.assess.probes import certificate
from bollard.assess.probes.certificate import describe
from bollard.assess.probes.evidence import Leaf, NoAnswer


def leaf(folder: Path, ca_file: Path | None = None, **changes: object) -> Leaf:
    files = mint(folder, **changes)  # type: ignore[arg-type]  # passed on as they came
    with Server(silent, context(folder, certificate=files)) as server:
        (found,) = asyncio.run(certificate.probe_certificate(room(server.port, "tls", ca_file=ca_file)))
    return found


def test_a_certificate_is_described(tmp_path: Path) -> None:
    found = leaf(tmp_path)
    assert found.subject == "CN=localhost"
    assert found.self_signed
    assert found.name_matches
    assert (found.key, found.key_bits, found.signature_hash) == ("secp256r1", 256, "sha256")
    assert found.not_before < found.read_at < found.not_after
    assert not found.trusted
    assert found.trusted_by == "system authorities"


def test_the_given_authority_makes_it_trusted(tmp_path: Path) -> None:
    found = leaf(tmp_path, tmp_path / "cert.pem")
    assert found.trusted
    assert found.trusted_by == "given CA file"


def test_another_authority_does_not(tmp_path: Path) -> None:
    other, _ = mint(tmp_path / "other")
    found = leaf(tmp_path, other)
    assert not found.trusted
    assert found.trust_fault


def test_a_weak_key_is_still_described(tmp_path: Path) -> None:
    with Server(silent, context(tmp_path, certificate=mint(tmp_path, key="2048"))) as server:
        (found,) = asyncio.run(certificate.probe_certificate(room(server.port, "tls")))
    assert (found.key, found.key_bits) == ("RSA", 2048)


def test_a_common_name_alone_does_not_match(tmp_path: Path) -> None:
    found = leaf(tmp_path, names=())
    assert found.common_name == "localhost"
    assert not found.name_matches


def test_bytes_that_are_no_certificate_are_evidence() -> None:
    assert describe(b"\x30\x03\x02\x01\x00", room(1, "tls"), "").unreadable


@pytest.mark.parametrize(
    ("name", "wanted", "covers"),
    [
        ("a.example", "A.example.", True),
        ("*.example", "a.example", True),
        ("*.example", "a.b.example", False),
        ("*.example", "example", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("::1", "0:0::1", True),
        ("127.0.0.1", "127.0.0.2", False),
    ],
)
def test_names_cover_names(name: str, wanted: str, covers: bool) -> None:
    assert certificate._covers(name, wanted) is covers


def test_without_tls_there_is_no_certificate() -> None:
    with pytest.raises(NoAnswer):
        asyncio.run(certificate.probe_certificate(room(1, "tcp")))


def test_a_server_that_wants_a_certificate_turns_strangers_away(tmp_path: Path) -> None:
    files = mint(tmp_path)
    mutual = context(tmp_path, certificate=files, client_ca=files[0])
    with Server(silent, mutual) as server:
        (found,) = asyncio.run(certificate.probe_client_certificates(room(server.port, "tls", active=True)))
    assert (found.without, found.foreign) == ("closed", "closed")


def test_the_certificate_of_a_mutual_server_of_tls_12_is_read_from_its_hello(tmp_path: Path) -> None:
    from bollard.assess.probes import hello

    files = mint(tmp_path)
    mutual = context(tmp_path, certificate=files, client_ca=files[0], highest=ssl.TLSVersion.TLSv1_2)
    with Server(silent, mutual) as server:
        place = room(server.port, "tls")
        asyncio.run(hello.probe_tls(place))
        (found,) = asyncio.run(certificate.probe_certificate(place))
    assert found.subject == "CN=localhost"
