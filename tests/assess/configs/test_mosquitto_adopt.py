"""Ten setups, as people have them, become ours: valid, and with the rights that they had."""

import base64
import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bollard.assess.configs.adoption import Adoption, Kind, is_identity
from bollard.assess.configs.mosquitto import MosquittoFile
from bollard.assess.configs.mosquitto_adopt import adopt
from bollard.assess.configs.mosquitto_keys import DIRECTIVES
from bollard.base.toml import Document
from bollard.base.types import ANONYMOUS, Action
from bollard.identity.names import is_identity as may_be_enrolled
from bollard.policy.compile import Policy
from bollard.policy.rules import read_rules
from bollard.server.config import Config
from bollard.server.load import load_config

from .reference import AclReference, RolesReference

SETUPS = Path(__file__).parent / "setups"
NAMES = sorted(path.name for path in SETUPS.iterdir())

#: Whose rights are in which ACL file; None is a client without a name.
ACLS: dict[str, dict[str, list[str | None]]] = {
    "01-home": {"acl": ["homeassistant", "zigbee2mqtt", "frontdoor", "plug-1", "plug-2"]},
    "03-factory": {"acl": ["line-1", "historian"]},
    "04-two-worlds": {"inside.acl": ["boss", "sensor-1"], "outside.acl": ["partner", None]},
    "05-web": {"acl": ["web", "anna@example.org"]},
    "07-bridge": {"acl": ["bridge", "scale"]},
    "08-psk": {"acl": ["oven-1", "oven-2"]},
    "10-campus": {"acl": ["operator", "room 12", "lamp", "room-12", "anonymous", None]},
}


def adopted(name: str) -> Adoption:
    return adopt(SETUPS / name / "mosquitto.conf")


def policy(adoption: Adoption) -> Policy:
    """The policy that came out, with everybody enrolled as the report says."""
    rules = read_rules(Document(Path("policy.toml"), adoption.policy))
    return Policy(rules, {each.identity: "device" for each in adoption.enrolments})


def config(adoption: Adoption, folder: Path) -> Config:
    (folder / "bollard.toml").write_text(adoption.config)
    return load_config(folder / "bollard.toml")


def identity(adoption: Adoption, user: str | None) -> str:
    if user is None:
        return ANONYMOUS
    return next(each.identity for each in adoption.enrolments if each.user == user)


def topics(filters: list[str], users: list[str | None], seed: int) -> Iterator[str]:
    """Topics near the filters: wildcards filled in, levels changed, cut off and added."""
    rng = random.Random(seed)
    names = [user for user in users if user]
    words = [*names, *(level for filter in filters for level in filter.split("/")), "x", ""]
    words = [word for word in words if not any(sign in word for sign in "+#%")]
    for _ in range(1_500):
        levels: list[str] = []
        for level in rng.choice(filters).split("/"):
            if level == "#":
                levels += rng.choices(words, k=rng.randint(0, 2))
            elif "%" in level:
                name = rng.choice([*names, "x"])
                levels.append(level.replace("%u", name).replace("%c", name))
            else:
                levels.append(rng.choice(words) if level == "+" or rng.random() < 0.15 else level)
        if rng.random() < 0.1:
            levels = levels[:-1] or ["x"]
        topic = "/".join(levels)
        if topic:
            yield topic


@pytest.mark.parametrize("name", NAMES)
def test_a_setup_becomes_files_that_our_loaders_take(name: str, tmp_path: Path) -> None:
    adoption = adopted(name)
    assert config(adoption, tmp_path).listeners
    policy(adoption)
    assert adoption.unread == []
    assert all(may_be_enrolled(each.identity) for each in adoption.enrolments)
    assert len({each.identity for each in adoption.enrolments}) == len(adoption.enrolments)


def test_the_setups_hold_every_directive() -> None:
    used = set()
    for name in NAMES:
        for path in (SETUPS / name).rglob("*.conf"):
            used |= {line.split(" ")[0] for line in path.read_text().splitlines()}
    assert DIRECTIVES.keys() - used == set()


