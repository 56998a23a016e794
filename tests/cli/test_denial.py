"""What a denied device is told, and what its owner sees of it: over a running broker."""

import json
import threading
from pathlib import Path
from typing import Any

from cli.daemon import Daemon, bollard, eventually


def enrolled(broker: Daemon, folder: Path, name: str, *options: str) -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(broker.json("enroll", name, *options)))
    return path


def test_a_device_learns_what_it_was_denied_and_nobody_else_does(broker: Daemon, tmp_path: Path) -> None:
    plug, lamp = enrolled(broker, tmp_path, "plug"), enrolled(broker, tmp_path, "lamp")
    done: list[Any] = []
    topic = "$diag/plug/denied"
    listen = ("sub", "--settings", plug, "-t", topic, "-C", "1", "--timeout", "20", "--json")
    listening = threading.Thread(target=lambda: done.append(bollard(*listen)))
    listening.start()
    assert eventually(lambda: broker.json("status")["counters"]["subscriptions"] == 1)
    spying = bollard("sub", "--settings", lamp, "-t", topic)
    assert spying.returncode == 1
    assert f"Where the broker runs: bollard why lamp subscribe '{topic}'" in spying.stderr

    sent = bollard("pub", "--settings", plug, "-t", "devices/hall/cmd", "-m", "1")  # QoS 0: no answer
    assert sent.returncode == 0
    listening.join()
    message = json.loads(done[0].stdout)
    told = json.loads(message["payload"])
    assert (told["action"], told["topic"], told["nearest"]["filter"]) == (
        "publish",
        "devices/hall/cmd",
        "devices/plug/#",
    )
    traffic = broker.json("devices", "show", "plug")["traffic"]
    assert (traffic["denied_publish"], traffic["received"]) == (1, 1)
    assert broker.json("status")["traffic"]["lamp"]["denied_subscribe"] == 1
    assert "denied       publish 1, subscribe 0" in broker.run("devices", "show", "plug").stdout
    show = f"1 of plug: bollard devices show --dir {broker.directory} plug\n"
    assert show in broker.run("status").stdout


def test_a_refused_message_names_the_command_that_explains_it(broker: Daemon, tmp_path: Path) -> None:
    nosy = enrolled(broker, tmp_path, "nosy")
    done = bollard("pub", "--settings", nosy, "-t", "devices/hall/cmd", "-m", "1", "--qos", "1")
    assert done.returncode == 1
    hint = "Where the broker runs: bollard why nosy publish devices/hall/cmd"
    assert hint in done.stderr
    assert broker.run(*hint.partition("bollard ")[2].split()).stdout.startswith("DENIED")


def test_a_message_above_a_limit_of_its_policy_names_who_can_say_which(
    broker: Daemon, tmp_path: Path
) -> None:
    chatty = enrolled(broker, tmp_path, "chatty")
    assert broker.run("grant", "chatty", "--limit", "max_payload=3", "--no-end").returncode == 0
    send = ("pub", "--settings", chatty, "-t", "devices/chatty/x", "--qos", "1")
    assert eventually(lambda: bollard(*send, "-m", "long").returncode == 1)
    done = bollard(*send, "-m", "long")
    assert "Where the broker runs: bollard why chatty; bollard policy show chatty" in done.stderr
    assert "bollard sub -t '$diag/chatty/denied'" in done.stderr
    assert "its log" not in done.stderr
    assert "policy.max_payload" in broker.run("why", "chatty").stdout


def test_a_port_with_tls_is_not_asked_without_it_and_the_error_says_which_is_which(
    broker: Daemon, tmp_path: Path
) -> None:
    lamp = enrolled(broker, tmp_path, "lamp-2")
    plain = ("--allow-plaintext", "--allow-plaintext-password")
    done = bollard("pub", "--settings", lamp, "-t", "devices/lamp-2/x", "-m", "1", *plain)
    assert done.returncode == 1
    assert "a port without TLS, mostly 1883" in done.stderr
    assert "a port with TLS, mostly 8883, leave it out" in done.stderr


def test_a_policy_that_is_broken_on_disk_shows_and_only_what_clients_retain_is_counted(
    broker: Daemon, tmp_path: Path
) -> None:
    policy = broker.directory / "policy.toml"
    before = policy.read_text()
    keeper = enrolled(broker, tmp_path, "keeper")
    done = bollard("pub", "--settings", keeper, "-t", "devices/keeper/x", "-m", "1", "-q", "1", "--retain")
    assert done.returncode == 0
    assert eventually(lambda: "own, such as $SYS" in broker.run("status").stdout)
    assert ", 1 retained" in broker.run("status").stdout
    policy.write_text(before + "\n[template.broken]\npublsh = []\n")
    assert eventually(lambda: broker.json("status")["policy_fault"])
    text = broker.run("status").stdout
    assert "POLICY       the file is wrong, and NOT in force" in text
    assert f"{policy}:{len(before.splitlines()) + 3}: " in text
    assert 'Did you mean "publish"?' in text
    policy.write_text(before)
    assert eventually(lambda: not broker.json("status")["policy_fault"])


def test_a_response_topic_of_somebody_else_is_refused_and_explained(broker: Daemon, tmp_path: Path) -> None:
    asker = enrolled(broker, tmp_path, "asker")
    request = ("pub", "--settings", asker, "-t", "devices/asker/ask", "-m", "?", "--qos", "1")
    done = bollard(*request, "--response-topic", "devices/lamp/cmd")
    assert done.returncode == 1
    assert "Where the broker runs: bollard why asker receive devices/lamp/cmd" in done.stderr
    assert bollard(*request, "--response-topic", "devices/asker/answer").returncode == 0


def test_limits_of_the_policy_reach_a_client_that_is_connected(broker: Daemon, tmp_path: Path) -> None:
    small = enrolled(broker, tmp_path, "small")
    policy = broker.directory / "policy.toml"
    right = policy.read_text()
    publish = ("pub", "--settings", small, "-t", "devices/small/x", "--qos", "1")
    assert bollard(*publish, "-m", "12345").returncode == 0
    try:
        policy.write_text(right + '\n[group.small]\nmembers = ["small"]\nmax_payload = 4\n')
        assert eventually(lambda: bollard(*publish, "-m", "12345").returncode == 1)
        refused = bollard(*publish, "-m", "12345")
        assert refused.returncode == 1
        assert "quota exceeded (0x97)" in refused.stderr
        assert bollard(*publish, "-m", "1234").returncode == 0
        assert eventually(lambda: broker.logged("limit=policy.max_payload principal=small"))
        limits = broker.json("policy", "show", "small")["limits"]
        assert limits == [{"name": "max_payload", "value": "4", "rule": "group.small"}]
    finally:
        policy.write_text(right)


def test_who_gives_no_credential_is_told_how_to(broker: Daemon) -> None:
    there = ("-h", "127.0.0.1", "-p", broker.port, "--ca-file", broker.ca_file)
    done = bollard("pub", *there, "-t", "a", "-m", "x")
    assert done.returncode == 1
    assert "--settings FILE; or --username with --password-file; or --cert and --key" in done.stderr
    assert "bollard why" not in done.stderr
