"""Guessing at a running broker, by every way in which a secret can be tried; and who is kept out by that."""

import base64
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from scramp import ScramClient

from bollard.wire.codec import Packet, decode, encode
from bollard.wire.connect import Auth, Connack, Connect
from bollard.wire.framer import Framer
from bollard.wire.properties import Properties
from cli.daemon import Daemon, eventually

BAD_PASSWORD, NOT_AUTHORIZED, TOO_OFTEN = 0x86, 0x87, 0x9F
METHOD = "SCRAM-SHA-256"
#: `max_guesses` as it is by default, and the one that begins the first delay.
FREE = 5
CONFIG = """\
policy = "policy.toml"
allow_human_passwords = true
[[listener]]
bind = "127.0.0.1:0"
[est]
bind = "127.0.0.1:0"
"""


@dataclass
class Site:
    """A running broker."""

    daemon: Daemon
    folder: Path

    def context(self, certificate: tuple[str, str] | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.daemon.ca_file)
        if certificate is not None:
            context.load_cert_chain(*certificate)
        return context

    def knock(self, packet: Connect, address: str, context: ssl.SSLContext | None = None) -> int:
        """Connect from `address`: the reason code of the CONNACK."""
        with self.line(address, context) as line:
            answer = line.ask(packet)
        assert isinstance(answer, Connack)
        return answer.code

    def line(self, address: str, context: ssl.SSLContext | None = None) -> "Line":
        raw = socket.create_connection(("127.0.0.1", self.daemon.port), 10, (address, 0))
        return Line((context or self.context()).wrap_socket(raw, server_hostname="127.0.0.1"))

    def guess(self, name: str, password: str, address: str) -> int:
        return self.knock(Connect(version=5, username=name, password=password.encode()), address)

    def scram(self, name: str, password: str, address: str) -> int:
        """A whole exchange by SCRAM."""
        client = ScramClient([METHOD], name, password)

        def step(text: str) -> Properties:
            return Properties(authentication_method=METHOD, authentication_data=text.encode())

        with self.line(address) as line:
            challenge = line.ask(Connect(version=5, properties=step(client.get_client_first())))
            assert isinstance(challenge, Auth), challenge
            client.set_server_first((challenge.properties.authentication_data or b"").decode())
            verdict = line.ask(Auth(0x18, step(client.get_client_final())))
        assert isinstance(verdict, Connack)
        return verdict.code


class Line:
    """One connection that is asked and answers."""

    def __init__(self, tls: ssl.SSLSocket) -> None:
        self._tls = tls
        self._framer = Framer(2**16)

    def ask(self, packet: Packet) -> Packet:
        self._tls.sendall(encode(packet, 5))
        while not self._framer.next():
            data = self._tls.recv(4096)
            assert data, "it closed without a word"
            self._framer.feed(data)
        framer = self._framer
        return decode(framer.buffer, framer.header, framer.body, framer.end, 5)

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self._tls.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("guessing")
    folder.chmod(0o700)
    (folder / "policy.toml").write_text('version = 1\n[template.device]\npublish = ["devices/${id}/#"]\n')
    (folder / "bollard.toml").write_text(CONFIG)
    with Daemon(folder, config=folder / "bollard.toml") as daemon:
        yield Site(daemon, folder)


def enrolled(site: Site, name: str) -> str:
    return str(site.daemon.json("enroll", name, "--password")["password"])


@pytest.mark.parametrize("way", ["password", "scram"])
def test_guesses_are_refused_unseen_and_the_victim_gets_in_from_elsewhere(site: Site, way: str) -> None:
    name, attacker, home = f"victim-{way}", "127.0.1.1", "127.0.1.2"
    right = enrolled(site, name)
    attempt, wrong = (site.guess, BAD_PASSWORD) if way == "password" else (site.scram, NOT_AUTHORIZED)
    codes = [attempt(name, f"wrong{number}", attacker) for number in range(FREE + 3)]
    assert codes == [wrong] * (FREE + 1) + [TOO_OFTEN] * 2
    assert attempt(name, right, home) == 0
    assert site.guess(name, right, home) == 0
    assert attempt(name, "wrong", attacker) == TOO_OFTEN
    assert attempt(name, right, attacker) == 0, (
        "nobody can guess it, so its owner behind the same address gets in"
    )
    assert eventually(lambda: site.daemon.logged(f"limit.reached limit=max_guesses principal={name}"))
    assert site.daemon.logged(f"address={attacker}")


