"""Requests for certificates that come as messages: what is answered, to whom, and what a flood gets."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from bollard.base.errors import LocalError
from bollard.base.events import Event
from bollard.base.types import Peer
from bollard.engine.core import ServerRequest
from bollard.identity import profile
from bollard.identity.enroll import Issued, Waiting
from bollard.identity.refusals import EnrollmentRefused
from bollard.server.enrollment import MAX_WAITING, EnrollmentService

ROOT = profile.self_signed(profile.SERVER_ROOT, "root", profile.new_ec_key(), now=1_795_392_000)
WithCertificate = Peer(certificate=b"DER of plug")


class Desk:
    """Answers as it is told, and remembers what it was asked."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.asked: list[tuple[str, Any]] = []

    def _say(self, *asked: Any) -> Any:
        self.asked.append(asked)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def enroll(self, identity: str, csr: bytes, *, now: float) -> Any:
        return self._say("enroll", identity)

    def renew(self, certificate: bytes, csr: bytes, *, now: float) -> Any:
        return self._say("renew", certificate)

    def renew_proved(self, identity: str, csr: bytes, *, now: float) -> Any:
        return self._say("renew_proved", identity)

    def pins(self) -> tuple[str, ...]:
        return ()

    def has_roots(self, identity: str, said: bytes) -> None:
        self._say("has_roots", identity, said)

    def roots(self) -> tuple[x509.Certificate, ...]:
        return (ROOT.certificate,)

    def used(self, identity: str, serial: int, *, now: float) -> Any:
        return self._say("used", serial)


class House:
    """A service and everything that it tells."""

    def __init__(self, desk: Desk) -> None:
        self.published: list[tuple[str, dict[str, Any]]] = []
        self.events: list[Event] = []
        self.changes = 0
        self.service = EnrollmentService(
            desk,  # type: ignore[arg-type]  # a desk for tests
            publish=lambda topic, payload: self.published.append((topic, json.loads(payload))),
            changed=self._changed,
            emit=self.events.append,
            address=lambda: ("broker.local", 8883),
        )

    def _changed(self) -> None:
        self.changes += 1

    def ask(self, principal: str, peer: Peer | None = None) -> None:
        self.service.requested(ServerRequest(principal, "c", peer or Peer(), "$enroll/csr", b"CSR"))

    def ask_roots(self, principal: str, said: bytes) -> None:
        self.service.requested(ServerRequest(principal, "c", Peer(), "$enroll/roots", said))


def run(desk: Desk, act: Callable[[House], None]) -> House:
    async def live() -> House:
        house = House(desk)
        act(house)
        await house.service.stop()
        await asyncio.sleep(0.01)
        return house

    coroutine: Coroutine[Any, Any, House] = live()
    return asyncio.run(coroutine)


@pytest.mark.parametrize(
    ("principal", "peer", "asked"),
    [
        ("enroll:plug", None, ("enroll", "plug")),
        ("renew:plug", None, ("renew_proved", "plug")),
        ("plug", WithCertificate, ("renew", b"DER of plug")),
    ],
)
def test_who_asks_how_decides_what_is_asked_of_the_desk(
    principal: str, peer: Peer | None, asked: tuple[str, Any]
) -> None:
    desk = Desk(Waiting("plug", bytes(32)))
    house = run(desk, lambda house: house.ask(principal, peer))
    assert desk.asked == [asked]
    assert house.published[0][0] == "$enroll/reply/plug"


def test_a_password_is_not_turned_into_a_certificate() -> None:
    desk = Desk()
    house = run(desk, lambda house: house.ask("plug"))
    assert desk.asked == []
    assert house.published[0][1]["status"] == "refused"


def test_a_refusal_is_answered_in_words() -> None:
    house = run(Desk(EnrollmentRefused(403, "no")), lambda house: house.ask("enroll:plug"))
    assert house.published == [("$enroll/reply/plug", {"status": "refused", "reason": "no"})]
    assert house.changes == 0