@pytest.mark.parametrize(("name", "file"), [(name, file) for name, files in ACLS.items() for file in files])
def test_rights_are_those_of_the_acl_file_and_never_wider(name: str, file: str) -> None:
    reference = AclReference(SETUPS / name / file)
    adoption = adopted(name)
    ours = policy(adoption)
    users = ACLS[name][file]
    for topic in topics(reference.topics(), users, seed=7):
        for user in users:
            who = identity(adoption, user)
            client = user or "guest"
            for access, action in (("write", Action.PUBLISH), ("read", Action.RECEIVE)):
                theirs = reference.allowed(user, client, access, topic)
                got = ours.decide(who, action, topic).allowed
                told = reference.pattern_denies(user, client, topic) or (user is None and client in topic)
                assert got <= theirs, (user, access, topic)
                assert got == theirs or told, (user, access, topic)
                if action is Action.PUBLISH:
                    assert got is ours.decide(who, Action.WILL, topic).allowed
                    assert ours.decide(who, Action.RETAIN, topic).allowed or not got


def test_where_a_deny_wins_now_it_is_told() -> None:
    for name, user in (("03-factory", "historian"), ("10-campus", "operator")):
        told = [
            note.text for note in adopted(name).notes if note.kind is Kind.SAFER and "deny wins" in note.text
        ]
        assert any(f'"{user}"' in text for text in told)


def test_roles_of_dynamic_security_give_the_rights_that_they_gave() -> None:
    data = json.loads((SETUPS / "06-dynamic/dynamic-security.json").read_text())
    reference = RolesReference(data)
    adoption = adopted("06-dynamic")
    ours = policy(adoption)
    filters = [acl["topic"] for role in data["roles"] for acl in role["acls"] if acl["topic"][0] != "$"]
    for topic in topics(filters, ["admin", "meter", None], seed=3):
        for user in ("admin", "meter", None):
            who = identity(adoption, user)
            published = reference.allowed(user, "publishClientSend", topic)
            assert ours.decide(who, Action.PUBLISH, topic).allowed is published, (user, topic)
            read = reference.subscribed(user, topic) and reference.allowed(
                user, "publishClientReceive", topic
            )
            assert ours.decide(who, Action.RECEIVE, topic).allowed is read, (user, topic)
    assert "gone" not in [each.user for each in adoption.enrolments]
    assert not ours.decide("gone", Action.RECEIVE, "public/x").allowed


def test_an_open_broker_stays_open_and_that_is_told() -> None:
    adoption = adopted("02-open")
    ours = policy(adoption)
    assert ours.decide(ANONYMOUS, Action.PUBLISH, "any/thing").allowed
    assert ours.decide(ANONYMOUS, Action.SUBSCRIBE, "#").allowed
    assert any("everybody may still" in note.text for note in adoption.notes)


def test_plaintext_off_loopback_becomes_tls(tmp_path: Path) -> None:
    adoption = adopted("02-open")
    listeners = config(adoption, tmp_path).listeners
    assert [(str(each.bind), each.encrypted, each.allow_anonymous) for each in listeners] == [
        ("0.0.0.0:8883", True, True)
    ]
    assert "# allow_plaintext_from" in adoption.config
    assert any(note.kind is Kind.SAFER and "port 8883" in note.text for note in adoption.notes)


def test_the_report_names_the_port_that_each_listener_moves_to(tmp_path: Path) -> None:
    (tmp_path / "mosquitto.conf").write_text("listener 1883\nlistener 9001\nprotocol websockets\n")
    adoption = adopt(tmp_path / "mosquitto.conf")
    bound = [str(each.bind) for each in config(adoption, tmp_path).listeners]
    told = [note.text for note in adoption.notes if "had no TLS" in note.text]
    assert bound == ["0.0.0.0:8883", "0.0.0.0:8884"]
    assert ["port 8883 with TLS" in told[0], "port 8884 with TLS" in told[1]] == [True, True]


def test_listeners_and_limits_are_carried_over(tmp_path: Path) -> None:
    found = config(adopted("03-factory"), tmp_path)
    assert [each.name for each in found.listeners] == [
        "tls 0.0.0.0:8883",
        "plaintext 127.0.0.1:1884",
        f"unix unix:{tmp_path / 'mqtt.sock'}",
    ]
    assert found.limits.max_packet_bytes == found.limits.max_connect_bytes == 10_000
    assert found.limits.keepalive_max_s == 120
    assert found.limits.session_expiry_max_s == 14 * 86_400
    assert (found.limits.max_queue_messages, found.limits.max_queue_bytes) == (500, 1_000_000)
    assert found.limits.max_inflight == 40
    assert found.limits.maximum_qos == 1


