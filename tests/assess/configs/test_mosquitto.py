"""mosquitto.conf as sections: scopes, includes, plugins, and what is not understood."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bollard.assess.configs.mosquitto import MosquittoFile
from bollard.assess.configs.mosquitto_effective import Mosquitto
from bollard.assess.configs.mosquitto_keys import DIRECTIVES
from bollard.assess.configs.source import MAX_UNREAD


def parse(tmp_path: Path, text: str, **others: str) -> MosquittoFile:
    for name, other in others.items():
        (tmp_path / name).write_text(other)
    path = tmp_path / "mosquitto.conf"
    path.write_text(text)
    return MosquittoFile(path)


def test_a_directive_belongs_to_the_listener_above_it(tmp_path: Path) -> None:
    found = parse(tmp_path, "listener 1883 127.0.0.1\nmax_connections 5\nlistener 8883\ncertfile a.pem\n")
    assert [(one.name, sorted(one.settings)) for one in found.listeners] == [
        ("1883 127.0.0.1", ["max_connections"]),
        ("8883", ["certfile"]),
    ]
    assert found.listeners[1].last("certfile").place.line == 4  # type: ignore[union-attr]
    assert found.reading.unread == []


def test_security_belongs_to_the_broker_unless_listeners_have_their_own(tmp_path: Path) -> None:
    shared = parse(tmp_path, "listener 1883\nallow_anonymous true\nlistener 1884\n")
    assert shared.general.last("allow_anonymous")
    own = parse(tmp_path, "per_listener_settings true\nlistener 1883\nallow_anonymous true\nlistener 1884\n")
    assert own.listeners[0].last("allow_anonymous")
    assert own.listeners[1].last("allow_anonymous") is None


def test_an_included_file_begins_without_a_listener(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "B.conf").write_text("max_connections 7\n")
    (tmp_path / "conf.d" / "a.conf").write_text("listener 8883\ncertfile c\nkeyfile k\n")
    (tmp_path / "conf.d" / "notes.txt").write_text("not read\n")
    found = parse(tmp_path, "listener 1883\ninclude_dir conf.d\nmax_qos 1\n")
    assert [each.name for each in found.listeners] == ["1883", "8883", "1883"]
    assert found.listeners[0].last("max_qos")
    assert found.listeners[2].implied
    assert [Path(name).name for name in found.reading.files] == ["mosquitto.conf", "a.conf", "B.conf"]


def test_an_include_in_an_include_is_listed(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.conf").write_text("include_dir deeper\n")
    found = parse(tmp_path, "include_dir conf.d\ninclude_dir nowhere\n")
    assert [each.place.line for each in found.reading.unread] == [1, 2]


def test_what_is_not_understood_is_listed_with_its_line(tmp_path: Path) -> None:
    text = "alow_anonymous true\nlistener no\nmax_connections many\npersistent_client_expiration 2x\ntopic # out\n"
    found = parse(tmp_path, text)
    assert [(each.place.line, each.text) for each in found.reading.unread] == [
        (1, "alow_anonymous"),
        (2, "listener no"),
        (3, "max_connections many"),
        (4, "persistent_client_expiration 2x"),
        (5, "topic"),
    ]
    assert 'Did you mean "allow_anonymous"?' in found.reading.unread[0].reason


def test_a_comment_that_is_indented_is_listed_as_mosquitto_refuses_it(tmp_path: Path) -> None:
    found = parse(tmp_path, "# right\nlistener 1883\n  # wrong\n   \n")
    assert [each.place.line for each in found.reading.unread] == [3]


def test_nonsense_is_listed_up_to_a_bound_and_then_said_to_go_on(tmp_path: Path) -> None:
    found = parse(tmp_path, "nonsense\n" * (MAX_UNREAD + 500))
    assert len(found.reading.unread) == MAX_UNREAD + 1
    assert "more was not understood" in str(found.reading.unread[-1])


def test_secrets_are_hidden(tmp_path: Path) -> None:
    text = (
        "connection b\nremote_password hunter2\nbridge_psk 0badcafe\n"
        "plugin p.so\nplugin_opt_db_password hunter2\nremote_pasword hunter2\n"
    )
    found = parse(tmp_path, text)
    assert found.bridges[0].last("remote_password").value == "(hidden)"  # type: ignore[union-attr]
    assert found.general.plugins[0].options["db_password"].value == "(hidden)"
    assert "hunter2" not in repr([found.bridges, found.general, found.reading.unread])
    assert "0badcafe" not in repr(found.bridges)


def test_per_listener_settings_behind_a_security_directive_is_listed(tmp_path: Path) -> None:
    found = parse(tmp_path, "allow_anonymous true\nper_listener_settings true\n")
    assert found.reading.unread[0].place.line == 2


def test_plugins_have_their_options_and_are_used_by_name(tmp_path: Path) -> None:
    text = (
        "plugin_load dyn /lib/mosquitto_dynamic_security.so\nplugin_opt_config_file d.json\n"
        "listener 1883\nplugin_use dyn\nlistener 1884\nplugin_use other\n"
    )
    found = parse(tmp_path, text)
    assert found.listeners[0].plugins[0].options["config_file"].value == "d.json"
    assert [each.place.line for each in found.reading.unread] == [6]
    assert found.version == "2.1"


def test_the_version_follows_from_the_directives(tmp_path: Path) -> None:
    assert parse(tmp_path, "listener 1883\n").version == "2.0"
    assert parse(tmp_path, "listener 1883\nlistener_allow_anonymous true\n").version == "2.1"


def test_every_directive_is_read_where_it_may_stand(tmp_path: Path) -> None:
    samples = {
        "flag": "true",
        "integer": "5",
        "text": "x",
        "word": "mqtt",
        "words": "1884 x",
        "duration": "2d",
    }
    above = "plugin p.so\nlistener 1883\nconnection b\n"
    for key, directive in DIRECTIVES.items():
        if key not in ("include_dir", "plugin_use", "per_listener_settings"):
            found = parse(tmp_path, f"{above}{key} {samples[directive.kind]}\n")
            assert found.reading.unread == [], key


def test_without_listeners_it_is_open_on_loopback_only(tmp_path: Path) -> None:
    path = tmp_path / "mosquitto.conf"
    path.write_text("")
    broker = Mosquitto(path)
    assert [(one.name, one.loopback, one.security.anonymous.on) for one in broker.listeners] == [
        ("localhost:1883", True, True)
    ]
    path.write_text("listener 1883\n")
    listener = Mosquitto(path).listeners[0]
    assert not listener.loopback
    assert not listener.security.anonymous.on


@pytest.mark.parametrize(("version", "packet", "anonymous"), [("2.0", "0", True), ("2.1", "2000000", False)])
def test_defaults_are_those_of_the_version(
    tmp_path: Path, version: str, packet: str, anonymous: bool
) -> None:
    path = tmp_path / "mosquitto.conf"
    path.write_text("max_connections 10\n")
    broker = Mosquitto(path, version)
    assert broker.get("max_packet_size").value == packet
    assert broker.listeners[0].security.anonymous.on is anonymous


def test_missing_files_are_listed_where_they_are_named(tmp_path: Path) -> None:
    path = tmp_path / "mosquitto.conf"
    path.write_text("listener 1883\nacl_file none.acl\npassword_file none.pw\npsk_file none.psk\n")
    broker = Mosquitto(path)
    assert [each.place.line for each in broker.reading.unread] == [2, 3, 4]
    assert broker.listeners[0].security.acl_setting is not None


def test_a_missing_or_strange_file_is_told_and_raises_nothing(tmp_path: Path) -> None:
    assert "no such file" in str(MosquittoFile(tmp_path / "none.conf").reading.unread[0])
    assert "directory" in str(MosquittoFile(tmp_path).reading.unread[0])
    (tmp_path / "bytes.conf").write_bytes(b"\xff\xfe\x00listener\x00 1883\nlistener 1883\r\n")
    assert len(MosquittoFile(tmp_path / "bytes.conf").listeners) == 1


_words = st.sampled_from(
    [*DIRECTIVES, "true", "false", "1883", "-1", "14d", "0", "/tmp/s", "#", "plugin_opt_x"]
)
_lines = st.lists(st.lists(_words, max_size=4).map(" ".join) | st.text(max_size=30), max_size=20)


@settings(deadline=None)
@given(_lines)
def test_no_text_makes_the_parser_raise(tmp_path_factory: pytest.TempPathFactory, text: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.conf"
    path.write_text("\n".join(text), encoding="utf-8", errors="replace")
    broker = Mosquitto(path)
    assert broker.listeners
    for listener in broker.listeners:
        assert listener.name
