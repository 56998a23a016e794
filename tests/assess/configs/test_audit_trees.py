"""The CFG checks over products whose files are trees: Bollard (TOML), HiveMQ (XML) and amqtt (YAML)."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bollard.assess.configs.audit import audit
from bollard.assess.configs.products import PRODUCTS, recognise
from bollard.assess.configs.xmltable import read_xml
from bollard.assess.configs.yamltable import read_yaml
from bollard.assess.model import State
from bollard.policy.default import DEFAULT_POLICY
from bollard.server.config import Address
from bollard.server.defaults import config_text

from .audited import Case, cases, expect, never_raises, results, states

BOLLARD: list[Case] = [
    ("nothing", "", {"01": "pass", "02": "pass", "04": "pass", "05": "pass", "18": "pass", "20": "pass", "21": "pass", "22": "pass", "28": "pass", "29": "pass"}),
    ("plaintext", '[[listener]]\nbind = "0.0.0.0:1883"\nallow_plaintext = true\n', {"04": "fail", "01": "pass"}),
    ("plaintext here", '[[listener]]\nbind = "127.0.0.1:1883"\nallow_plaintext = true\n', {"04": "pass"}),
    ("a socket", '[[listener]]\nbind = "unix:m.sock"\n', {"04": "pass"}),
    ("anonymous", '[[listener]]\nbind = "0.0.0.0:8883"\nallow_anonymous = true\n', {"01": "fail", "04": "pass"}),
    ("open policy", 'policy = "open.toml"\n', {"02": "fail", "05": "pass"}),
    ("wide policy", 'policy = "wide.toml"\n', {"02": "pass", "05": "fail", "06": "fail"}),
    ("missing policy", 'policy = "none.toml"\n', {"02": "not-tested", "29": "fail"}),
    ("large limits", '[limits]\nmax_packet_bytes = "200MiB"\nsession_expiry_max_s = "400d"\nmax_will_delay_s = "60d"\n', {"18": "fail", "20": "fail", "21": "fail"}),
    ("quiet", '[log]\nlevel = "error"\n', {"22": "fail"}),
    ("metrics", '[metrics]\nbind = "0.0.0.0:9464"\nallow_remote = true\n', {"28": "fail"}),
    ("broken", "bind = \n", {"29": "fail", "01": "not-tested"}),
]  # fmt: skip
TCP = "<hivemq><listeners><tcp-listener><port>1883</port><bind-address>%s</bind-address></tcp-listener></listeners></hivemq>"
TLS = "<hivemq><listeners><tls-tcp-listener><port>8883</port><tls>%s</tls></tls-tcp-listener></listeners></hivemq>"
HIVEMQ: list[Case] = [
    ("nothing", "<hivemq/>", {"01": "not-tested", "04": "not-tested", "18": "fail", "20": "fail", "23": "pass"}),
    ("plaintext", TCP % "0.0.0.0", {"04": "fail", "25": "pass"}),
    ("plaintext here", TCP % "127.0.0.1", {"04": "pass"}),
    ("websocket", "<hivemq><listeners><websocket-listener><port>8000</port></websocket-listener></listeners></hivemq>", {"04": "fail"}),
    ("proxy", TCP.replace("<port>", "<proxy-protocol>true</proxy-protocol><port>") % "0.0.0.0", {"25": "fail"}),
    ("TLS", TLS % "", {"04": "pass", "10": "pass", "11": "not-tested"}),
    ("old TLS", TLS % "<protocols><protocol>TLSv1.2</protocol><protocol>TLSv1.1</protocol></protocols>", {"10": "fail"}),
    ("weak suite", TLS % "<cipher-suites><cipher-suite>TLS_RSA_WITH_RC4_128_MD5</cipher-suite></cipher-suites>", {"10": "fail"}),
    ("optional certificate", TLS % "<client-authentication-mode>OPTIONAL</client-authentication-mode>", {"11": "fail"}),
    ("certificate", TLS % "<client-authentication-mode>REQUIRED</client-authentication-mode>", {"11": "pass"}),
    ("secret", TLS % "<keystore><password>hunter2</password></keystore>", {"23": "fail"}),
    ("secret elsewhere", TLS % "<keystore><password>${ENV:KEY}</password></keystore>", {"23": "pass"}),
    ("limits", "<hivemq><mqtt><packets><max-packet-size>1000</max-packet-size></packets><keep-alive><allow-unlimited>false</allow-unlimited></keep-alive><session-expiry><max-interval>600</max-interval></session-expiry></mqtt><restrictions><max-connections>10</max-connections></restrictions></hivemq>", {"18": "pass", "20": "pass"}),
    ("plain cluster", "<hivemq><cluster><enabled>true</enabled></cluster></hivemq>", {"09": "fail"}),
    ("secure cluster", "<hivemq><cluster><enabled>true</enabled><transport><tcp><tls><enabled>true</enabled></tls></tcp></transport></cluster></hivemq>", {"09": "pass"}),
    ("control center", "<hivemq><control-center><listeners><http><port>8080</port></http></listeners></control-center></hivemq>", {"28": "fail"}),
    ("control center here", "<hivemq><control-center><listeners><http><port>8080</port><bind-address>127.0.0.1</bind-address></http></listeners></control-center></hivemq>", {"28": "pass"}),
    ("unknown listener", "<hivemq><listeners><udp-listener><port>1</port></udp-listener></listeners></hivemq>", {"26": "fail"}),
    ("entities", '<!DOCTYPE x [<!ENTITY a "b">]><hivemq>&a;</hivemq>', {"29": "fail"}),
    ("broken", "<hivemq>", {"29": "fail"}),
]  # fmt: skip
PLUGINS = "plugins:\n  amqtt.plugins.authentication.FileAuthPlugin:\n    password_file: passwords\n"
RULES = (
    PLUGINS + "  amqtt.plugins.topic_checking.TopicAccessControlListPlugin:\n    acl:\n      anna: ['%s']\n"
)
AMQTT: list[Case] = [
    ("nothing", "", {"01": "fail", "02": "fail", "04": "fail", "06": "fail", "18": "fail"}),
    ("older, anonymous", "auth:\n  allow-anonymous: true\n", {"01": "fail", "27": "fail"}),
    ("older, named", "auth:\n  allow-anonymous: false\n  password-file: passwords\n", {"01": "pass", "16": "fail"}),
    ("a plugin for it", "plugins:\n  - amqtt.plugins.authentication.AnonymousAuthPlugin:\n      allow_anonymous: true\n", {"01": "fail"}),
    ("that plugin, off", "plugins:\n  amqtt.plugins.authentication.AnonymousAuthPlugin:\n    allow_anonymous: false\n", {"01": "pass"}),
    ("by file", PLUGINS, {"01": "pass", "02": "fail", "16": "fail"}),
    ("plaintext", "listeners:\n  default:\n    type: tcp\n    bind: 0.0.0.0:1883\n", {"04": "fail"}),
    ("plaintext here", "listeners:\n  default:\n    bind: 127.0.0.1:1883\n    max-connections: 10\n", {"04": "pass", "18": "pass"}),
    ("TLS", "listeners:\n  default:\n    bind: 0.0.0.0:8883\n    ssl: on\n", {"04": "pass"}),
    ("second listener", "listeners:\n  default:\n    bind: 127.0.0.1:1883\n  web:\n    type: ws\n    bind: 0.0.0.0:8080\n", {"04": "fail"}),
    ("wide rules", RULES % "#", {"02": "pass", "05": "fail"}),
    ("narrow rules", RULES % "devices/anna/#", {"02": "pass", "05": "pass", "06": "pass"}),
    ("system topics", RULES % "$SYS/#", {"06": "fail"}),
    ("older rules", "topic-check:\n  enabled: true\n  acl:\n    anna:\n      - '#'\n", {"02": "pass", "05": "fail"}),
    ("a plugin of somebody", "plugins:\n  - mine.Plugin\n", {"02": "inconclusive", "29": "fail"}),
    ("anchors", "a: &x 1\n", {"29": "fail"}),
]  # fmt: skip
FILES = {
    "policy.toml": DEFAULT_POLICY,
    "open.toml": 'version = 1\n[template.open]\npublish = ["#"]\n[group.all]\nmembers = ["*"]\napply = ["open"]\n',
    "wide.toml": 'version = 1\n[grant.app]\nwho = "app"\nsubscribe = ["#"]\n[grant.admin]\nwho = "admin"\nsubscribe = ["#"]\n[grant.sys]\nwho = "*"\nsubscribe = ["$SYS/#"]\n',
    "passwords": "anna:hunter2\n",
}  # fmt: skip


@cases(bollard=BOLLARD, hivemq=HIVEMQ, amqtt=AMQTT)
def test_the_checks_say_what_the_configuration_does(
    tmp_path: Path, product: str, text: str, wanted: dict[str, str]
) -> None:
    expect(tmp_path, product, text, wanted, FILES)


def test_what_the_first_run_writes_has_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "bollard.toml").write_text(config_text(Address("0.0.0.0", 8883)))
    (tmp_path / "policy.toml").write_text(DEFAULT_POLICY)
    report = audit([tmp_path / "bollard.toml"])
    assert [each.check for each in report.results if each.state in (State.FAIL, State.INCONCLUSIVE)] == []
    assert report.grade.letter == "A"


def test_extensions_of_hivemq_decide_who_gets_in(tmp_path: Path) -> None:
    extension = tmp_path / "extensions" / "hivemq-allow-all-extension"
    extension.mkdir(parents=True)
    assert states(results(tmp_path, "hivemq", "<hivemq/>"), {"01": "", "02": ""}) == {
        "01": "fail",
        "02": "fail",
    }
    (extension / "DISABLED").write_text("")
    assert states(results(tmp_path, "hivemq", "<hivemq/>"), {"01": "", "02": ""}) == {
        "01": "pass",
        "02": "pass",
    }
    (tmp_path / "extensions" / "file-rbac").mkdir()
    found = results(tmp_path, "hivemq", "<hivemq/>")
    assert states(found, {"01": "", "29": ""}) == {"01": "inconclusive", "29": "fail"}


def test_xml_is_numbered_where_elements_repeat(tmp_path: Path) -> None:
    path = tmp_path / "x.xml"
    path.write_text("<a>\n<b><c>1</c></b>\n<b><c>2</c><d/></b></a>")
    found = {key: (each.value, each.place.line) for key, each in read_xml(path).settings.items()}
    assert found == {"a.b.c": ("1", 2), "a.b.1.c": ("2", 3), "a.b.1.d": ("", 3)}


def test_yaml_is_read_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "---\na:\n  b: 'it''s' # note\n  c:\n  - x\n  - y: 1\n    z: On\nd:\n  - - p\n    - q\ne: [1, \"two\"] # n\n"
        'f:\n"g h": http://x:1/#y\ni: []\nj: {}\n'
    )
    flat = read_yaml(path)
    assert {key: (each.value, each.place.line) for key, each in flat.settings.items()} == {
        "a.b": ("it's", 3),
        "a.c.0": ("x", 5),
        "a.c.1.y": ("1", 6),
        "a.c.1.z": ("on", 7),
        "d.0.0": ("p", 9),
        "d.0.1": ("q", 10),
        "e.0": ("1", 11),
        "e.1": ("two", 11),
        "f": ("", 12),
        "g h": ("http://x:1/#y", 13),
        "i": ("[]", 14),
        "j": ("{}", 15),
    }
    assert flat.reading.unread == []


@pytest.mark.parametrize(
    "text",
    [
        "a: |\n  x\n",
        "\ta: 1\n",
        "a: {b: 1}\n",
        "just words\n",
        "a: 1\n    b: 2\n",
        "a: [[1]]\n",
        "- " * 200 + "x",
    ],
)
def test_other_yaml_is_listed(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    assert read_yaml(path).reading.unread


def test_a_file_is_recognised_by_its_name_or_by_what_it_says() -> None:
    samples = {
        "mosquitto": "listener 1883\nallow_anonymous true\n",
        "emqx": 'node.name = "emqx@127.0.0.1"\n',
        "nanomq": "listeners.tcp {\n  bind = 1883\n}\n",
        "vernemq": "listener.tcp.default = 127.0.0.1:1883\n",
        "rabbitmq": "mqtt.allow_anonymous = false\n",
        "hivemq": '<?xml version="1.0"?>\n<hivemq>\n</hivemq>\n',
        "bollard": '[[listener]]\nbind = "0.0.0.0:8883"\n',
        "amqtt": "listeners:\n  default:\n    type: tcp\n    bind: 0.0.0.0:1883\n",
    }
    assert samples.keys() == PRODUCTS.keys()
    for product, text in samples.items():
        assert recognise(Path("x"), text) == product
    assert recognise(Path("x"), "hello world\n") == ""


_tokens = st.sampled_from([
    "<hivemq>", "</hivemq>", "<listeners>", "<a>", "</a>", "<!DOCTYPE x>", "&lt;", "[[listener]]", "[limits]", "bind", "=",
    '"0.0.0.0:1"', "policy", "plugins:", "listeners:", "default:", "- ", "  ", "    ", "bind: x", "acl:", "\n", ":", "#",
    "'", '"', "[", "]", "auth:", "max_packet_bytes", "true", "listener", "1",
])  # fmt: skip


@settings(deadline=None)
@given(
    st.sampled_from(["bollard", "hivemq", "amqtt"]),
    st.lists(_tokens | st.text(max_size=5), max_size=40).map(
        lambda parts: "".join(parts) if len(parts) % 2 else "\n".join(parts)
    ),
)
def test_no_text_makes_the_audit_raise(
    tmp_path_factory: pytest.TempPathFactory, product: str, text: str
) -> None:
    never_raises(tmp_path_factory, product, text)
