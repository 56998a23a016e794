"""When an attempt is looked at, and whom that can keep out: not the victim of somebody who guesses."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from bollard.base.authentication import Accepted, Answer, Later, Question, Refused
from bollard.base.events import Event, LimitReached
from bollard.base.types import Peer, Secret
from bollard.net.gate import TransportLimits
from bollard.net.guard import (
    CONNECTION_RATE_EXCEEDED,
    KNOWN_DELAY_MAX_S,
    MAX_UNDER_WAY,
    MAX_UNDER_WAY_PER_ADDRESS,
    Guard,
)

RIGHT = b"right"
HERE, ELSEWHERE = "192.0.2.1", "198.51.100.7"
WRONG = Refused(0x86, "wrong password", "bad user name or password", wrong_credential=True)


@dataclass
class Doorman:
    """Knows every name by the password `RIGHT`; counts what it was asked. `slow` answers later."""

    asked: int = 0
    slow: bool = False
    pending: list[Any] = field(default_factory=list)

    def answer(self, question: Question) -> Answer | Later:
        self.asked += 1
        if self.slow:
            return Later(self.pending.append, lambda: self.judge(question))
        return self.judge(question)

    def judge(self, question: Question) -> Answer:
        if question.method:
            if question.step != "continue":
                return Accepted(question.exchange.claimed) if question.data == RIGHT else WRONG
            return Accepted(question.exchange.claimed) if question.data == RIGHT else WRONG
        if question.peer.certificate is not None:
            return Accepted("victim")
        if question.password is None:
            return Accepted("anonymous")
        return Accepted(question.username or "") if question.password.reveal() == RIGHT else WRONG


class Room:
    """A guard, its clock and what it told."""

    def __init__(self, *, generated: bool = False, **limits: float) -> None:
        self.now = 1000.0
        self.events: list[Event] = []
        self.doorman = Doorman()
        self.guard = Guard(
            self.doorman,
            TransportLimits(**limits),  # type: ignore[arg-type]
            self.events.append,
            lambda: self.now,
            unguessable=Doorman() if generated else None,
        )

    def ask(self, question: Question) -> Answer:
        answer = self.guard.answer(question)
        assert not isinstance(answer, Later)
        return answer

    def password(self, name: str, password: bytes, address: str = HERE, client_id: str = "") -> Answer:
        return self.ask(Question(None, "connect", Peer(address), client_id, name, Secret(password)))

    def proof(self, name: str, proof: bytes, certificate: bytes | None = None) -> Answer:
        """The last step of an exchange that proves the secret of `name`."""
        peer = Peer(HERE, certificate=certificate)
        exchange = SimpleNamespace(claimed=name)
        return self.ask(
            Question(None, "continue", peer, "", None, None, "SCRAM-SHA-256", proof, "", exchange)
        )

    def limits(self) -> list[LimitReached]:
        return [event for event in self.events if isinstance(event, LimitReached)]


def too_early(answer: Answer) -> bool:
    return isinstance(answer, Refused) and answer.code == CONNECTION_RATE_EXCEEDED


def lock(room: Room, name: str = "victim", address: str = HERE) -> None:
    """Guess until nothing is looked at any more."""
    while not too_early(room.password(name, b"wrong", address)):
        pass


def test_after_some_guesses_not_even_the_right_one_is_looked_at() -> None:
    room = Room(max_guesses=5)
    assert [room.password("victim", b"wrong") for _ in range(6)] == [WRONG] * 6
    assert too_early(room.password("victim", RIGHT))
    assert room.doorman.asked == 6


def test_each_further_guess_costs_twice_the_wait() -> None:
    room = Room(max_guesses=1, guess_delay_max_s=60)
    looked_at = 0
    end = room.now + 600
    while room.now < end:
        looked_at += room.password("victim", b"wrong") == WRONG
        room.now += 0.5
    assert looked_at == 16  # at 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 63.5 s, then every 60 s


def test_the_victim_gets_in_at_once_from_another_address() -> None:
    room = Room()
    lock(room)
    assert room.password("victim", RIGHT, ELSEWHERE) == Accepted("victim")


def test_the_victim_gets_in_at_once_with_its_certificate_also_from_the_attackers_address() -> None:
    room = Room()
    lock(room)
    question = Question(None, "connect", Peer(HERE, certificate=b"der"), "", None, None)
    assert room.ask(question) == Accepted("victim")


def test_a_secret_that_nobody_can_guess_gets_in_at_once_also_from_the_attackers_address() -> None:
    room = Room(generated=True, max_guesses_per_address=20)
    lock(room)
    assert room.password("victim", RIGHT) == Accepted("victim")
    lock(room)
    assert room.proof("victim", RIGHT) == Accepted("victim")
    for number in range(30):
        room.password(f"name{number}", b"wrong")
    assert too_early(room.password("stranger", b"wrong"))
    assert room.password("stranger", RIGHT) == Accepted("stranger")


def test_within_a_delay_a_name_with_a_generated_secret_is_refused_like_any_other() -> None:
    rooms = [Room(generated=True), Room(generated=False)]
    answers = [[room.password("victim", b"wrong") for _ in range(9)] for room in rooms]
    assert answers[0] == answers[1]
    assert too_early(answers[0][-1])
    assert rooms[0].doorman.asked == rooms[1].doorman.asked == 6


def test_who_has_got_in_from_an_address_never_waits_long_there_whoever_guesses_at_its_name() -> None:
    room = Room()
    room.password("victim", RIGHT)
    end = room.now + 3600
    while room.now < end:
        room.password("victim", b"wrong")
        room.password("somebody", b"wrong")
        room.now += 1
    lock(room)
    assert too_early(room.password("victim", RIGHT))
    room.now += KNOWN_DELAY_MAX_S
    assert room.password("victim", RIGHT) == Accepted("victim")
    lock(room, "somebody")
    room.now += KNOWN_DELAY_MAX_S
    assert too_early(room.password("somebody", RIGHT)), "it never got in from there"


def test_another_identity_gets_in_from_the_address_of_one_who_guesses() -> None:
    room = Room()
    lock(room)
    assert room.password("neighbour", RIGHT) == Accepted("neighbour")


def test_a_name_that_nobody_has_is_delayed_like_one_that_exists() -> None:
    room = Room()
    answers = {name: [room.password(name, b"wrong") for _ in range(8)] for name in ("victim", "nobody")}
    assert [type(a) for a in answers["victim"]] == [type(a) for a in answers["nobody"]]
    assert [too_early(a) for a in answers["victim"]] == [too_early(a) for a in answers["nobody"]]


def test_who_sprays_over_many_names_is_delayed_as_an_address() -> None:
    room = Room(max_guesses_per_address=50)
    tried = 0
    while not too_early(room.password(f"name{tried}", b"wrong")):
        tried += 1
    assert tried == 51
    assert too_early(room.password("never-seen-here", RIGHT))
    assert room.password("never-seen-here", RIGHT, ELSEWHERE) == Accepted("never-seen-here")


def test_who_has_got_in_from_an_address_before_is_not_delayed_by_a_spray_from_there() -> None:
    room = Room(max_guesses_per_address=3)
    room.password("neighbour", RIGHT)
    for number in range(10):
        room.password(f"name{number}", b"wrong")
    assert too_early(room.password("stranger", RIGHT))
    assert room.password("neighbour", RIGHT) == Accepted("neighbour")


def test_one_device_with_an_old_password_does_not_use_up_its_addresss_patience() -> None:
    room = Room(max_guesses_per_address=50)
    for _ in range(10_000):
        room.password("broken", b"old")
        room.now += 10
    assert room.password("new", RIGHT) == Accepted("new")


def test_a_right_credential_clears_the_slate_of_its_own_pair_only() -> None:
    room = Room(max_guesses=5, max_guesses_per_address=8)
    for _ in range(4):
        room.password("mallory", b"wrong")
        room.password("victim", b"wrong")
        room.password("mallory", RIGHT)
    assert [too_early(room.password("victim", b"wrong")) for _ in range(3)] == [False, True, True]


def test_an_ipv6_network_guesses_as_one() -> None:
    room = Room(max_guesses=1)
    for host in range(1, 4):
        room.password("victim", b"wrong", f"2001:db8::{host}")
    assert too_early(room.password("victim", b"wrong", "2001:db8::ffff"))


def test_proofs_of_a_mechanism_count_as_well_and_a_certificate_beside_them_does_not_help() -> None:
    room = Room(max_guesses=2)
    for _ in range(3):
        assert room.proof("victim", b"wrong", certificate=b"mallory's") == WRONG
    assert too_early(room.proof("victim", RIGHT, certificate=b"mallory's"))
    assert too_early(room.password("victim", RIGHT))


def test_slow_checks_are_counted_when_they_are_through_and_few_run_at_once() -> None:
    room = Room(max_guesses=1)
    room.doorman.slow = True
    question = Question(None, "connect", Peer(HERE), "", "victim", Secret(b"wrong"))
    begun = [room.guard.answer(question) for _ in range(MAX_UNDER_WAY + 5)]
    later = [answer for answer in begun if isinstance(answer, Later)]
    assert len(later) == MAX_UNDER_WAY
    assert all(too_early(answer) for answer in begun if not isinstance(answer, Later))
    assert [answer.conclude() for answer in later] == [WRONG] * MAX_UNDER_WAY
    answer = room.guard.answer(question)
    assert not isinstance(answer, Later)
    assert too_early(answer)


def test_an_address_with_endless_names_does_not_take_every_slow_check() -> None:
    room = Room(max_guesses_per_address=1000)
    room.doorman.slow = True

    def begin(address: str, name: str) -> Answer | Later:
        return room.guard.answer(Question(None, "connect", Peer(address), "", name, Secret(b"wrong")))

    begun = [begin(HERE, f"name{number}") for number in range(MAX_UNDER_WAY_PER_ADDRESS + 5)]
    assert sum(isinstance(answer, Later) for answer in begun) == MAX_UNDER_WAY_PER_ADDRESS
    assert isinstance(begin(ELSEWHERE, "name0"), Later)
    for answer in begun:
        if isinstance(answer, Later):
            answer.conclude()
    assert isinstance(begin(HERE, "another"), Later)


def test_wrong_passwords_beside_a_certificate_do_not_take_every_slow_check() -> None:
    room = Room()
    room.doorman.slow = True
    peer = Peer(HERE, certificate=b"certificate")
    question = Question(None, "connect", peer, "", "plug", Secret(b"wrong"))
    begun = [room.guard.answer(question) for _ in range(MAX_UNDER_WAY + 5)]
    assert sum(isinstance(answer, Later) for answer in begun) == MAX_UNDER_WAY


def test_the_event_names_identity_address_and_limit() -> None:
    room = Room(max_guesses=1)
    lock(room)
    event = room.limits()[0]
    assert (event.limit, event.principal, event.address) == ("max_guesses", "victim", HERE)


def test_who_connects_too_often_waits_longer_each_time_and_nobody_else_does() -> None:
    room = Room(connection_burst_per_client=3, flapping_pause_max_s=60)
    came = [too_early(room.password("flapper", RIGHT, client_id="a")) for _ in range(5)]
    assert came == [False, False, False, True, True]
    assert room.password("other", RIGHT, client_id="a") == Accepted("other")
    assert room.password("flapper", RIGHT, client_id="b") == Accepted("flapper")
    room.now += 1
    assert too_early(room.password("flapper", RIGHT, client_id="a")), "a second pause, of two seconds"
    assert {event.limit for event in room.limits()} == {"connection_rate_per_client"}
    room.now += 100
    assert room.password("flapper", RIGHT, client_id="a") == Accepted("flapper")


def test_who_comes_once_a_second_is_never_paused() -> None:
    room = Room()
    for _ in range(500):
        assert room.password("cron", RIGHT, client_id="job") == Accepted("cron")
        room.now += 1


def test_random_client_identifiers_do_not_get_around_it() -> None:
    room = Room(connection_burst_per_identity=10)
    came = [too_early(room.password("flapper", RIGHT, client_id=f"c{n}")) for n in range(12)]
    assert came == [False] * 10 + [True] * 2
    assert room.limits()[0].limit == "connection_rate_per_identity"


def test_an_anonymous_client_cannot_have_anothers_client_identifier_paused() -> None:
    room = Room(connection_burst_per_client=3)

    def come(address: str) -> bool:
        return too_early(room.ask(Question(None, "connect", Peer(address), "sensor", None, None)))

    assert any(come(HERE) for _ in range(10))
    assert not come(ELSEWHERE)


def test_an_authentication_that_is_renewed_is_no_arrival() -> None:
    room = Room(connection_burst_per_client=1)
    room.doorman.judge = lambda question: Accepted("plug")  # type: ignore[method-assign]
    for _ in range(20):
        answer = room.ask(Question(None, "reauthenticate", Peer(HERE), "a", None, None, "KEY", b"", "plug"))
        assert answer == Accepted("plug")


@pytest.mark.parametrize("devices", [10_000])
def test_with_the_defaults_a_fleet_that_comes_back_at_once_is_let_in_whole(devices: int) -> None:
    room = Room()
    for number in range(devices):
        name = f"device{number}"
        assert room.password(name, RIGHT, f"10.0.0.{number % 10}", name) == Accepted(name)