def test_origins_of_web_pages_are_carried_over(tmp_path: Path) -> None:
    listeners = config(adopted("05-web"), tmp_path).listeners
    assert {str(each.bind): each.origins for each in listeners if each.websocket} == {
        "0.0.0.0:8884": ("https://dash.example",),
        "127.0.0.1:9002": (),
    }


def test_users_of_two_rule_sets_get_none_and_that_is_told() -> None:
    adoption = adopted("04-two-worlds")
    ours = policy(adoption)
    assert not ours.decide("shared", Action.PUBLISH, "site/shared/x").allowed
    assert not ours.decide("shared", Action.RECEIVE, "public/x").allowed
    assert any(note.kind is Kind.BY_HAND and '"shared"' in note.text for note in adoption.notes)


def test_an_unknown_plugin_means_no_rights_and_work_by_hand() -> None:
    adoption = adopted("09-plugins")
    assert not policy(adoption).decide("anna", Action.PUBLISH, "x").allowed
    assert sum("plugin" in note.text for note in adoption.notes if note.kind is Kind.BY_HAND) == 2


def test_every_user_is_to_be_enrolled_with_the_reason() -> None:
    adoption = adopted("01-home")
    assert [(each.identity, each.credential) for each in adoption.enrolments] == [
        (name, "password") for name in ("frontdoor", "homeassistant", "plug-1", "plug-2", "zigbee2mqtt")
    ]
    assert "sha512" in next(each.reason for each in adoption.enrolments if each.user == "plug-2")
    assert {each.credential for each in adopted("08-psk").enrolments} == {"password"}


def test_names_that_are_none_here_are_changed_and_never_meet() -> None:
    adoption = adopted("10-campus")
    names = {each.user: each.identity for each in adoption.enrolments}
    assert names["room-12"] == "room-12"
    assert names["room 12"] == "room-12-2"
    assert names["anonymous"] != ANONYMOUS


