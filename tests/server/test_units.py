"""Sizes, durations, addresses and networks as people write them."""

from pathlib import Path

import pytest

from bollard.server.config import Address
from bollard.server.units import (
    MAX_SOCKET_PATH_BYTES,
    is_loopback,
    parse_address,
    parse_duration,
    parse_host,
    parse_network,
    parse_size,
)

BASE = Path("/etc/bollard")


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        (0, 0),
        (65_536, 65_536),
        ("64KiB", 65_536),
        ("1 MiB", 1_048_576),
        ("1.5kB", 1500),
        ("7B", 7),
        ("2GB", 2 * 10**9),
    ],
)
def test_a_size_is_bytes_or_has_a_unit(text: object, bytes_: int) -> None:
    assert parse_size(text) == bytes_


@pytest.mark.parametrize("value", ["", "KiB", "5", "5 KB!", "-1B", "1.5B", True, 1.5, None, "1e3kB", "5KIB"])
def test_what_is_no_size_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"a size|a whole number of bytes"):
        parse_size(value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (5, 5.0),
        (0.5, 0.5),
        ("30s", 30.0),
        ("5m", 300.0),
        ("12h", 43_200.0),
        ("7d", 604_800.0),
        ("250ms", 0.25),
    ],
)
def test_a_duration_is_seconds_or_has_a_unit(text: object, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["5", "m", "-5s", True, [], "5 w", "5S"])
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="seconds, or a duration"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("0.0.0.0:8883", "0.0.0.0", 8883),
        ("[::1]:0", "::1", 0),
        ("[::]:65535", "::", 65_535),
        ("broker.example:8883", "broker.example", 8883),
        ("localhost:1", "localhost", 1),
    ],
)
def test_an_address_has_host_and_port(text: str, host: str, port: int) -> None:
    assert parse_address(text, BASE) == Address(host, port)


def test_an_address_is_shown_as_it_is_written() -> None:
    for text in ("127.0.0.1:8883", "[::1]:8883"):
        assert str(parse_address(text, BASE)) == text


@pytest.mark.parametrize(
    "value",
    [
        "",
        ":8883",
        "8883",
        "host",
        "host:",
        "host:65536",
        "host:-1",
        "::1:8883",
        "1.2.3:80",
        "a b:80",
        "999.1.1.1:80",
        8883,
        "host:80\n",
    ],
)
def test_what_is_no_address_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"address|text such as"):
        parse_address(value, BASE)


def test_a_unix_socket_is_relative_to_the_file_that_names_it() -> None:
    assert parse_address("unix:mqtt.sock", BASE).path == BASE / "mqtt.sock"
    assert parse_address("unix:/run/mqtt.sock", BASE).path == Path("/run/mqtt.sock")


@pytest.mark.parametrize("text", ["unix:", "unix:a\0b", "unix:/" + "x" * MAX_SOCKET_PATH_BYTES])
def test_a_path_that_no_socket_can_have_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="path"):
        parse_address(text, BASE)


def test_a_host_may_be_ipv6_with_or_without_brackets() -> None:
    assert parse_host("[fe80::1]") == parse_host("fe80::1") == "fe80::1"


def test_a_network_is_a_prefix_or_one_address() -> None:
    assert str(parse_network("10.0.0.0/8")) == "10.0.0.0/8"
    assert str(parse_network("192.168.1.7")) == "192.168.1.7/32"


@pytest.mark.parametrize("value", ["10.0.0.1/8", "lan", "", 7, "10.0.0.0/33"])
def test_what_is_no_network_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"192\.168\.1\.0/24"):
        parse_network(value)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.1", False),
        ("localhost.example", False),
    ],
)
def test_only_what_stays_on_the_machine_is_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
