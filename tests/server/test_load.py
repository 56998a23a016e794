"""A configuration file: what it becomes, and every way in which it can be wrong."""

from dataclasses import fields
from pathlib import Path

import pytest

from bollard.base.errors import ConfigError
from bollard.engine.limits import Limits
from bollard.identity.unlock import TokenSettings, Unlock
from bollard.net.gate import TransportLimits
from bollard.server.config import Address, Config
from bollard.server.defaults import config_text
from bollard.server.load import load_config
from bollard.server.settings import LIMITS, limit_default


def load(folder: Path, text: str) -> Config:
    file = folder / "bollard.toml"
    file.write_text(text)
    return load_config(file)


def fault(folder: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    return caught.value


def test_an_empty_file_is_the_safe_broker(tmp_path: Path) -> None:
    config = load(tmp_path, "")
    (listener,) = config.listeners
    assert listener.encrypted
    assert not listener.allow_anonymous
    assert str(listener.bind) == "0.0.0.0:8883"
    assert config.limits == Limits()
    assert config.transport_limits == TransportLimits()
    assert config.metrics.bind is None
    assert config.state_dir == tmp_path
    assert config.policy == tmp_path / "policy.toml"


def test_the_file_that_the_first_run_writes_changes_no_default(tmp_path: Path) -> None:
    config = load(tmp_path, config_text(Address("0.0.0.0", 8883)))
    empty = load(tmp_path, "")
    assert config.listeners == empty.listeners
    assert config.limits == empty.limits
    assert config.log == empty.log
    assert config.sys_interval_s == empty.sys_interval_s
    assert str(config.metrics.bind) == "127.0.0.1:9464"


def test_what_the_first_run_shows_as_a_comment_is_right_when_it_is_taken_in(tmp_path: Path) -> None:
    text = config_text(Address("0.0.0.0", 8883))
    keys = (
        "public_name",
        "names",
        "sys_interval_s",
        "[[listener]]",
        "bind",
        "transport",
        "origins",
        "allow_",
        "[est]",
        "[limits]",
        "max_",
    )
    taken = [
        line[2:] if line.startswith(tuple(f"# {key}" for key in keys)) else line for line in text.splitlines()
    ]
    config = load(tmp_path, "\n".join(taken))
    assert [listener.name for listener in config.listeners] == [
        "tls 0.0.0.0:8883",
        "wss 0.0.0.0:8884",
        "plaintext 127.0.0.1:1883",
        f"unix unix:{tmp_path}/mqtt.sock",
    ]
    assert str(config.est.bind) == "0.0.0.0:8443"


def test_everything_that_can_be_said_is_understood(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
        state_dir = "state"
        policy = "/etc/policy.toml"
        public_name = "broker.example"
        names = ["other.example", "10.1.1.1"]
        response_information = "answers/${id}"
        server_reference = "other.example:8883"
        sys_interval_s = "1m"
        [[listener]]
        bind = "[::]:8883"
        [[listener]]
        bind = "0.0.0.0:1883"
        allow_plaintext = true
        allow_plaintext_from = ["10.0.0.0/8"]
        allow_anonymous = true
        [[listener]]
        bind = "127.0.0.1:8080"
        transport = "websocket"
        origins = ["https://console.example"]
        [limits]
        max_packet_bytes = "2MiB"
        keepalive_max_s = "10m"
        max_connections = 7
        handshake_timeout_s = "500ms"
        retain_available = false
        [metrics]
        bind = "0.0.0.0:9464"
        allow_remote = true
        [log]
        format = "json"
        level = "debug"
        """,
    )
    assert config.state_dir == tmp_path / "state"
    assert config.policy == Path("/etc/policy.toml")
    assert config.names == ("other.example", "10.1.1.1")
    assert config.response_information == "answers/${id}"
    assert config.server_reference == "other.example:8883"
    assert config.sys_interval_s == 60
    assert [listener.name for listener in config.listeners] == [
        "tls [::]:8883",
        "plaintext 0.0.0.0:1883",
        "wss 127.0.0.1:8080",
    ]
    assert config.limits.max_packet_bytes == 2 * 1024**2
    assert config.limits.keepalive_max_s == 600
    assert isinstance(config.limits.keepalive_max_s, int)
    assert config.limits.retain_available is False
    assert config.transport_limits.max_connections == 7
    assert config.transport_limits.handshake_timeout_s == 0.5
    assert config.log.format == "json"


def test_a_missing_file_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file") as caught:
        load_config(tmp_path / "absent.toml")
    assert str(tmp_path / "absent.toml") in str(caught.value)
    assert caught.value.exit_code == 2


def test_an_unknown_key_is_told_with_its_line_and_the_nearest_name(tmp_path: Path) -> None:
    error = fault(tmp_path, '\n[[listener]]\nbind = "127.0.0.1:1"\nallow_anonymus = true\n')
    assert error.line == 4
    assert "allow_anonymus" in error.message
    assert '"allow_anonymous"' in error.remedy


@pytest.mark.parametrize("table", ["", "[limits]\n", "[metrics]\n", "[log]\n"])
def test_every_table_refuses_keys_that_it_does_not_know(tmp_path: Path, table: str) -> None:
    error = fault(tmp_path, f"{table}colour = 1\n")
    assert error.line == table.count("\n") + 1
    assert "colour" in error.message


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("state_dir = 5", 1, "text"),
        ('state_dir = ""', 1, "printable text"),
        ('public_name = "no spaces"', 1, "host name"),
        ('names = "one"', 1, "a list"),
        ("names = [5]", 1, "text"),
        ("sys_interval_s = -1", 1, "a value of 0"),
        ('sys_interval_s = "often"', 1, "a duration"),
        ("limits = 5", 1, ""),
        ('[limits]\nmax_packet_bytes = "big"', 2, "a size"),
        ("[limits]\nmax_packet_bytes = 1", 2, "a value of 64 to 268435460 bytes"),
        ("[limits]\nmax_packet_bytes = -5", 2, "a value of 64 to 268435460 bytes"),
        ("[limits]\nmax_connections = 0", 2, "a value of 1"),
        ("[limits]\nmax_connections = 1.5", 2, "a whole number"),
        ("[limits]\nmax_connections = true", 2, "a whole number"),
        ("[limits]\nmaximum_qos = 3", 2, "0 to 2"),
        ('[limits]\nretain_available = "yes"', 2, "true or false"),
        ('[log]\nformat = "xml"', 2, '"text" or "json"'),
        ('[log]\nlevel = "loud"', 2, '"debug"'),
        ('[metrics]\nbind = "9464"', 2, "an address and a port"),
        ('[[listener]]\nbind = "8883"', 2, "an address and a port"),
        ('[[listener]]\nbind = "127.0.0.1:1"\ntransport = "udp"', 3, '"tls" or "websocket"'),
        ('[[listener]]\nbind = "127.0.0.1:1"\nallow_anonymous = 1', 3, "true or false"),
        ('[[listener]]\nbind = "127.0.0.1:1"\norigins = "https://x"', 3, "a list"),
    ],
)
def test_a_bad_value_is_told_with_line_and_what_is_expected(
    tmp_path: Path, text: str, line: int, expected: str
) -> None:
    error = fault(tmp_path, text)
    assert error.line == line
    assert expected in f"{error.message} {error.remedy}"
    assert str(tmp_path / "bollard.toml") in str(error)


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("[[listener]]", 1, "without bind"),
        ("listener = []", 1, "0 listeners"),
        ('[listener]\nbind = "127.0.0.1:1"', 1, "[[listener]]"),
        ('[[listener]]\nbind = "127.0.0.1:1"\norigins = ["https://x"]', 3, "origins without WebSocket"),
        (
            '[[listener]]\nbind = "127.0.0.1:1"\nallow_plaintext_from = ["10.0.0.0/8"]',
            3,
            "without allow_plaintext",
        ),
        ('[[listener]]\nbind = "0.0.0.0:1"\nallow_plaintext = true', 3, "which other machines can reach"),
        (
            '[[listener]]\nbind = "broker.example:1"\nallow_plaintext = true',
            3,
            "which other machines can reach",
        ),
        (
            '[[listener]]\nbind = "0.0.0.0:1"\nallow_plaintext = true\nallow_plaintext_from = ["0.0.0.0/0"]',
            4,
            "everybody",
        ),
        (
            '[[listener]]\nbind = "0.0.0.0:1"\nallow_plaintext = true\nallow_plaintext_from = ["::/0"]',
            4,
            "everybody",
        ),
        ('[[listener]]\nbind = "unix:a.sock"\nallow_plaintext = true', 3, "Unix socket"),
        ('[[listener]]\nbind = "127.0.0.1:1"\n[[listener]]\nbind = "127.0.0.1:1"', 4, "second listener"),
        ('[metrics]\nbind = "0.0.0.0:1"', 2, "without a password"),
        ('[metrics]\nbind = "unix:a.sock"', 2, "Unix socket"),
        ("[limits]\nmax_connect_bytes = 2000\nmax_packet_bytes = 1000", 2, "larger than max_packet_bytes"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, text: str, line: int, expected: str) -> None:
    error = fault(tmp_path, text)
    assert error.line == line
    assert expected in str(error)
    assert error.remedy


def test_plaintext_may_be_bound_where_only_this_machine_reaches_it(tmp_path: Path) -> None:
    config = load(tmp_path, '[[listener]]\nbind = "127.0.0.1:1883"\nallow_plaintext = true')
    assert not config.listeners[0].encrypted


def test_several_listeners_may_take_free_ports(tmp_path: Path) -> None:
    config = load(tmp_path, '[[listener]]\nbind = "127.0.0.1:0"\n[[listener]]\nbind = "127.0.0.1:0"')
    assert len(config.listeners) == 2


def test_the_table_of_limits_has_each_field_of_the_engine_and_the_transports_once() -> None:
    held = {entry.name for holder in (Limits, TransportLimits) for entry in fields(holder)}
    assert sorted(row.key for row in LIMITS) == sorted(held)


def test_the_default_of_each_limit_lies_within_its_own_bounds() -> None:
    for row in LIMITS:
        value = limit_default(row.key)
        assert isinstance(value, bool | int | float)
        assert row.low <= value <= row.high, row.key


def test_the_passphrase_of_the_authorities_is_in_the_state_directory_unless_told(tmp_path: Path) -> None:
    assert load(tmp_path, "").unlock == Unlock("file", None)
    told = load(tmp_path, '[authorities]\npass_file = "stick/ca.pass"')
    assert told.unlock == Unlock("file", tmp_path / "stick" / "ca.pass")
    assert load(tmp_path, '[authorities]\nunlock = "credential"').unlock == Unlock("credential")
    assert load(tmp_path, '[authorities]\nunlock = "prompt"').unlock == Unlock("prompt")


TOKEN = 'unlock = "pkcs11"\npkcs11_module = "/usr/lib/hsm.so"\npkcs11_token = "plant"\n'


def test_a_token_is_asked_for_its_pin_unless_told(tmp_path: Path) -> None:
    module = Path("/usr/lib/hsm.so")
    asked = load(tmp_path, "[authorities]\n" + TOKEN).unlock
    assert asked == Unlock("pkcs11", token=TokenSettings(module, "plant", "prompt"))
    told = load(tmp_path, f'[authorities]\n{TOKEN}pin_from = "file"\npin_file = "pin"').unlock
    assert told == Unlock("pkcs11", token=TokenSettings(module, "plant", "file", tmp_path / "pin"))


@pytest.mark.parametrize("key", ["pin", "pkcs11_pin", "pin_from", "passphrase"])
def test_a_pin_in_the_configuration_is_refused_and_not_repeated(tmp_path: Path, key: str) -> None:
    told = fault(tmp_path, f'[authorities]\n{TOKEN}{key} = "271828"')
    assert "271828" not in str(told)


@pytest.mark.parametrize(
    "text",
    [
        'unlock = "password"',
        'passphrase = "x"',
        'unlock = "credential"\npass_file = "ca.pass"',
        'unlock = "prompt"\npass_file = "ca.pass"',
        'unlock = "pkcs11"',
        'unlock = "pkcs11"\npkcs11_module = "/usr/lib/hsm.so"',
        'unlock = "pkcs11"\npkcs11_token = "plant"',
        'pkcs11_token = "plant"',
        'unlock = "prompt"\npin_from = "prompt"',
        TOKEN + 'pin_from = "file"',
        TOKEN + 'pin_file = "pin"',
        TOKEN + 'pass_file = "ca.pass"',
    ],
)
def test_a_passphrase_from_two_places_or_from_nowhere_is_refused(tmp_path: Path, text: str) -> None:
    fault(tmp_path, "[authorities]\n" + text)
