"""What identity needs from outside, as types: the registry's storage and authentication mechanisms.

Records that cross this border are in `records.py`. Nothing here does I/O.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from bollard.base.authentication import Answer, Question
from bollard.identity.records import Identity


class RegistryStorage(Protocol):
    """Durable home of the registry. Each call is one transaction: done whole and on disk, or not at all.

    Every method raises `LocalError` when the disk or the file does not let it. The registry serializes
    its calls, and is the only writer.
    """

    def load(self) -> Iterable[Identity]:
        """Every identity with its verifiers and certificates, in order of name."""
        ...

    def save(self, identity: Identity) -> None:
        """Store `identity` as it is now: insert it or replace all that was stored under its name.

        Certificates are only ever added or changed, never dropped: a serial stays known forever.
        """
        ...

    def save_all(self, identities: Sequence[Identity]) -> None:
        """As `save` for each of them, all in one transaction."""
        ...


class Mechanism(Protocol):
    """One enhanced authentication method, such as SCRAM. [MQTT5-4.12]

    An instance serves all connections; what belongs to one exchange it keeps in `question.exchange`. Where
    the next step proves a secret that could be guessed, that has an attribute `claimed`: whose secret it is.
    Both methods judge what a peer sent, so they return `Refused` for bad data and never raise for it.
    The principal of an `Accepted` is checked again: it must be active in the registry and agree with
    the certificate and the user name, where these were given.
    """

    def start(self, question: Question) -> Answer:
        """First data of an exchange: in CONNECT, or in AUTH 0x19 of a re-authentication."""
        ...

    def proceed(self, question: Question) -> Answer:
        """The peer's answer to the last challenge."""
        ...
