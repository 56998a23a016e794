"""`bollard why ID`: one answer about a connection, from a running broker."""

import json
import os
import socket
import subprocess

from cli.daemon import Daemon, bollard, eventually


def layer(broker: Daemon, identity: str) -> str:
    """The layer that the command blames, whatever its exit code."""
    return str(json.loads(broker.run("why", identity, "--json").stdout)["layer"])


def test_a_wrong_password_is_found_with_its_remedy(broker: Daemon) -> None:
    told = broker.json("enroll", "forgetful")
    address = ("-h", told["host"], "-p", told["port"], "--ca-file", told["ca_file"], "-u", "forgetful")
    bollard("pub", *address, "-t", "a", "-m", "b", env={**os.environ, "BOLLARD_PASSWORD": "wrong"})
    done = broker.run("why", "forgetful")
    assert done.returncode == 1
    assert "wrong password" in done.stdout
    assert "remedy" in done.stdout
    assert f"devices rotate --dir {broker.directory} forgetful" in done.stdout
    why = json.loads(broker.run("why", "forgetful", "--json").stdout)
    assert why["failures"][0]["remedy"] == why["remedy"]


def test_a_client_that_distrusts_the_server_is_found(broker: Daemon) -> None:
    broker.json("enroll", "doubter")
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{broker.port}"]
    command += ["-verify_return_error", "-CAfile", str(broker.directory / "ca" / "device-ca.crt")]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert eventually(lambda: "does not trust our server certificate" in broker.run("why", "doubter").stdout)


def test_plaintext_on_the_tls_port_is_found(broker: Daemon) -> None:
    broker.json("enroll", "plain")
    with socket.create_connection(("127.0.0.1", broker.port)) as plain:
        plain.sendall(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04plug")
        assert plain.recv(1) == b""
    assert "plaintext MQTT on a TLS port" in broker.run("why", "plain").stdout
    assert layer(broker, "plain") == "tcp"


def test_a_suspended_identity_is_found_and_how_to_let_it_in(broker: Daemon) -> None:
    broker.json("enroll", "paused")
    broker.run("devices", "suspend", "paused")
    done = broker.run("why", "paused")
    assert done.returncode == 1
    assert f"bollard devices resume --dir {broker.directory} paused" in done.stdout


def test_a_policy_question_about_who_is_shut_out_is_answered_by_the_registry(broker: Daemon) -> None:
    broker.json("enroll", "gone")
    question = ("why", "gone", "publish", "devices/gone/state")
    assert broker.run(*question).returncode == 0
    broker.run("devices", "revoke", "gone")
    done = broker.run(*question)
    assert done.returncode == 1
    assert done.stdout.startswith("DENIED: it cannot connect at all: it is revoked")
    assert "bollard grant" not in done.stdout
    told = json.loads(broker.run(*question, "--json").stdout)
    assert (told["allowed"], told["rule"], told["fix"]) == (False, "registry", None)


def test_one_that_is_not_enrolled_is_told_how(broker: Daemon) -> None:
    done = broker.run("why", "nobody-knows")
    assert done.returncode == 1
    assert f"bollard enroll --dir {broker.directory} nobody-knows" in done.stdout


def test_an_action_needs_a_topic(broker: Daemon) -> None:
    done = broker.run("why", "paused", "publish")
    assert done.returncode == 2
    assert "TOPIC" in done.stderr


def test_a_device_that_was_denied_something_and_left_is_told_so_and_gets_in(broker: Daemon) -> None:
    told = broker.json("enroll", "curious")
    address = ("-h", told["host"], "-p", told["port"], "--ca-file", told["ca_file"], "-u", "curious")
    password = {**os.environ, "BOLLARD_PASSWORD": told["password"]}
    bollard("pub", *address, "-t", "elsewhere", "-m", "b", "-q", 1, env=password)
    done = broker.run("why", "curious")
    assert done.returncode == 0
    assert "got in, but: publish elsewhere" in done.stdout


def test_one_whose_string_is_open_is_not_told_to_take_a_password(broker: Daemon) -> None:
    broker.json("enroll", "pend", "--token")
    done = broker.run("why", "pend")
    assert done.returncode == 1
    assert "its string is open until" in done.stdout
    assert "bollard enroll" not in done.stdout
