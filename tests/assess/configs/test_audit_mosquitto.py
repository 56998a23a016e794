"""The CFG checks over Mosquitto: for each check a configuration that has the flaw, and one that does not."""

import json
import shlex
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bollard.assess.configs.audit import audit
from bollard.assess.configs.mosquitto_keys import DIRECTIVES
from bollard.assess.model import Severity, State

from .audited import Case, results, states

TLS = "listener 8883\ncertfile s.crt\nkeyfile s.key\n"
FILES = {
    "narrow": "pattern readwrite devices/%u/#\nuser administrator\ntopic readwrite #\ntopic read $SYS/#\n",
    "wide": "user anna\ntopic readwrite #\n",
    "everybody": "pattern read #\n",
    "system": "pattern read $SYS/#\n",
    "strong": "anna:$argon2id$v=19$x\nbob:$7$210000$c2FsdA==$aGFzaA==\n",
    "old": "anna:$6$c2FsdA==$aGFzaA==\n",
    "quick": "anna:$7$101$c2FsdA==$aGFzaA==\n",
    "plain": "anna:hunter2\n",
}

CASES: list[Case] = [
    ("nothing at all", "", {"01": "fail", "02": "fail", "04": "pass", "20": "fail"}),
    ("anonymous", f"{TLS}allow_anonymous true\n", {"01": "fail", "02": "fail"}),
    ("only names", f"{TLS}allow_anonymous false\n", {"01": "pass"}),
    ("by listener", f"{TLS}listener_allow_anonymous true\n", {"01": "fail"}),
    ("its own, off", f"per_listener_settings true\n{TLS}allow_anonymous false\n", {"01": "pass", "27": "fail"}),
    ("an option alone", "cafile ca.crt\n", {"01": "fail", "04": "fail"}),
    ("no rules", f"{TLS}password_file strong\n", {"02": "fail", "06": "fail"}),
    ("rules", f"{TLS}acl_file narrow\n", {"02": "pass", "05": "pass", "06": "pass"}),
    ("unknown plugin", f"plugin other.so\n{TLS}", {"02": "inconclusive", "29": "fail"}),
    ("plaintext", "listener 1883\n", {"04": "fail"}),
    ("plaintext websocket", "listener 9001\nprotocol websockets\n", {"04": "fail"}),
    ("loopback", "listener 1883 127.0.0.1\nlistener 1884 ::1\nlistener 1885 localhost\n", {"04": "pass"}),
    ("a socket", "listener 0 /run/m.sock\n", {"04": "pass"}),
    ("pre-shared keys", "listener 8884\npsk_hint h\npsk_file none\n", {"04": "pass", "29": "fail"}),
    ("wide rules", f"{TLS}acl_file wide\n", {"05": "fail"}),
    ("wide patterns", f"{TLS}acl_file everybody\n", {"05": "fail"}),
    ("system topics", f"{TLS}acl_file system\n", {"06": "fail"}),
    ("TLS 1.1", f"{TLS}tls_version tlsv1.1\n", {"10": "fail"}),
    ("weak suites", f"{TLS}ciphers ALL:RC4-SHA\n", {"10": "fail"}),
    ("strong suites", f"{TLS}tls_version tlsv1.3\nciphers ECDHE+AESGCM:!RC4:!aNULL\n", {"10": "pass"}),
    ("optional certificate", f"{TLS}cafile ca.crt\n", {"11": "fail", "13": "not-tested"}),
    ("required certificate", f"{TLS}cafile ca.crt\nrequire_certificate true\n", {"11": "pass", "12": "fail", "13": "fail"}),
    ("named certificate", f"{TLS}cafile a\nrequire_certificate true\nuse_identity_as_username true\ncrlfile c\n", {"12": "pass", "13": "pass", "14": "pass"}),
    ("free client ids", f"{TLS}password_file strong\n", {"12": "fail"}),
    ("bound client ids", f"{TLS}use_username_as_clientid true\npassword_file strong\n", {"12": "pass"}),
    ("no dates", f"{TLS}cafile a\nrequire_certificate true\ndisable_client_cert_date_checks true\n", {"14": "fail"}),
    ("insecure bridge", f"{TLS}connection b\naddress h\nbridge_cafile c\nbridge_insecure true\n", {"15": "fail"}),
    ("plain bridge", f"{TLS}connection b\naddress h\n", {"15": "fail"}),
    ("verified bridge", f"{TLS}connection b\naddress h\nbridge_cafile c\n", {"15": "pass"}),
    ("plain passwords", f"{TLS}password_file plain\n", {"16": "fail"}),
    ("old passwords", f"{TLS}password_file old\n", {"16": "fail"}),
    ("quick passwords", f"{TLS}password_file quick\n", {"16": "fail"}),
    ("strong passwords", f"{TLS}password_file strong\n", {"16": "pass", "17": "pass"}),
    ("no limits", TLS, {"18": "fail", "20": "fail"}),
    ("limits", f"{TLS}max_connections 9\nmax_packet_size 9999\nmax_keepalive 60\npersistent_client_expiration 2d\n", {"18": "pass", "20": "pass"}),
    ("the older limit", f"{TLS}max_connections 9\nmessage_size_limit 9999\nmax_keepalive 60\n", {"18": "pass"}),
    ("no queue limit", f"{TLS}max_queued_messages 0\n", {"18": "fail"}),
    ("retained for ever", f"{TLS}check_retain_source false\n", {"19": "fail"}),
    ("retained while allowed", TLS, {"19": "pass"}),
    ("silent", f"{TLS}log_type none\n", {"22": "fail"}),
    ("nowhere to log", f"{TLS}log_dest none\n", {"22": "fail"}),
    ("no connections logged", f"{TLS}connection_messages false\n", {"22": "fail"}),
    ("logged", f"{TLS}log_type all\nlog_dest syslog\n", {"22": "pass"}),
    ("secret of a bridge", f"{TLS}connection b\naddress h\nremote_password hunter2\n", {"23": "fail"}),
    ("secret of a plugin", f"{TLS}plugin p.so\nplugin_opt_token hunter2\n", {"23": "fail"}),
    ("no secret", TLS, {"23": "pass"}),
    ("root", f"{TLS}user root\n", {"24": "fail"}),
    ("its own user", f"{TLS}user mosquitto\n", {"24": "pass"}),
    ("proxy of anybody", "listener 1883\nenable_proxy_protocol 2\n", {"25": "fail"}),
    ("proxy here", "listener 1883 127.0.0.1\nenable_proxy_protocol 2\n", {"25": "pass"}),
    ("misspelt", f"{TLS}alow_anonymous false\n", {"26": "fail", "29": "pass"}),
    ("repeated", f"{TLS}allow_anonymous false\nallow_anonymous true\n", {"26": "fail", "01": "fail"}),
    ("clean", TLS, {"26": "pass", "27": "not-tested", "29": "pass"}),
    ("deprecated", f"port 1883\n{TLS}acl_file narrow\n", {"27": "fail"}),
    ("administration", f"{TLS}listener 8080\nprotocol http_api\n", {"28": "fail"}),
    ("administration here", f"{TLS}listener 8080 127.0.0.1\nprotocol http_api\n", {"28": "pass"}),
    ("missing include", f"include_dir none\n{TLS}", {"29": "fail"}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_checks_say_what_the_configuration_does(
    tmp_path: Path, text: str, wanted: dict[str, str]
) -> None:
    found = results(tmp_path, "mosquitto", text, **FILES)
    assert states(found, wanted) == wanted
    for result in found.values():
        if result.state is State.FAIL:
            assert result.evidence["file"]
            assert result.evidence["places"]


def test_every_check_that_mosquitto_has_is_seen_both_ways() -> None:
    seen = {(number, state) for _, _, wanted in CASES for number, state in wanted.items()}
    for number in (
        "01",
        "02",
        "04",
        "05",
        "06",
        "10",
        "11",
        "12",
        "13",
        "14",
        "15",
        "16",
        "18",
        "19",
        "20",
        "22",
        "23",
        "24",
        "25",
        "26",
        "28",
        "29",
    ):
        assert {(number, "fail"), (number, "pass")} <= seen, number


def test_file_line_value_and_what_to_write_are_told(tmp_path: Path) -> None:
    found = results(tmp_path, "mosquitto", f"{TLS}tls_version tlsv1.1\n")["10"]
    path = tmp_path / "broker.conf"
    assert (found.evidence["file"], found.evidence["line"]) == (str(path), 4)
    assert found.evidence["places"] == [f"{path}:4: tls_version = tlsv1.1; *:8883 takes tlsv1.1"]
    assert found.evidence["write"] == ["tls_version tlsv1.2"]


def test_a_default_is_called_one_and_depends_on_the_version(tmp_path: Path) -> None:
    old = results(tmp_path, "mosquitto", TLS, version="2.0")["18"]
    assert any("max_packet_size = 0 by default" in place for place in old.evidence["places"])
    new = results(tmp_path, "mosquitto", TLS, version="2.1")["18"]
    assert not any("max_packet_size" in place for place in new.evidence["places"])


def test_what_only_this_machine_can_reach_is_less_severe(tmp_path: Path) -> None:
    assert results(tmp_path, "mosquitto", "")["01"].severity is Severity.MEDIUM
    assert results(tmp_path, "mosquitto", f"{TLS}allow_anonymous true\n")["01"].severity is Severity.CRITICAL


def test_files_that_others_can_read_are_found(tmp_path: Path) -> None:
    (tmp_path / "s.key").write_text("key")
    (tmp_path / "s.key").chmod(0o644)
    found = results(tmp_path, "mosquitto", TLS)["17"]
    assert found.state is State.FAIL
    assert found.evidence["write"] == [f"chmod 0600 {tmp_path / 's.key'}"]


def test_roles_of_dynamic_security_are_judged(tmp_path: Path) -> None:
    everything = {"acltype": "publishClientSend", "topic": "#", "allow": True}
    data = {
        "defaultACLAccess": {"publishClientSend": True},
        "clients": [{"username": "anna", "roles": [{"rolename": "r"}]}],
        "roles": [{"rolename": "r", "acls": [everything]}],
    }
    text = f"plugin mosquitto_dynamic_security.so\nplugin_opt_config_file d.json\n{TLS}"
    found = results(tmp_path, "mosquitto", text, **{"d.json": json.dumps(data)})
    assert states(found, {"02": "", "05": ""}) == {"02": "fail", "05": "fail"}
    data["defaultACLAccess"] = {}
    everything["topic"] = "devices/anna/#"
    found = results(tmp_path, "mosquitto", text, **{"d.json": json.dumps(data)})
    assert states(found, {"02": "", "05": ""}) == {"02": "pass", "05": "pass"}


def test_no_secret_gets_into_a_report(tmp_path: Path) -> None:
    text = f"{TLS}password_file plain\nconnection b\nremote_password hunter2\nremote_pasword hunter2\n"
    results(tmp_path, "mosquitto", text, **FILES)
    assert b"hunter2" not in repr(audit([tmp_path / "broker.conf"], "mosquitto")).encode()


_words = st.sampled_from(
    [*DIRECTIVES, "true", "false", "1883", "-1", "14d", "0", "#", "websockets", "acl", "::1"]
)


@settings(deadline=None)
@given(st.lists(st.lists(_words, max_size=4).map(" ".join) | st.text(max_size=30), max_size=20))
def test_no_text_makes_the_audit_raise(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.conf"
    path.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    assert len(audit([path], "mosquitto").results) == 29


def test_the_command_for_a_password_is_quoted_for_a_shell(tmp_path: Path) -> None:
    text = f"{TLS}password_file its file\n"
    found = results(tmp_path, "mosquitto", text, **{"its file": "bob smith;id:$6$c2FsdA==$aGFzaA==\n"})
    (line,) = found["16"].evidence["write"]
    assert shlex.split(line) == ["mosquitto_passwd", str(tmp_path / "its file"), "bob smith;id"]
