"""Targets, permission, and what is refused before anything is contacted."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from bollard.assess.scope import Consent, Place, Scope, authorize, parse_target, read_scope
from bollard.base.errors import ConfigError, LocalError

TODAY = date(2026, 11, 23)
SCOPE = Scope(
    version=1,
    authorized_by="Ada, ada@example.org",
    valid_until=date(2026, 12, 31),
    targets=("192.168.7.0/24", "broker.example:8883", "203.0.113.5"),
)


def places(text: str, *addresses: str) -> list[Place]:
    def resolve(host: str) -> Sequence[str]:
        return addresses or (host,)

    return parse_target(text, resolve)


def refused(target: str, consent: Consent, *addresses: str) -> str:
    with pytest.raises(LocalError) as caught:
        authorize(places(target, *addresses), consent, TODAY)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "host", "port", "transport", "path"),
    [
        ("127.0.0.1", "127.0.0.1", 0, "", "/mqtt"),
        ("127.0.0.1:1883", "127.0.0.1", 1883, "", "/mqtt"),
        ("mqtt://127.0.0.1", "127.0.0.1", 1883, "tcp", "/mqtt"),
        ("mqtts://127.0.0.1", "127.0.0.1", 8883, "tls", "/mqtt"),
        ("ws://127.0.0.1:9001/ws", "127.0.0.1", 9001, "ws", "/ws"),
        ("wss://127.0.0.1", "127.0.0.1", 443, "wss", "/mqtt"),
        ("[::1]:8883", "::1", 8883, "", "/mqtt"),
    ],
)
def test_a_target_is_read(text: str, host: str, port: int, transport: str, path: str) -> None:
    (place,) = places(text)
    assert (place.host, place.port, place.transport, place.path) == (host, port, transport, path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://127.0.0.1",
        "a b",
        "127.0.0.1:99999",
        "mqtt://user:pw@host",
        "300.0.0.0/8",
        "x\x1b[2J",
        "h?q=1",
    ],
)
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(LocalError) as caught:
        places(text)
    assert "\x1b" not in str(caught.value)


def test_a_network_means_its_hosts() -> None:
    assert [place.address for place in places("192.168.7.0/30")] == ["192.168.7.1", "192.168.7.2"]


@pytest.mark.parametrize("network", ["10.0.0.0/8", "2001:db8::/32"])
def test_a_large_network_is_refused_before_it_is_written_out(network: str) -> None:
    with pytest.raises(LocalError, match="more than 1024 addresses"):
        places(network)


def test_this_machine_is_free() -> None:
    authorize([*places("127.0.0.1:1883"), *places("localhost", "::1", "127.0.0.1")], Consent(), TODAY)


def test_a_private_address_needs_a_word() -> None:
    assert "--i-own-this-network" in refused("192.168.7.9", Consent())
    authorize(places("192.168.7.9"), Consent(own_network=True), TODAY)


def test_the_word_does_not_reach_public_addresses() -> None:
    refused("203.0.113.5", Consent(own_network=True))
    refused("8.8.8.8", Consent(own_network=True))


def test_a_scope_file_alone_is_not_enough() -> None:
    assert "--i-am-authorized" in refused("192.168.7.9", Consent(scope=SCOPE))
    authorize(places("192.168.7.9"), Consent(scope=SCOPE, authorized=True), TODAY)


def test_what_the_scope_does_not_name_is_refused() -> None:
    consent = Consent(scope=SCOPE, authorized=True)
    assert "not in the scope file" in refused("192.168.8.1", consent)
    assert "not in the scope file" in refused("broker.example:1883", consent, "192.168.9.9")
    authorize(places("broker.example:8883", "192.168.9.9"), consent, TODAY)


def test_every_address_of_a_name_counts() -> None:
    consent = Consent(scope=SCOPE, authorized=True)
    assert "not in the scope file" in refused("sneaky.example", consent, "192.168.7.1", "10.0.0.1")
    refused("sneaky.example", Consent(), "127.0.0.1", "8.8.8.8")


def test_a_public_address_needs_scope_file_and_flag() -> None:
    public = Scope(
        **{**{f: getattr(SCOPE, f) for f in SCOPE.__struct_fields__}, "public": True, "targets": ("8.8.8.8",)}
    )
    assert "--allow-public" in refused("8.8.8.8", Consent(scope=public, authorized=True))
    authorize(places("8.8.8.8"), Consent(scope=public, authorized=True, public=True), TODAY)


def test_a_mapped_address_is_what_it_maps_to() -> None:
    authorize(places("x", "::ffff:127.0.0.1"), Consent(), TODAY)
    refused("x", Consent(own_network=True), "::ffff:8.8.8.8")


def test_the_unspecified_address_is_not_free() -> None:
    refused("0.0.0.0", Consent(own_network=True))


def test_an_expired_scope_is_refused() -> None:
    with pytest.raises(LocalError, match="expired"):
        authorize(places("127.0.0.1"), Consent(scope=SCOPE), date(2027, 1, 1))


def test_active_checks_need_their_own_permission_in_a_scope_file() -> None:
    with pytest.raises(LocalError, match="active"):
        authorize(places("127.0.0.1"), Consent(scope=SCOPE, active=True), TODAY)


def test_a_scope_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "scope.toml"
    file.write_text(
        'version = 1\nauthorized_by = "Ada"\nvalid_until = 2026-12-31\ntargets = ["10.0.0.0/28"]\n'
    )
    assert read_scope(file).targets == ("10.0.0.0/28",)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "version = 1",
        'version = 2\nauthorized_by = "A"\nvalid_until = 2026-12-31\ntargets = []',
        'version = 1\nauthorized_by = " "\nvalid_until = 2026-12-31\ntargets = []',
        'version = 1\nauthorized_by = "A"\nvalid_until = 2026-12-31\ntargets = ["a b"]',
        'version = 1\nauthorized_by = "A"\nvalid_until = 2026-12-31\ntargets = []\nacitve = true',
        "version = [",
        "\x00",
    ],
)
def test_a_broken_scope_file_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "scope.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"scope\.toml"):
        read_scope(file)


def test_a_missing_scope_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        read_scope(tmp_path / "none.toml")
