"""The CFG checks over EMQX and NanoMQ, and the format that both are written in."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bollard.assess.configs.emqx_acl import read_emqx_acl
from bollard.assess.configs.hocon import read_hocon
from bollard.assess.configs.source import Place, Reading

from .audited import Case, cases, expect, never_raises, results

AUTH = "authentication = [{mechanism = password_based, backend = built_in_database}]\n"
CLOSED = "listeners.tcp.default.enable = false\nlisteners.ws.default.enable = false\n"
SOURCE = 'authorization.sources = [{type = file, enable = true, path = "%s"}]\n'
EMQX: list[Case] = [
    ("nothing", "", {"01": "fail", "02": "fail", "03": "inconclusive", "04": "fail", "07": "fail", "08": "fail", "28": "fail"}),
    ("authentication", AUTH, {"01": "pass", "16": "fail"}),
    ("none of it", "authentication = []\n", {"01": "fail"}),
    ("switched off", "authentication = [{mechanism = jwt, enable = false}]\n", {"01": "fail"}),
    ("not on one listener", f"{AUTH}listeners.tcp.default {{ bind = 1883, enable_authn = false }}\n", {"01": "fail"}),
    ("slow hashes", "authentication { mechanism = password_based, backend = mysql, password_hash_algorithm.name = bcrypt }\n", {"01": "pass", "16": "pass"}),
    ("denied by default", "authorization { no_match = deny }\n", {"02": "pass"}),
    ("wide open rules", f"authorization.no_match = deny\n{SOURCE % 'open.acl'}", {"02": "fail", "06": "fail"}),
    ("legacy rules", f"authorization.no_match = deny\n{SOURCE % 'legacy.acl'}", {"02": "fail", "05": "fail"}),
    ("narrow rules", f"authorization.no_match = deny\n{SOURCE % 'narrow.acl'}", {"02": "pass", "05": "pass", "06": "pass"}),
    ("missing rules", SOURCE % "none.acl", {"29": "fail"}),
    ("TLS only", CLOSED, {"04": "pass", "10": "pass"}),
    ("loopback", 'listeners.tcp.default.bind = "127.0.0.1:1883"\nlisteners.ws.default.enable = false\n', {"04": "pass"}),
    ("old TLS", 'listeners.ssl.default.ssl_options.versions = ["tlsv1.2", "tlsv1.1"]\n', {"10": "fail"}),
    ("weak suites", 'listeners.ssl.default.ssl_options { ciphers = ["RC4-SHA"] }\n', {"10": "fail"}),
    ("half verified", "listeners.ssl.default.ssl_options.verify = verify_peer\n", {"11": "fail", "13": "not-tested"}),
    ("verified", "listeners.ssl.default.ssl_options { verify = verify_peer\n fail_if_no_peer_cert = true }\n", {"11": "pass", "13": "fail"}),
    ("revocable", "listeners.ssl.default.ssl_options {verify = verify_peer, fail_if_no_peer_cert = true, enable_crl_check = true}\n", {"13": "pass"}),
    ("own cookie", 'node { cookie = "hunter2" }\n', {"08": "pass"}),
    ("the other default cookie", 'node.cookie = "emqx50elixir"\n', {"08": "fail"}),
    ("plain cluster", "cluster.discovery_strategy = dns\n", {"09": "fail"}),
    ("secure cluster", "cluster { discovery_strategy = dns, proto_dist = inet_tls }\n", {"09": "pass"}),
    ("plain connector", 'connectors.mqtt.up { server = "h:1883" }\n', {"15": "fail"}),
    ("unverified connector", 'connectors.mqtt.up { server = "h:8883", ssl { enable = true, verify = verify_none } }\n', {"15": "fail"}),
    ("verified connector", 'connectors.mqtt.up { server = "h:8883", ssl { enable = true, verify = verify_peer } }\n', {"15": "pass"}),
    ("no limits", "mqtt.max_packet_size = 256MB\nmqtt.session_expiry_interval = infinity\n", {"18": "fail", "20": "fail"}),
    ("limits", "\n".join(f"listeners.{kind}.default.max_connections = 100" for kind in ("tcp", "ssl", "ws", "wss")), {"18": "pass", "20": "pass"}),
    ("silent", "log { console.enable = false, file.enable = false }\n", {"22": "fail"}),
    ("logged", "log.console.level = warning\n", {"22": "pass"}),
    ("secret", "authentication = [{mechanism = jwt, secret = hunter2}]\n", {"23": "fail"}),
    ("secret elsewhere", 'dashboard.default_password = "file:///etc/emqx/secret"\n', {"23": "pass", "07": "pass"}),
    ("proxy", "listeners.tcp.default.proxy_protocol = true\n", {"25": "fail"}),
    ("misspelt", "authorization.no_mach = deny\n", {"26": "fail", "02": "fail"}),
    ("dashboard here", 'dashboard.listeners.http.bind = "127.0.0.1:18083"\n', {"28": "pass"}),
    ("dashboard off", "dashboard.listeners.http.bind = 0\n", {"28": "not-tested"}),
    ("broken", "listeners { tcp { default {\n", {"29": "fail"}),
]  # fmt: skip
NANOMQ: list[Case] = [
    ("nothing", "", {"01": "fail", "02": "fail", "04": "not-tested", "07": "not-tested", "18": "fail"}),
    ("names only", "auth { allow_anonymous = false, no_match = deny }\n", {"01": "pass", "02": "pass"}),
    ("plain passwords", 'auth { password = { include "pwd.conf" } }\n', {"16": "fail"}),
    ("wide rules", 'auth { acl = { rules = [ {"permit": "allow", "username": "anna", "topics": ["#"]}, {"permit": "allow"} ] } }\n', {"05": "fail", "02": "fail"}),
    ("narrow rules", 'auth { no_match = deny, acl = { rules = [ {"permit": "allow", "topics": ["d/${username}/#"]} ] } }\n', {"05": "pass", "06": "pass", "02": "pass"}),
    ("system topics", 'auth { acl = { rules = [ {"permit": "allow", "username": "#", "topics": ["$SYS/#"]} ] } }\n', {"06": "fail"}),
    ("plaintext", 'listeners.tcp { bind = "0.0.0.0:1883" }\n', {"04": "fail"}),
    ("TLS", 'listeners.ssl { bind = "0.0.0.0:8883", keyfile = k, certfile = c }\n', {"04": "pass", "11": "not-tested"}),
    ("half verified", 'listeners.ssl { bind = "0.0.0.0:8883", cacertfile = a, verify_peer = true }\n', {"11": "fail"}),
    ("verified", 'listeners.ssl { bind = "0.0.0.0:8883", verify_peer = true, fail_if_no_peer_cert = true }\n', {"11": "pass"}),
    ("default login", "http_server { port = 8081 }\n", {"07": "fail", "28": "fail"}),
    ("own login", 'http_server { ip_addr = "127.0.0.1", username = anna, password = hunter2 }\n', {"07": "pass", "28": "pass", "23": "fail"}),
    ("plain bridge", 'bridges.mqtt.up { server = "mqtt-tcp://h:1883" }\n', {"15": "fail"}),
    ("unverified bridge", 'bridges.mqtt.up { server = "tls+mqtt-tcp://h:8883" }\n', {"15": "fail"}),
    ("verified bridge", 'bridges.mqtt.up { server = "tls+mqtt-tcp://h:8883", ssl { cacertfile = "ca.pem" } }\n', {"15": "pass"}),
    ("limits", "mqtt { max_packet_size = 1MB }\n", {"18": "pass"}),
    ("silent", "log { level = off }\n", {"22": "fail"}),
    ("logged", "log { level = warn }\n", {"22": "pass"}),
    ("the older format", "listener=nmq-tcp://0.0.0.0:1883\nallow_anonymous=true\n", {"27": "fail", "29": "fail"}),
]  # fmt: skip
FILES = {
    "open.acl": '%% head\n{allow, all, subscribe, ["$SYS/#"]}.\n{allow, all}.\n',
    "legacy.acl": '{allow, {security_profile, legacy}}.\n{allow, {user, "anna"}, all, ["#"]}.\n',
    "narrow.acl": '{allow, {ipaddr, "127.0.0.1"}, all, ["$SYS/#", "#"]}.\n{deny, all, subscribe, ["$SYS/#", {eq, "#"}]}.\n{allow, all, all, ["d/${username}/#"]}.\n{deny, all}.\n',
    "pwd.conf": "anna: hunter2\nbob: hunter2\n",
}  # fmt: skip


@cases(emqx=EMQX, nanomq=NANOMQ)
def test_the_checks_say_what_the_configuration_does(
    tmp_path: Path, product: str, text: str, wanted: dict[str, str]
) -> None:
    expect(tmp_path, product, text, wanted, FILES)


def test_versions_have_their_own_defaults(tmp_path: Path) -> None:
    assert results(tmp_path, "emqx", "", version="5")["02"].state.value == "fail"
    assert results(tmp_path, "emqx", "", version="6")["02"].state.value == "pass"


def test_what_the_dashboard_has_set_counts_where_the_file_is_silent(tmp_path: Path) -> None:
    found = results(tmp_path, "emqx", "mqtt.max_packet_size = 1MB\n", **{"cluster.hocon": AUTH})
    assert found["01"].state.value == "pass"
    assert found["01"].evidence["file"] == str(tmp_path / "cluster.hocon")


def test_the_format_is_read_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    (tmp_path / "inc.conf").write_text("z = 1\n")
    path.write_text(
        '# head\na { b = "q \\"r\\" # s" // note\n  c.d : [1, {e = f}, "g"]\n  include "inc.conf" }\n'
        'h = """two\nlines"""\ni += x\ni += y\nj = text with  blanks # note\n"k l" = ${m}/n\no = {}\np = []\n'
    )
    flat = read_hocon(path)
    assert {key: (each.value, each.place.line) for key, each in flat.settings.items()} == {
        "a.b": ('q "r" # s', 2),
        "a.c.d.0": ("1", 3),
        "a.c.d.1.e": ("f", 3),
        "a.c.d.2": ("g", 3),
        "a.z": ("1", 1),
        "h": ("two\nlines", 5),
        "i.0": ("x", 7),
        "i.1": ("y", 8),
        "j": ("text with  blanks", 9),
        "k l": ("${m}/n", 10),
        "o": ("{}", 11),
        "p": ("[]", 12),
    }
    assert flat.reading.unread == []


@pytest.mark.parametrize(
    "text", ["{" * 300, "a = " + "[" * 300, "a" + "{a" * 300, "}", "= 1", "a [", 'include "x.conf"', "a b"]
)
def test_what_does_not_fit_is_listed_and_ends(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.conf"
    path.write_text(text)
    assert read_hocon(path).reading.unread


def test_rules_of_emqx_are_read_term_by_term(tmp_path: Path) -> None:
    path = tmp_path / "acl.conf"
    path.write_text('%% a\n{allow, all,\n  publish, ["a/%", "b"]}. {deny, all}.\nnonsense\n{permit, all}.\n')
    reading = Reading()
    rules = read_emqx_acl(path, reading, Place())
    assert rules is not None
    assert [(rule.allows, rule.who, rule.topics, rule.place.line) for rule in rules] == [
        (True, "all", ("a/%", "b"), 2),
        (False, "all", (), 3),
    ]
    assert [each.place.line for each in reading.unread] == [4, 5]


_tokens = st.sampled_from([
    "{", "}", "[", "]", "=", ":", "+=", '"', '"""', "#", "//", "\n", ",", ".", "a", "listeners", "tcp", "default",
    "bind", "0.0.0.0:1", "authentication", "ssl_options", "versions", "auth", "acl", "rules", "include", "${x}", "allow",
    "all", "(", "*", "$", "\\", "listeners.ssl.a(b", "permit",
])  # fmt: skip


@settings(deadline=None)
@given(
    st.sampled_from(["emqx", "nanomq"]), st.lists(_tokens | st.text(max_size=5), max_size=40).map(" ".join)
)
def test_no_text_makes_the_audit_raise(
    tmp_path_factory: pytest.TempPathFactory, product: str, text: str
) -> None:
    never_raises(tmp_path_factory, product, text)


@settings(deadline=None)
@given(st.lists(_tokens | st.text(max_size=5), max_size=40).map(" ".join))
def test_no_text_makes_the_rules_raise(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.acl"
    path.write_text(text, encoding="utf-8", errors="replace")
    rules = read_emqx_acl(path, Reading(), Place())
    assert rules is not None
    assert all(rule.place.line >= 1 for rule in rules)