def test_a_password_that_a_person_chose_is_not_looked_at_within_a_delay(site: Site) -> None:
    chosen, attacker, home = "correct horse battery", "127.0.6.1", "127.0.6.2"
    enrolled(site, "person")
    done = site.daemon.run("devices", "password", "person", "--password-stdin", input=chosen + "\n")
    assert done.returncode == 0, done.stderr
    assert site.guess("person", chosen, home) == 0
    codes = [site.guess("person", f"wrong{number}", attacker) for number in range(FREE + 2)]
    assert codes == [BAD_PASSWORD] * (FREE + 1) + [TOO_OFTEN]
    assert site.guess("person", chosen, attacker) == TOO_OFTEN
    assert site.guess("person", chosen, home) == 0


@pytest.mark.parametrize("end", ["rotate", "suspend", "revoke"])
def test_a_password_that_is_remembered_is_worthless_as_soon_as_it_ends(site: Site, end: str) -> None:
    chosen, name, home = "correct horse battery", f"ends-by-{end}", "127.0.7.1"
    enrolled(site, name)
    site.daemon.run("devices", "password", name, "--password-stdin", input=chosen + "\n")
    assert [site.guess(name, chosen, home) for _ in range(2)] == [0, 0]  # the second is known again
    assert site.daemon.run("devices", end, name).returncode == 0
    assert site.guess(name, chosen, home) in (BAD_PASSWORD, NOT_AUTHORIZED)


def test_a_certificate_gets_in_at_once_from_the_address_of_who_guesses(site: Site) -> None:
    site.daemon.json("enroll", "certified", "--certificate", "--out", site.folder / "out")
    (key,), (crt,) = (sorted((site.folder / "out").rglob(f"*.{kind}"))[:1] for kind in ("key", "crt"))
    shown: Any = [crt, key]
    attacker = "127.0.2.1"
    while site.guess("certified", "wrong", attacker) != TOO_OFTEN:
        pass
    context = site.context((str(shown[0]), str(shown[1])))
    assert site.knock(Connect(version=5), attacker, context) == 0


def test_enrollment_strings_cannot_be_guessed_over_mqtt(site: Site) -> None:
    secret = str(site.daemon.json("enroll", "newcomer", "--token")["token"]).rpartition(".")[2]
    codes = [site.guess("newcomer", f"WRONG{number}", "127.0.3.1") for number in range(FREE + 2)]
    assert codes == [BAD_PASSWORD] * (FREE + 1) + [TOO_OFTEN]
    assert site.guess("newcomer", secret, "127.0.3.2") == 0
    assert site.guess("newcomer", secret, "127.0.3.1") == 0, (
        "the owner of the string is behind that address too"
    )


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed: the EST client of this test")
def test_enrollment_strings_cannot_be_guessed_over_est(site: Site) -> None:
    secret = str(site.daemon.json("enroll", "est-plug", "--token")["token"]).rpartition(".")[2]
    urls: list[str] = []
    assert eventually(
        lambda: urls.extend(line.split()[1] for line in site.daemon.output if line.endswith(" est")) or urls
    )
    url = urls[0]

    def ask(password: str, address: str) -> int:
        done = subprocess.run(
            [
                *("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--interface", address),
                *("--cacert", str(site.daemon.ca_file), "-u", f"est-plug:{password}", "-X", "POST"),
                f"https://{url}/.well-known/est/simpleenroll",
            ],
            capture_output=True,
            check=True,
        )
        return int(done.stdout)

    assert [ask(f"w{number}", "127.0.4.1") for number in range(FREE + 2)] == [401] * (FREE + 1) + [429]
    assert ask(secret, "127.0.4.2") == 415, "the secret is right, and a request is missing"
    assert ask("wrong again", "127.0.4.1") == 429
    assert site.guess("est-plug", "wrong", "127.0.4.1") == TOO_OFTEN, "MQTT and EST count together"
    assert ask(secret, "127.0.4.1") == 415, "its owner is behind that address too"


def test_an_address_that_tries_name_after_name_is_delayed_as_a_whole(site: Site) -> None:
    right = enrolled(site, "late-comer")
    attacker = "127.0.5.1"
    codes = [
        site.guess(f"name{number}", base64.b64encode(b"wrong").decode(), attacker) for number in range(52)
    ]
    assert codes == [BAD_PASSWORD] * 51 + [TOO_OFTEN]
    assert site.guess("late-comer", "wrong", attacker) == TOO_OFTEN
    assert site.guess("late-comer", right, attacker) == 0
    assert site.guess("late-comer", right, "127.0.5.2") == 0
