"""What devices are told to connect to, and what the certificates cover."""

from ipaddress import ip_address
from pathlib import Path

import pytest

from bollard.base.errors import LocalError
from bollard.server.advertise import advertised_listener, certificate_names, reachable_at
from bollard.server.config import Address, Config, ListenerConfig

HERE = Path("/nowhere")


def config(*listeners: ListenerConfig, public_name: str = "", names: tuple[str, ...] = ()) -> Config:
    return Config(
        file=HERE, state_dir=HERE, policy=HERE, listeners=listeners, public_name=public_name, names=names
    )


def tls(host: str, port: int = 8883) -> ListenerConfig:
    return ListenerConfig(bind=Address(host, port))


def test_a_listener_on_one_address_is_reached_there() -> None:
    assert reachable_at(config(tls("127.0.0.1"))) == ("127.0.0.1", 8883)


def test_the_port_that_the_kernel_gave_is_told() -> None:
    assert reachable_at(config(tls("127.0.0.1", 0)), 40_001) == ("127.0.0.1", 40_001)


def test_a_public_name_is_told_in_place_of_any_address() -> None:
    assert reachable_at(config(tls("0.0.0.0"), public_name="broker.example")) == ("broker.example", 8883)


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::"])
def test_for_a_wildcard_an_address_is_told_that_the_certificate_covers(wildcard: str) -> None:
    settings = config(tls(wildcard))
    host, _ = reachable_at(settings)
    names = certificate_names(settings)
    assert host in names.names or ip_address(host) in names.addresses


def test_tls_is_told_before_plaintext_and_websocket() -> None:
    plain = ListenerConfig(bind=Address("127.0.0.1", 1883), allow_plaintext=True)
    web = ListenerConfig(bind=Address("127.0.0.1", 8884), transport="websocket")
    wanted = tls("127.0.0.1")
    assert advertised_listener(config(plain, web, wanted)) is wanted
    assert advertised_listener(config(web, plain)) is web


def test_a_broker_on_a_unix_socket_alone_cannot_be_reached_by_a_device() -> None:
    with pytest.raises(LocalError, match="no listener"):
        reachable_at(config(ListenerConfig(bind=Address(path=HERE / "mqtt.sock"))))


def test_the_certificate_covers_configured_names_and_bound_addresses() -> None:
    names = certificate_names(
        config(tls("192.0.2.1"), public_name="broker.example", names=("alias.example", "198.51.100.9"))
    )
    assert {"broker.example", "alias.example", "localhost"} <= set(names.names)
    assert {ip_address("192.0.2.1"), ip_address("198.51.100.9"), ip_address("127.0.0.1")} <= set(
        names.addresses
    )