def test_a_wildcard_as_a_name_gets_nothing_and_is_told(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("pattern readwrite x/%u\npattern read all\nuser +\ntopic own\n")
    (tmp_path / "pw").write_text("+:$7$1$a$b\na#b:$7$1$a$b\nanna:$7$1$a$b\n")
    (tmp_path / "mosquitto.conf").write_text("listener 8883\nacl_file acl\npassword_file pw\n")
    adoption = adopt(tmp_path / "mosquitto.conf")
    assert [each.user for each in adoption.enrolments] == ["anna"]
    assert "[grant" not in adoption.policy
    assert sum("wildcard in its name" in note.text for note in adoption.notes) == 2


def test_bridges_are_told_and_no_secret_of_theirs_is() -> None:
    adoption = adopted("07-bridge")
    assert sum("bridge" in note.text and note.kind is Kind.BY_HAND for note in adoption.notes) == 2
    assert "not-a-real-one" not in repr(adoption)


def test_every_directive_without_counterpart_is_told() -> None:
    for name in NAMES:
        adoption = adopted(name)
        said = " ".join(note.text for note in adoption.notes)
        general = MosquittoFile(SETUPS / name / "mosquitto.conf").general
        silent = {
            "acl_file", "password_file", "psk_file", "allow_anonymous", "include_dir", "log_type", "sys_interval",
            "per_listener_settings", "retain_available", "max_packet_size", "message_size_limit", "max_keepalive",
            "persistent_client_expiration", "max_queued_messages", "max_queued_bytes", "max_inflight_messages",
            "global_max_connections",
        }  # fmt: skip
        assert all(key in said for key in general.settings.keys() - silent), name


_user = st.sampled_from(["anna", "bob.x", "room 12", "a/b", "a+b", "ANNA", "anonymous", "ü"])
_level = st.sampled_from(["a", "b", "+", "%u", "%c", "x-%u", "$SYS", "room 12", "anna", "${id}"])
_topic = st.lists(_level, min_size=1, max_size=3).flatmap(
    lambda levels: st.sampled_from(["/".join(levels), "/".join([*levels, "#"])])
)
_rule = st.tuples(
    st.sampled_from(["topic", "topic", "pattern"]),
    st.sampled_from(["read", "write", "readwrite", "deny"]),
    _topic,
).map(" ".join)
_acl = st.lists(_rule | _user.map("user {}".format), max_size=12)


@settings(deadline=None, max_examples=150)
@given(
    _acl,
    st.booleans(),
    st.lists(st.sampled_from(["a", "b", "anna", "room 12", "x-anna", "$SYS", "ü"]), min_size=1, max_size=3),
)
def test_no_acl_file_becomes_wider_than_it_was(
    tmp_path_factory: pytest.TempPathFactory, rules: list[str], anonymous: bool, levels: list[str]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "acl").write_text("\n".join(rules) + "\n")
    (folder / "pw").write_text("anna:$7$1$a$b\nroom 12:$7$1$a$b\nü:$7$1$a$b\n+:$7$1$a$b\n")
    text = f"listener 8883\nacl_file acl\npassword_file pw\nallow_anonymous {str(anonymous).lower()}\n"
    (folder / "mosquitto.conf").write_text(text)
    adoption = adopt(folder / "mosquitto.conf")
    ours = policy(adoption)
    reference = AclReference(folder / "acl")
    topic = "/".join(levels)
    for user in [None, "anna", "room 12", "ü"]:
        if user is None and not anonymous:
            continue
        who = identity(adoption, user)
        if user is not None and (who in topic and who != user):
            continue  # topics of the new name are nobody's there
        for access, action in (("write", Action.PUBLISH), ("read", Action.RECEIVE)):
            if ours.decide(who, action, topic).allowed:
                assert reference.allowed(user, user or "guest", access, topic)


_conf_lines = st.lists(
    st.tuples(st.sampled_from(sorted(DIRECTIVES)), st.sampled_from(["true", "false", "0", "1", "-1", "99999999999", "1883", "8883 ::1", "x", "acl", "7d", "websockets"])).map(" ".join)
    | st.text(max_size=20),
    max_size=20,
)  # fmt: skip


@settings(deadline=None)
@given(_conf_lines)
def test_whatever_is_read_our_loaders_take_what_comes_out(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "mosquitto.conf").write_text("\n".join(lines), encoding="utf-8", errors="replace")
    (folder / "acl").write_text("user x\ntopic a\n")
    adoption = adopt(folder / "mosquitto.conf")
    config(adoption, folder)
    policy(adoption)


@given(st.text(min_size=1, max_size=70))
def test_a_name_that_may_be_kept_is_one_that_may_be_enrolled(name: str) -> None:
    assert is_identity(name) == may_be_enrolled(name)


# Passwords ---------------------------------------------------------------------------------------------


def hashed(password: str, kind: int = 7, rounds: int = 101) -> str:
    """What mosquitto_passwd writes for `password`."""
    salt = b"saltsaltsalt"
    if kind == 6:
        digest = hashlib.sha512(password.encode() + salt).digest()
    else:
        digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds)
    parts = ["", str(kind), *([str(rounds)] if kind == 7 else [])]
    return "$".join([*parts, base64.b64encode(salt).decode(), base64.b64encode(digest).decode()])


def with_passwords(
    folder: Path, passwords: str, conf: str = "listener 8883\ncertfile c\nkeyfile k\n"
) -> Adoption:
    (folder / "pw").write_text(passwords)
    (folder / "mosquitto.conf").write_text(f"{conf}password_file pw\n")
    return adopt(folder / "mosquitto.conf")


def test_passwords_that_can_be_checked_here_are_carried_over(tmp_path: Path) -> None:
    stored = {"anna": hashed("one"), "bert": hashed("two", 6)}
    text = "".join(f"{user}:{hash_}\n" for user, hash_ in stored.items())
    adoption = with_passwords(tmp_path, f"{text}carl:plain\ndora:$7$101$AAAA$BBBB\nanna b:{hashed('x')}\n")
    assert {each.identity: each.stored.reveal().decode() for each in adoption.carried} == stored
    assert [each.user for each in adoption.enrolments if not each.stored] == ["anna b", "carl", "dora"]
    assert config(adoption, tmp_path).allow_human_passwords
    notes = " ".join(note.text for note in adoption.notes)
    assert "2 passwords count as they are until their next rotation" in notes
    assert "one round of SHA-512" in notes
    assert "without encryption" not in notes


