"""ACL, password, PSK and dynamic-security files."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bollard.assess.configs.dynsec import DEFAULTS, SEND, read_dynamic_security
from bollard.assess.configs.mosquitto_access import read_acl, read_passwords, read_psk
from bollard.assess.configs.source import Place, Reading

ASKED = Place("mosquitto.conf", 7)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "file"
    path.write_text(text)
    return path


def test_acl_rules_belong_to_the_user_above_them(tmp_path: Path) -> None:
    text = (
        "topic read a/#\n\n# note\nuser anna lee\ntopic deny b\ntopic c d\npattern write p/%u/%c\nuser bob\n"
    )
    reading = Reading()
    acl = read_acl(written(tmp_path, text), reading, ASKED)
    assert acl is not None
    assert [str(rule) for rule in acl.anonymous] == ["read a/#"]
    assert [str(rule) for rule in acl.users["anna lee"]] == ["deny b"]
    assert [str(rule) for rule in acl.patterns] == ["write p/%u/%c"]
    assert acl.users["bob"] == []
    assert [(each.place.line, each.text) for each in reading.unread] == [(6, "c d")]


def test_a_topic_without_access_is_for_both_and_may_hold_spaces_behind_one(tmp_path: Path) -> None:
    acl = read_acl(written(tmp_path, "topic a/b\ntopic readwrite my home/#\n"), Reading(), ASKED)
    assert acl is not None
    assert [(rule.topic, rule.reads, rule.writes) for rule in acl.anonymous] == [
        ("a/b", True, True),
        ("my home/#", True, True),
    ]


def test_wrong_lines_of_an_acl_are_listed(tmp_path: Path) -> None:
    reading = Reading()
    read_acl(written(tmp_path, "topic\nuser\ntopics a\ntopic read a/#/b\ntopic rw a\n"), reading, ASKED)
    assert [each.place.line for each in reading.unread] == [1, 2, 3, 4, 5]


def test_of_passwords_only_the_kind_is_kept(tmp_path: Path) -> None:
    text = "# c\na:$6$c2FsdA==$aGFzaA==\nb:$7$101$c2FsdA==$aGFzaA==\nc:hunter2\nd:$argon2id$v=19$x\ne:$9$x$y\nhunter2\n"
    reading = Reading()
    found = read_passwords(written(tmp_path, text), reading, ASKED)
    assert found is not None
    kinds = {name: (one.kind, one.iterations) for name, one in found.users.items()}
    assert kinds == {
        "a": ("sha512", 1),
        "b": ("pbkdf2", 101),
        "c": ("plain", 0),
        "d": ("argon2", 0),
        "e": ("unknown", 0),
    }
    assert [each.place.line for each in reading.unread] == [7]
    assert "hunter2" not in repr((found, reading.unread))


def test_of_pre_shared_keys_only_the_identity_is_kept(tmp_path: Path) -> None:
    reading = Reading()
    found = read_psk(written(tmp_path, "plug:0badcafe\n\nbroken\n"), reading, ASKED)
    assert found is not None
    assert list(found) == ["plug"]
    assert [each.place.line for each in reading.unread] == [3]


DYNSEC = {
    "defaultACLAccess": {"publishClientSend": True, "publishClientReceive": False},
    "anonymousGroup": "guests",
    "clients": [
        {"username": "anna", "password": "x", "salt": "y", "iterations": 101, "roles": [{"rolename": "r", "priority": 2}]},
        {"username": "bob", "disabled": True, "groups": [{"groupname": "g"}]},
    ],
    "groups": [
        {"groupname": "g", "roles": [{"rolename": "low", "priority": 1}, {"rolename": "high", "priority": 5}], "clients": [{"username": "anna"}]},
        {"groupname": "guests", "roles": [{"rolename": "low"}]},
    ],
    "roles": [
        {"rolename": "r", "acls": [
            {"acltype": "publishClientSend", "topic": "a", "priority": 1, "allow": True},
            {"acltype": "publishClientSend", "topic": "b", "priority": 9, "allow": False},
        ]},
        {"rolename": "low", "acls": [{"acltype": "subscribePattern", "topic": "low/#", "allow": True}]},
        {"rolename": "high", "acls": [{"acltype": "subscribePattern", "topic": "high/#", "allow": True}]},
    ],
}  # fmt: skip


def test_rules_of_dynamic_security_come_by_priority_and_the_clients_own_first(tmp_path: Path) -> None:
    reading = Reading()
    found = read_dynamic_security(written(tmp_path, json.dumps(DYNSEC)), reading, ASKED)
    assert found is not None
    assert reading.unread == []
    assert [rule.topic for rule in found.rules("anna")] == ["b", "a", "high/#", "low/#"]
    assert [rule.topic for rule in found.rules("bob")] == ["high/#", "low/#"]
    assert [rule.topic for rule in found.rules("")] == ["low/#"]
    assert list(found.rules("nobody")) == []
    assert found.clients["bob"].disabled
    assert found.clients["anna"].has_password
    assert found.defaults == {**DEFAULTS, SEND: True, "publishClientReceive": False}


def test_shapes_that_are_not_expected_are_listed(tmp_path: Path) -> None:
    strange = {
        "clients": [3, {"username": ""}, {"username": "a", "roles": [1], "extra": 1}],
        "roles": [{"rolename": "r", "acls": [{"acltype": "x", "topic": "t"}, 5]}],
        "groups": {"g": 1},
        "defaultACLAccess": {"subscribe": 1},
        "more": 1,
    }
    reading = Reading()
    assert read_dynamic_security(written(tmp_path, json.dumps(strange)), reading, ASKED)
    assert len(reading.unread) == 9


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "null"])
def test_what_is_no_json_object_is_listed(tmp_path: Path, text: str) -> None:
    reading = Reading()
    assert read_dynamic_security(written(tmp_path, text), reading, ASKED) is None
    assert len(reading.unread) == 1


_acl_words = st.sampled_from(
    ["user", "topic", "pattern", "read", "write", "deny", "readwrite", "a/#", "%u/%c", "+", "#", "$"]
)


@settings(deadline=None)
@given(st.lists(st.lists(_acl_words, max_size=4).map(" ".join) | st.text(max_size=20), max_size=15))
def test_no_text_makes_the_access_files_raise(
    tmp_path_factory: pytest.TempPathFactory, text: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_text("\n".join(text), encoding="utf-8", errors="replace")
    for read in (read_acl, read_passwords, read_psk, read_dynamic_security):
        read(path, Reading(), ASKED)


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["clients", "groups", "roles", "acls", "username", "rolename", "groupname", "acltype", "topic", "allow", "priority", "defaultACLAccess"]),
        inner,
        max_size=6,
    ),
    max_leaves=25,
)  # fmt: skip


@settings(deadline=None)
@given(_json)
def test_no_document_makes_dynamic_security_raise(
    tmp_path_factory: pytest.TempPathFactory, data: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.json"
    path.write_text(json.dumps(data))
    found = read_dynamic_security(path, Reading(), ASKED)
    if found is None:
        assert not isinstance(data, dict)
    else:
        for user in ["", *found.clients]:
            assert all(rule.topic for rule in found.rules(user))
