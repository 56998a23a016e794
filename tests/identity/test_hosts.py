import ipaddress
import socket
from pathlib import Path

import pytest

from bollard.base.errors import LocalError
from bollard.identity import hosts
from bollard.identity.hosts import HostNames, local_names

EMPTY = HostNames("plant.local", (), ())

FIB_TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 192.0.2.0/24 2 0 2
        |-- 192.0.2.7
           /32 host LOCAL
        |-- 192.0.2.255
           /32 link BROADCAST
Local:
        |-- 192.0.2.7
           /32 host LOCAL
"""

IF_INET6 = """\
20010db8000000000000000000000007 02 40 00 80     eth0
20010db80000000000000000000000aa 02 40 00 01     eth0
20010db80000000000000000000000bb 02 40 00 20     eth0
fe800000000000000000000000000007 02 40 20 80     eth0
00000000000000000000000000000001 01 80 10 80       lo
"""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A host with one interface."""
    tables = {"/proc/net/fib_trie": FIB_TRIE, "/proc/net/if_inet6": IF_INET6}
    monkeypatch.setattr(socket, "gethostname", lambda: "Plant.example.net")
    monkeypatch.setattr(hosts, "_read", lambda path: tables[str(path)])
    return monkeypatch


def test_a_host_is_known_by_its_names_and_its_lasting_addresses(machine: pytest.MonkeyPatch) -> None:
    assert local_names() == HostNames(
        "plant.local",
        ("plant.local", "plant.example.net", "plant", "localhost"),
        tuple(map(ipaddress.ip_address, ("127.0.0.1", "192.0.2.7", "::1", "2001:db8::7"))),
    )


@pytest.mark.parametrize(
    ("flag", "lasting"), [(0x01, 0), (0x08, 0), (0x20, 0), (0x40, 0), (0x80, 1), (0x02, 1)]
)
def test_an_address_that_will_go_away_is_left_out(
    machine: pytest.MonkeyPatch, flag: int, lasting: int
) -> None:
    line = f"20010db8000000000000000000000007 02 40 00 {flag:02x} eth0\n"
    machine.setattr(hosts, "_read", lambda path: line if "inet6" in str(path) else "")
    assert len(local_names().addresses) == 2 + lasting


def test_finding_the_names_asks_no_network(machine: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a look-up")

    for function in ("getaddrinfo", "gethostbyname", "gethostbyaddr", "getfqdn", "socket"):
        machine.setattr(socket, function, refuse)
    assert local_names().common_name == "plant.local"


@pytest.mark.parametrize("name", ["bad name", "ünï", "", "-x", "a" * 70])
def test_an_unusable_host_name_leaves_localhost(machine: pytest.MonkeyPatch, name: str) -> None:
    machine.setattr(socket, "gethostname", lambda: name)
    found = local_names()
    assert found.common_name == "localhost"
    assert found.names == ("localhost",)


def test_a_host_name_too_long_for_a_common_name_stays_an_alternative_name(
    machine: pytest.MonkeyPatch,
) -> None:
    machine.setattr(socket, "gethostname", lambda: "a" * 63)
    found = local_names()
    assert found.common_name == "a" * 63
    assert found.names[0] == "a" * 63 + ".local"


def test_a_system_without_these_tables_still_has_loopback(
    machine: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine.undo()
    read = hosts._read
    machine.setattr(hosts, "_read", lambda path: read(tmp_path / "absent"))
    assert local_names().addresses == (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"))


def test_hundreds_of_addresses_do_not_swell_the_certificate(machine: pytest.MonkeyPatch) -> None:
    table = "".join(f"|-- 10.0.0.{i}\n   /32 host LOCAL\n" for i in range(250))
    machine.setattr(hosts, "_read", lambda path: table if "fib" in str(path) else "")
    assert len(local_names().addresses) == hosts.MAX_ADDRESSES


def test_configured_names_come_first_and_once() -> None:
    names = EMPTY.adding(["localhost", "10.0.0.1"]).adding(["MQTT.example.org.", "10.0.0.9", "localhost"])
    assert names.names == ("mqtt.example.org", "localhost")
    assert [str(a) for a in names.addresses] == ["10.0.0.9", "10.0.0.1"]
    assert names.common_name == "plant.local"


@pytest.mark.parametrize(
    "text", ["host:8883", "mqtts://host", "10.0.0.300", "*.example.org", "a..b", "", "1"]
)
def test_a_configured_name_must_be_a_name_or_an_address(text: str) -> None:
    with pytest.raises(LocalError, match="neither a host name nor an address"):
        EMPTY.adding([text])


def test_a_configured_name_is_never_left_out_silently() -> None:
    with pytest.raises(LocalError, match="too many names"):
        EMPTY.adding([f"host-{i}" for i in range(hosts.MAX_NAMES + 1)])
    addresses = [f"10.0.0.{i}" for i in range(hosts.MAX_ADDRESSES + 1)]
    with pytest.raises(LocalError, match="too many names"):
        EMPTY.adding(addresses)
    assert len(EMPTY.adding(addresses[1:]).addresses) == hosts.MAX_ADDRESSES
    full = EMPTY.adding([f"host-{i}" for i in range(hosts.MAX_NAMES)])
    assert "mine.example" in full.adding(["mine.example"]).names