def test_no_hash_is_in_anything_that_is_printed(tmp_path: Path) -> None:
    adoption = with_passwords(tmp_path, f"anna:{hashed('one')}\n")
    assert adoption.carried
    assert "$7$" not in repr(adoption) + adoption.config + adoption.policy + str(adoption.notes)


def test_passwords_that_crossed_the_network_in_clear_are_told(tmp_path: Path) -> None:
    adoption = with_passwords(tmp_path, f"anna:{hashed('one')}\n", "listener 1883\n")
    assert any("without encryption" in note.text for note in adoption.notes)


def test_without_a_password_to_carry_over_none_of_a_person_is_checked(tmp_path: Path) -> None:
    adoption = with_passwords(tmp_path, "carl:plain\n")
    assert not config(adoption, tmp_path).allow_human_passwords
    (tmp_path / "pw").write_text(f"anna:{hashed('one')}\n")
    adoption = adopt(tmp_path / "mosquitto.conf", passwords=False)
    assert not adoption.carried
    assert "allow_human_passwords" not in adoption.config


def test_two_passwords_of_one_user_are_not_carried_over(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"anna:{hashed(name)}\n")
    conf = "per_listener_settings true\nlistener 8883\npassword_file one\nlistener 8884\npassword_file two\n"
    (tmp_path / "mosquitto.conf").write_text(conf)
    adoption = adopt(tmp_path / "mosquitto.conf")
    assert adoption.carried == []
    assert "different passwords" in adoption.enrolments[0].reason


def test_a_name_that_changes_cannot_keep_its_password(tmp_path: Path) -> None:
    adoption = with_passwords(tmp_path, f"anna@example.org:{hashed('one')}\n")
    assert adoption.enrolments[0].identity == "anna-example.org"
    assert adoption.carried == []
    assert "this name had to change" in adoption.enrolments[0].reason
    assert "pbkdf2" not in adoption.enrolments[0].reason


def test_an_authority_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "there.crt").write_text("x")
    path = tmp_path / "mosquitto.conf"
    for name, missing in (("there.crt", False), ("gone.crt", True)):
        path.write_text(f"listener 8883\ncertfile c\nkeyfile k\ncafile {name}\n")
        told = [note.text for note in adopt(path).notes if note.text.startswith("cafile ")]
        assert ["no such file" in text for text in told] == [missing]


def test_a_password_file_named_as_acl_file_is_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text(f"anna:{hashed('one')}\nbert:in the clear\nhunter2\n")
    path = tmp_path / "mosquitto.conf"
    path.write_text("listener 8883\nacl_file pw\n")
    told = "\n".join(map(str, adopt(path).unread))
    assert told.count("pw:") == 3
    assert not any(secret in told for secret in ("$7$", "anna", "clear"))


@pytest.mark.parametrize("form", ["fields", "encoded"])
def test_passwords_of_dynamic_security_are_carried_over(tmp_path: Path, form: str) -> None:
    _, _, rounds, salt, digest = hashed("one").split("$")
    fields = {"password": digest, "salt": salt, "iterations": int(rounds)}
    client = {"username": "anna", **(fields if form == "fields" else {"encoded_password": hashed("one")})}
    gone = {"username": "gone", "disabled": True, **fields}
    (tmp_path / "dyn.json").write_text(json.dumps({"clients": [client, gone]}))
    conf = "listener 8883\nplugin /usr/lib/mosquitto_dynamic_security.so\nplugin_opt_config_file dyn.json\n"
    (tmp_path / "mosquitto.conf").write_text(conf)
    adoption = adopt(tmp_path / "mosquitto.conf")
    assert [(each.identity, each.stored.reveal().decode()) for each in adoption.carried] == [
        ("anna", hashed("one"))
    ]
