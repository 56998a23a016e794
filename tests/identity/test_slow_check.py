"""Checking people's passwords in the pool, and knowing again those that were right."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from bollard.base.authentication import Accepted, Answer, Later, Question, Refused
from bollard.base.types import Peer, Secret
from bollard.identity import passwords, slow_check
from bollard.identity.credentials import Verifier
from bollard.identity.principal import RegistryAuthenticator
from bollard.identity.registry import Registry
from bollard.identity.revoke import endings_of_credentials, without_ended
from bollard.identity.slow_check import REMEMBERED_S, SlowChecks

from .conftest import NOW

RIGHT, WRONG = Secret(b"correct horse battery"), Secret(b"correct horse batterz")


class Scene:
    """`anna` has a password that she chose, `plug` a generated one; counts the slow work that is done."""

    def __init__(self, registry: Registry, verifier: Verifier, patch: pytest.MonkeyPatch) -> None:
        self.registry = registry
        self.now = 0.0
        self.worked = 0
        self.gate = threading.Event()
        self.gate.set()
        patch.setattr(passwords, "matches", self._counted(passwords.matches))
        patch.setattr(passwords, "waste", self._counted(passwords.waste))
        self.slow = SlowChecks(verifier.password_pepper, lambda: self.now, threads=1, waiting_per_thread=1)
        self.authenticator = RegistryAuthenticator(
            registry.snapshot, verifier, clock=lambda: NOW, slow=self.slow
        )
        registry.add("anna", "app", now=NOW)
        registry.set_password("anna", RIGHT, now=NOW)
        self.generated = registry.add_with_password("plug", "device", now=NOW)

    def _counted(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: object) -> Any:
            self.worked += 1
            assert self.gate.wait(10)
            return work(*arguments)

        return counted

    def ask(self, username: str, password: Secret, peer: Peer | None = None) -> Answer | Later:
        return self.authenticator.answer(
            Question(None, "connect", peer or Peer(), "client", username, password)
        )

    def answer(self, username: str, password: Secret, peer: Peer | None = None) -> Answer:
        return final(self.ask(username, password, peer))


def final(answer: Answer | Later) -> Answer:
    """The answer, waited for where it takes its time."""
    if not isinstance(answer, Later):
        return answer
    done = threading.Event()
    answer.when_done(done.set)
    assert done.wait(10)
    return answer.conclude()


@pytest.fixture
def scene(registry: Registry, verifier: Verifier, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    made = Scene(registry, verifier, monkeypatch)
    yield made
    made.gate.set()
    made.slow.close()


def code(answer: Answer) -> int:
    assert isinstance(answer, Refused), answer
    return answer.code


def test_the_right_password_is_accepted_and_the_wrong_one_refused(scene: Scene) -> None:
    assert scene.answer("anna", RIGHT) == Accepted("anna")
    assert code(scene.answer("anna", WRONG)) == 0x86


def test_a_password_that_was_right_is_known_again_without_the_work(scene: Scene) -> None:
    scene.answer("anna", RIGHT)
    worked = scene.worked
    assert scene.ask("anna", RIGHT) == Accepted("anna")
    assert scene.worked == worked


def test_a_password_that_was_wrong_is_worked_on_each_time(scene: Scene) -> None:
    for _ in range(2):
        assert code(scene.answer("anna", WRONG)) == 0x86
    assert scene.worked == 2


def test_what_is_known_again_ends_with_time(scene: Scene) -> None:
    scene.answer("anna", RIGHT)
    scene.now = REMEMBERED_S
    assert isinstance(scene.ask("anna", RIGHT), Later)


def test_what_is_known_again_is_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_check, "MAX_REMEMBERED", 1)
    scene.registry.add("bert", "app", now=NOW)
    scene.registry.set_password("bert", RIGHT, now=NOW)
    scene.answer("anna", RIGHT)
    scene.answer("bert", RIGHT)
    assert isinstance(scene.ask("bert", RIGHT), Accepted)
    assert isinstance(scene.ask("anna", RIGHT), Later)


def test_the_passwords_of_two_names_are_not_taken_for_each_other(scene: Scene) -> None:
    scene.registry.add("bert", "app", now=NOW)
    scene.registry.set_password("bert", WRONG, now=NOW)
    scene.answer("anna", RIGHT)
    assert code(scene.answer("bert", RIGHT)) == 0x86


@pytest.mark.parametrize("change", ["set", "rotate", "end", "suspend", "revoke"])
def test_every_change_of_the_credential_ends_what_was_known(scene: Scene, change: str) -> None:
    scene.answer("anna", RIGHT)
    registry = scene.registry
    match change:
        case "set":
            registry.set_password("anna", WRONG, now=NOW)
        case "rotate":
            registry.rotate_password("anna", now=NOW)
        case "end":
            registry.end_password("anna", now=NOW)
        case "suspend":
            registry.suspend("anna", now=NOW)
        case "revoke":
            registry.revoke("anna", now=NOW)
    assert isinstance(scene.answer("anna", RIGHT), Refused)


@pytest.mark.parametrize("change", ["set", "suspend", "revoke"])
def test_a_change_while_the_check_is_under_way_counts(scene: Scene, change: str) -> None:
    scene.gate.clear()
    asked = scene.ask("anna", RIGHT)
    registry = scene.registry
    if change == "set":
        registry.set_password("anna", WRONG, now=NOW)
    else:
        getattr(registry, change)("anna", now=NOW)
    scene.gate.set()
    assert isinstance(final(asked), Refused)


def test_an_unknown_name_costs_the_same_work_and_gets_the_same_answer(scene: Scene) -> None:
    unknown = scene.answer("nobody", WRONG)
    worked = scene.worked
    known = scene.answer("anna", WRONG)
    assert (scene.worked, worked) == (2, 1)
    assert isinstance(unknown, Refused)
    assert isinstance(known, Refused)
    assert (unknown.code, unknown.tell) == (known.code, known.tell)


def test_a_wrong_password_for_a_generated_one_costs_the_same_work(scene: Scene) -> None:
    assert code(scene.answer("plug", WRONG)) == 0x86
    assert scene.worked == 1


def test_a_generated_password_needs_no_slow_work(scene: Scene) -> None:
    assert scene.ask("plug", scene.generated) == Accepted("plug")
    assert scene.worked == 0


def test_a_cheap_hash_of_another_broker_costs_a_wrong_password_as_much(scene: Scene) -> None:
    stored = "$7$1$c2FsdHNhbHQ=$" + "A" * 86 + "=="
    scene.registry.add_with_hash("old", "app", stored, now=NOW)
    assert code(scene.answer("old", WRONG)) == 0x86
    assert scene.worked == 2


def test_who_comes_when_too_many_wait_is_told_to_come_again(scene: Scene) -> None:
    scene.gate.clear()
    waiting = [scene.ask("anna", RIGHT) for _ in range(2)]
    for name in ("anna", "nobody", "plug"):
        assert code(scene.answer(name, WRONG)) == 0x89
    assert scene.ask("plug", scene.generated) == Accepted("plug")
    scene.gate.set()
    assert [final(one) for one in waiting] == [Accepted("anna")] * 2
    assert code(scene.answer("anna", WRONG)) == 0x86


def test_a_closed_pool_lets_nobody_in(scene: Scene) -> None:
    scene.slow.close()
    assert code(scene.answer("anna", RIGHT)) == 0x89


def test_without_the_option_the_right_password_is_refused_and_the_log_says_why(
    scene: Scene, verifier: Verifier
) -> None:
    strict = RegistryAuthenticator(scene.registry.snapshot, verifier, clock=lambda: NOW)
    answer = strict.answer(Question(None, "connect", Peer(), "client", "anna", RIGHT))
    assert isinstance(answer, Refused)
    assert "allow_human_passwords" in answer.reason
    assert answer.tell == "bad user name or password"


def test_a_password_beside_a_certificate_is_checked_as_well(scene: Scene) -> None:
    scene.registry.begin_certificate("anna", 1, not_after=NOW + 100, now=NOW)
    scene.registry.complete_certificate("anna", 1, hashlib.sha256(b"DER").digest(), now=NOW)
    peer = Peer(certificate=b"DER")
    assert scene.answer("anna", RIGHT, peer) == Accepted("anna")
    assert code(scene.answer("anna", WRONG, peer)) == 0x86


def test_a_restored_backup_does_not_bring_a_replaced_password_back(scene: Scene) -> None:
    before = scene.registry.get("anna")
    after = scene.registry.set_password("anna", WRONG, now=NOW + 1)
    log = endings_of_credentials(before, after)
    (restored,) = without_ended([before], log, now=NOW + 2)
    assert restored.password_hash == ""
    assert without_ended([after], log, now=NOW + 2) == []
    assert before.password_hash not in repr(log)


def test_no_secret_shows_in_the_record(scene: Scene) -> None:
    assert "argon2" not in repr(scene.registry.get("anna"))
    assert replace(scene.registry.get("anna"), password_hash="").has_password is False
