"""What weakens a configuration is named."""

from ipaddress import ip_network
from pathlib import Path

from bollard.server.config import Address, Config, ListenerConfig, MetricsConfig, weaknesses

HERE = Path("/nowhere")


def config(*listeners: ListenerConfig, metrics: MetricsConfig | None = None) -> Config:
    return Config(
        file=HERE, state_dir=HERE, policy=HERE, listeners=listeners, metrics=metrics or MetricsConfig()
    )


def test_a_broker_with_tls_alone_has_no_weakness() -> None:
    assert weaknesses(config(ListenerConfig(bind=Address("0.0.0.0", 8883)))) == []


def test_every_allow_is_named_with_its_listener() -> None:
    open_door = ListenerConfig(
        bind=Address("0.0.0.0", 1883),
        allow_plaintext=True,
        allow_plaintext_from=(ip_network("10.0.0.0/8"),),
        allow_anonymous=True,
    )
    metrics = MetricsConfig(bind=Address("0.0.0.0", 9464), allow_remote=True)
    found = weaknesses(config(open_door, metrics=metrics))
    assert [sentence.split(":")[0] for sentence in found] == [
        "allow_plaintext",
        "allow_anonymous",
        "allow_remote",
    ]
    assert "10.0.0.0/8" in found[0]
    assert "0.0.0.0:1883" in found[1]


def test_a_unix_socket_is_not_encrypted_and_no_weakness() -> None:
    listener = ListenerConfig(bind=Address(path=Path("/run/mqtt.sock")))
    assert not listener.encrypted
    assert weaknesses(config(listener)) == []