@pytest.mark.parametrize("error", [LocalError("/secret/path is full"), RuntimeError("secret")])
def test_faults_of_ours_are_not_explained_to_devices(error: Exception) -> None:
    house = run(Desk(error), lambda house: house.ask("enroll:plug"))
    ((_, answer),) = house.published
    assert answer["status"] == "refused"
    assert "secret" not in json.dumps(answer)


def test_when_nothing_can_be_issued_the_owner_hears_why_and_the_device_when_to_ask() -> None:
    refusal = EnrollmentRefused(503, "the server cannot issue certificates now")
    refusal.__cause__ = LocalError("the token plant did not sign", "Is it plugged in?")
    house = run(Desk(refusal), lambda house: house.ask("enroll:plug"))
    ((_, answer),) = house.published
    assert answer["retry_s"] > 0
    assert "token" not in json.dumps(answer)
    assert any("the token plant did not sign" in str(event) for event in house.events)


def test_a_device_that_waits_hears_its_keys_fingerprint() -> None:
    house = run(Desk(Waiting("plug", bytes(range(32)))), lambda house: house.ask("enroll:plug"))
    ((_, answer),) = house.published
    assert (answer["status"], answer["key"]) == ("waiting", "AAAQ-EAYE-AUDA-OCAJ-BIFQ-YDIO-B4IB-CEQT")
    assert answer["retry_s"] > 0


def test_an_issued_certificate_comes_with_where_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Issued, "chain_pem", b"PEM")
    house = run(Desk(Issued("plug", b"", b"", 5)), lambda house: house.ask("enroll:plug"))
    ((_, answer),) = house.published
    assert answer == {
        "status": "issued",
        "certificate": "PEM",
        "not_after": 5,
        "host": "broker.local",
        "port": 8883,
    }
    assert house.changes == 1


def test_a_flood_is_told_to_come_again() -> None:
    desk = Desk(Waiting("plug", bytes(32)))

    def flood(house: House) -> None:
        for _ in range(MAX_WAITING + 10):
            house.ask("enroll:plug")
        assert [answer["reason"] for _, answer in house.published] == ["too many requests"] * 10

    house = run(desk, flood)
    assert len(desk.asked) == MAX_WAITING
    assert len(house.published) == MAX_WAITING + 10


def test_the_use_of_a_new_certificate_is_noted_once_while_it_is_in_work() -> None:
    desk = Desk()

    def use(house: House) -> None:
        for _ in range(3):
            house.service.used("plug", 7)

    run(desk, use)
    assert ("used", 7) in desk.asked
    assert len(desk.asked) <= 3


def test_who_gets_a_certificate_is_told_that_another_root_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Desk, "pins", lambda self: ("a" * 64, "b" * 64))
    der = ROOT.certificate.public_bytes(serialization.Encoding.DER)
    house = run(Desk(Issued("plug", der, der, 1)), lambda house: house.ask("enroll:plug"))
    assert house.published[0][1]["pins"] == ["a" * 64, "b" * 64]


@pytest.mark.parametrize("principal", ["plug", "enroll:plug", "renew:plug"])
def test_whoever_asks_for_the_roots_gets_them_and_speaks_for_itself_alone(principal: str) -> None:
    """Attack: a device that says that others have the new root, so that they are left behind."""
    desk = Desk()
    house = run(desk, lambda house: house.ask_roots(principal, b"lamp"))
    assert desk.asked == [("has_roots", "plug", b"lamp")]
    ((topic, told),) = house.published
    assert topic == "$enroll/reply/plug"
    assert told["status"] == "roots"
    assert x509.load_pem_x509_certificate(told["roots"].encode()) == ROOT.certificate
    assert (house.changes, house.events) == (0, [])


def test_what_is_no_list_of_pins_is_refused_in_words() -> None:
    desk = Desk(EnrollmentRefused(400, "a pin is ..."))
    house = run(desk, lambda house: house.ask_roots("plug", b"x"))
    assert house.published[0][1] == {"status": "refused", "reason": "a pin is ..."}
