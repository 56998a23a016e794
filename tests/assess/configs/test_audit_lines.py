"""The CFG checks over products whose files are lines of key = value: VerneMQ and RabbitMQ."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bollard.assess.configs.cuttlefish import read_cuttlefish

from .audited import Case, cases, expect, never_raises, results

SSL = "listener.ssl.default = 0.0.0.0:8883\nlistener.ssl.certfile = c\nlistener.ssl.keyfile = k\n"
VERNEMQ: list[Case] = [
    ("nothing", "", {"01": "pass", "02": "pass", "08": "fail", "18": "fail", "20": "fail", "21": "fail"}),
    ("anonymous", "allow_anonymous = on\n", {"01": "fail"}),
    ("anonymous on one", f"{SSL}listener.ssl.default.allow_anonymous_override = on\n", {"01": "fail"}),
    ("plaintext", "listener.tcp.default = 0.0.0.0:1883\n", {"04": "fail", "10": "not-tested"}),
    ("loopback", "listener.tcp.default = 127.0.0.1:1883\n", {"04": "pass", "25": "pass"}),
    ("proxy", "listener.tcp.default = 127.0.0.1:1883\nlistener.tcp.proxy_protocol = on\n", {"25": "fail"}),
    ("TLS", SSL, {"04": "pass", "10": "pass", "11": "not-tested"}),
    ("old TLS", f"{SSL}listener.ssl.tls_version = tlsv1.1\n", {"10": "fail"}),
    ("weak suites", f"{SSL}listener.ssl.default.ciphers = RC4-SHA\n", {"10": "fail"}),
    ("optional certificate", f"{SSL}listener.ssl.cafile = a\n", {"11": "fail"}),
    ("certificate", f"{SSL}listener.ssl.cafile = a\nlistener.ssl.require_certificate = on\n", {"11": "pass", "12": "fail", "13": "fail"}),
    ("named and revocable", f"{SSL}listener.ssl.require_certificate = on\nlistener.ssl.use_identity_as_username = on\nlistener.ssl.crlfile = r\n", {"12": "pass", "13": "pass"}),
    ("no rules", "plugins.vmq_acl = off\n", {"02": "fail"}),
    ("rules of a script", "plugins.vmq_acl = off\nplugins.vmq_diversity = on\n", {"02": "inconclusive", "29": "fail"}),
    ("wide rules", "vmq_acl.acl_file = wide\n", {"05": "fail", "06": "fail"}),
    ("narrow rules", "vmq_acl.acl_file = narrow\n", {"05": "pass", "06": "pass"}),
    ("own cookie", "distributed_cookie = hunter2\n", {"08": "pass"}),
    ("plain cluster", "listener.vmq.clustering = 0.0.0.0:44053\n", {"09": "fail"}),
    ("secure cluster", "listener.vmqs.clustering = 0.0.0.0:44053\n", {"09": "pass"}),
    ("plain bridge", "vmq_bridge.tcp.br0 = h:1883\n", {"15": "fail"}),
    ("insecure bridge", "vmq_bridge.ssl.br0 = h:8883\nvmq_bridge.ssl.br0.insecure = on\n", {"15": "fail"}),
    ("bridge", "vmq_bridge.ssl.br0 = h:8883\n", {"15": "pass"}),
    ("limits", "max_message_size = 1000\npersistent_client_expiration = 2w\nmax_last_will_delay = 1h\n", {"18": "pass", "20": "pass", "21": "pass"}),
    ("no connections limit", "max_message_size = 1000\nlistener.max_connections = infinity\n", {"18": "fail"}),
    ("silent", "log.console = off\n", {"22": "fail"}),
    ("secret", "vmq_bridge.ssl.br0.password = hunter2\n", {"23": "fail"}),
    ("misspelt", "allow_anonymos = on\n", {"26": "fail", "01": "pass"}),
    ("repeated", "allow_anonymous = off\nallow_anonymous = on\n", {"26": "fail", "01": "fail"}),
    ("open administration", "listener.http.default = 0.0.0.0:8888\n", {"28": "fail"}),
    ("administration here", "listener.http.default = 127.0.0.1:8888\n", {"28": "pass"}),
    ("garbage", "just words\n", {"29": "fail", "26": "pass"}),
]  # fmt: skip

TLS = "mqtt.listeners.tcp = none\nmqtt.listeners.ssl.default = 8883\n"
RABBITMQ: list[Case] = [
    ("nothing", "", {"01": "fail", "02": "not-tested", "04": "fail", "07": "pass", "18": "pass", "20": "pass"}),
    ("names only", "mqtt.allow_anonymous = false\n", {"01": "pass"}),
    ("nobody's login", "anonymous_login_user = none\n", {"01": "pass"}),
    ("TLS", TLS, {"04": "pass", "10": "pass", "11": "not-tested"}),
    ("here only", "mqtt.listeners.tcp.1 = 127.0.0.1:1883\n", {"04": "pass"}),
    ("nowhere", "mqtt.listeners.tcp = none\n", {"04": "not-tested"}),
    ("web", f"{TLS}web_mqtt.tcp.port = 15675\n", {"04": "fail"}),
    ("old TLS", f"{TLS}ssl_options.versions.1 = tlsv1.2\nssl_options.versions.2 = tlsv1.1\n", {"10": "fail"}),
    ("weak suite", f"{TLS}ssl_options.ciphers.1 = DES-CBC3-SHA\nssl_options.ciphers.2 = RC4-SHA\n", {"10": "fail"}),
    ("optional certificate", f"{TLS}ssl_options.cacertfile = a\nssl_options.verify = verify_peer\n", {"11": "fail"}),
    ("certificate", f"{TLS}ssl_options.cacertfile = a\nssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n", {"11": "pass", "12": "fail"}),
    ("bound", f"{TLS}ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\nmqtt.ssl_cert_client_id_from = distinguished_name\n", {"12": "pass"}),
    ("guest from afar", "loopback_users.guest = false\n", {"07": "fail"}),
    ("guest from afar, too", "loopback_users = none\n", {"07": "fail"}),
    ("another login", "loopback_users = none\ndefault_user = anna\ndefault_pass = hunter2\n", {"07": "pass", "23": "fail"}),
    ("huge packets", "mqtt.max_packet_size_authenticated = 200000000\n", {"18": "fail"}),
    ("huge first packet", "mqtt.max_packet_size_unauthenticated = 20000000\n", {"18": "fail"}),
    ("for ever", "mqtt.max_session_expiry_interval_seconds = infinity\n", {"20": "fail"}),
    ("silent", "log.file = false\n", {"22": "fail"}),
    ("quiet", "log.console.level = none\n", {"22": "fail"}),
    ("logged", "log.file = false\nlog.console = true\n", {"22": "pass"}),
    ("proxy", "mqtt.proxy_protocol = true\n", {"25": "fail"}),
    ("no proxy", "", {"25": "pass", "23": "pass", "26": "pass", "29": "pass"}),
    ("misspelt", "mqtt.alow_anonymous = false\n", {"26": "fail", "01": "fail"}),
    ("administration", "management.tcp.port = 15672\n", {"28": "fail"}),
    ("administration here", "management.tcp.ip = 127.0.0.1\n", {"28": "pass"}),
    ("definitions", "load_definitions = d.json\n", {"29": "fail"}),
]  # fmt: skip
RULES = {"wide": "user anna\ntopic #\ntopic read $SYS/#\n", "narrow": "pattern readwrite d/%u/#\n"}


@cases(vernemq=VERNEMQ, rabbitmq=RABBITMQ)
def test_the_checks_say_what_the_configuration_does(
    tmp_path: Path, product: str, text: str, wanted: dict[str, str]
) -> None:
    expect(tmp_path, product, text, wanted, RULES)


def test_versions_have_their_own_defaults(tmp_path: Path) -> None:
    assert results(tmp_path, "rabbitmq", "", version="3.13")["18"].state.value == "fail"
    assert results(tmp_path, "rabbitmq", "", version="4.0")["18"].state.value == "pass"


def test_files_that_also_count_are_named(tmp_path: Path) -> None:
    found = results(tmp_path, "rabbitmq", "", **{"advanced.config": "[]."})
    assert found["29"].state.value == "fail"


def test_values_lose_quotes_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    path.write_text('## head\na.b = "q # r" # note\n  c = plain # note\nd=\nno\n')
    flat = read_cuttlefish(path)
    assert {key: each.value for key, each in flat.settings.items()} == {"a.b": "q # r", "c": "plain", "d": ""}
    assert flat.settings["c"].place.line == 3
    assert [each.place.line for each in flat.reading.unread] == [5]


_keys = st.sampled_from([
    "allow_anonymous", "listener.tcp.default", "listener.ssl.default", "listener.ssl.a.b.c", "vmq_acl.acl_file",
    "mqtt.listeners.tcp.1", "mqtt.listeners.ssl.1", "ssl_options.versions.1", "management.tcp.ip", "log.file",
    "listener.http.x", "vmq_bridge.ssl.b", "mqtt.max_packet_size_authenticated",
])  # fmt: skip
_values = st.sampled_from(
    ["on", "off", "none", "0.0.0.0:1883", ":", "[::1]:1", "", "x y", '"', "999999999999999999999", "/"]
)


@settings(deadline=None)
@given(
    st.sampled_from(["vernemq", "rabbitmq"]),
    st.lists(st.tuples(_keys, _values).map(" = ".join) | st.text(max_size=30), max_size=15),
)
def test_no_text_makes_the_audit_raise(
    tmp_path_factory: pytest.TempPathFactory, product: str, lines: list[str]
) -> None:
    never_raises(tmp_path_factory, product, "\n".join(lines))
