"""Keys of TLS-PSK: how they are made, replaced, and taken at CONNECT."""

from dataclasses import replace

import pytest

from bollard.base.authentication import Accepted, Question, Refused
from bollard.base.types import Peer, Secret
from bollard.identity.credentials import Verifier
from bollard.identity.principal import RegistryAuthenticator
from bollard.identity.psk import PskKeys
from bollard.identity.records import State
from bollard.identity.registry import Registry
from bollard.identity.revoke import endings_of_credentials, outdated, without_ended

from .conftest import NOW


@pytest.fixture
def keys(registry: Registry, verifier: Verifier) -> PskKeys:
    return PskKeys(registry.snapshot, verifier.psk_master)


@pytest.fixture
def authenticator(registry: Registry, verifier: Verifier) -> RegistryAuthenticator:
    return RegistryAuthenticator(registry.snapshot, verifier, clock=lambda: NOW)


def ask(authenticator: RegistryAuthenticator, peer: Peer, username: str | None = None) -> object:
    return authenticator.answer(Question(None, "connect", peer, "client", username, None))


def test_a_key_is_found_under_its_name_and_enrolls_a_new_one(registry: Registry, keys: PskKeys) -> None:
    key = registry.give_psk("meter", "device", now=NOW)
    found, salt = keys.find("meter")
    assert len(key.reveal()) == 32
    assert found.reveal() == key.reveal()
    assert registry.get("meter").state is State.ACTIVE
    assert registry.get("meter").psk_salt == salt


def test_the_registry_holds_no_key(registry: Registry) -> None:
    key = registry.give_psk("meter", "device", now=NOW)
    known = registry.get("meter")
    assert key.reveal() not in known.psk_salt
    assert known.psk_salt.hex() not in repr(known)


def test_another_pepper_makes_another_key(registry: Registry) -> None:
    key = registry.give_psk("meter", "device", now=NOW)
    elsewhere = PskKeys(registry.snapshot, Verifier(Secret(b"q" * 32)).psk_master)
    assert elsewhere.find("meter")[0].reveal() != key.reveal()


def test_an_unknown_name_gets_a_key_that_nobody_knows(registry: Registry, keys: PskKeys) -> None:
    first, second = keys.find("nobody"), keys.find("nobody")
    assert len(first[0].reveal()) == 32
    assert first[0].reveal() != second[0].reveal()
    assert first[1] == b""


def test_a_key_ends_every_older_credential_and_is_ended_by_the_next(
    registry: Registry, keys: PskKeys
) -> None:
    registry.add_with_password("meter", "device", now=NOW)
    first = registry.give_psk("meter", "other", now=NOW)
    known = registry.get("meter")
    assert (known.verifier, known.scram, known.template) == (b"", None, "device")
    assert registry.give_psk("meter", "device", now=NOW).reveal() != first.reveal()
    registry.rotate_password("meter", now=NOW)
    assert registry.get("meter").psk_salt == b""


def test_who_proved_its_key_is_its_identity(registry: Registry, authenticator: RegistryAuthenticator) -> None:
    registry.give_psk("meter", "device", now=NOW)
    peer = Peer(psk=("meter", registry.get("meter").psk_salt))
    assert ask(authenticator, peer) == Accepted("meter")
    assert ask(authenticator, peer, "meter") == Accepted("meter")
    assert isinstance(ask(authenticator, peer, "lamp"), Refused)


@pytest.mark.parametrize("change", ["suspend", "revoke", "give_psk", "nobody"])
def test_a_key_that_counts_no_more_is_refused_at_connect(
    registry: Registry, authenticator: RegistryAuthenticator, change: str
) -> None:
    registry.give_psk("meter", "device", now=NOW)
    peer = Peer(psk=("meter", registry.get("meter").psk_salt))
    match change:
        case "give_psk":
            registry.give_psk("meter", "device", now=NOW)
        case "nobody":
            peer = Peer(psk=("nobody", b""))
        case _:
            getattr(registry, change)("meter", now=NOW)
    answer = ask(authenticator, peer)
    assert isinstance(answer, Refused)
    assert answer.code == 0x87


def test_a_connection_is_outdated_when_its_key_was_replaced(registry: Registry) -> None:
    registry.give_psk("meter", "device", now=NOW)
    peer = Peer(psk=("meter", registry.get("meter").psk_salt))
    assert outdated(registry.snapshot(), "meter", peer, NOW) == ""
    registry.give_psk("meter", "device", now=NOW)
    assert outdated(registry.snapshot(), "meter", peer, NOW) == "its key was replaced"


def test_a_restored_backup_does_not_bring_a_replaced_key_back(registry: Registry) -> None:
    registry.give_psk("meter", "device", now=NOW)
    before = registry.get("meter")
    registry.give_psk("meter", "device", now=NOW + 1)
    log = endings_of_credentials(before, registry.get("meter"))
    (restored,) = without_ended([before], log, now=NOW + 2)
    assert restored == replace(before, psk_salt=b"", changed_at=NOW + 2)
