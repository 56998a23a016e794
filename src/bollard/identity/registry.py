"""Who is enrolled, in which state, with which credentials. Decides nothing about topics or connections.

Each operation is one transaction of the storage, and then one atomic swap of the snapshot that
authentication reads: nobody sees a change that is not on disk, and a failed write changes nothing.
Operations may come from any thread. Ending live connections is the caller's next step: use the
returned identity's state, and `snapshot()` for the policy.
"""

import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity.credentials import Verifier, generate_secret
from bollard.identity.names import check_identity
from bollard.identity.passwords import check_chosen, check_stored, make_hash
from bollard.identity.ports import RegistryStorage
from bollard.identity.psk import new_salt, psk_of
from bollard.identity.records import CertificateRecord, CertificateState, Identity, Snapshot, State


class Registry:
    """The identities of one state directory. `now` is everywhere in seconds since the epoch.

    On start, serials of certificates whose issuing was interrupted are revoked: their signature may
    exist somewhere, and nobody recorded to whom it was given.
    """

    def __init__(self, storage: RegistryStorage, verifier: Verifier, *, now: float) -> None:
        self._storage = storage
        self._verifier = verifier
        self._lock = threading.Lock()
        self._snapshot = Snapshot().replacing(*storage.load())
        for identity in self.list():
            if any(c.state is CertificateState.ISSUING for c in identity.certificates):
                self._store(_without_issuing(identity, int(now)))

    @property
    def verifier(self) -> Verifier:
        """What makes and checks the verifiers of this registry's secrets."""
        return self._verifier

    # --- reading -------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The registry as it is now. Cheap; take a new one for each question."""
        return self._snapshot

    def get(self, identity: str) -> Identity:
        """What is known of `identity`; `LocalError` if it is not enrolled."""
        found = self._snapshot.identities.get(identity)
        if found is None:
            raise LocalError(
                f"no identity {identity[:80]!r} is enrolled",
                "`bollard devices` lists those that are.",
            )
        return found

    def list(self) -> tuple[Identity, ...]:
        """All identities, whatever their state, in order of name."""
        return tuple(sorted(self._snapshot.identities.values(), key=lambda i: i.id))

    # --- enrolling -----------------------------------------------------------------------------------

    def add(self, identity: str, template: str, *, now: float) -> Identity:
        """Note a new identity as PENDING: it cannot connect until it has a credential.

        One that is still pending, because its enrollment was interrupted, may be added again, with
        another template. `LocalError` for a bad or reserved name, or one that is already enrolled.
        """
        with self._lock:
            return self._store(self._pending(identity, template, int(now)))

    def add_with_password(self, identity: str, template: str, *, now: float) -> Secret:
        """Enroll a new identity with a generated password; it is ACTIVE when this returns.

        The password is returned once and cannot be read again. Errors as `add`.
        """
        with self._lock:
            return self._give_password(self._pending(identity, template, int(now)), int(now))

    def rotate_password(self, identity: str, *, now: float) -> Secret:
        """A new generated password in place of every older credential, certificates too: whoever asks for
        a new one believes that the old one is dead. `LocalError` if revoked or unknown."""
        with self._lock:
            return self._give_password(_without_certificates(self._usable(identity), int(now)), int(now))

    def set_password(self, identity: str, password: Secret, *, now: float) -> Identity:
        """`password`, which a person chose, in place of every older credential. Takes about 16 ms.

        `LocalError` if it is a bad one, or the identity is revoked or unknown.
        """
        check_chosen(identity, password)
        stored = make_hash(self._verifier.password_pepper, password)
        with self._lock:
            known = _without_certificates(self._usable(identity), int(now))
            return self._store(_with_hash(known, stored, int(now)))

    def give_psk(self, identity: str, template: str, *, now: float) -> Secret:
        """A new key for TLS-PSK in place of every older credential; 32 bytes, returned once.

        A name that is not enrolled yet is enrolled with `template`. Errors as `add` or `rotate_password`.
        """
        with self._lock:
            if identity in self._snapshot.identities:
                known = _without_certificates(self._usable(identity), int(now))
            else:
                known = self._pending(identity, template, int(now))
            state = State.ACTIVE if known.state is State.PENDING else known.state
            salt = new_salt()
            self._store(replace(known.without_secrets, state=state, changed_at=int(now), psk_salt=salt))
            return psk_of(self._verifier.psk_master, identity, salt)

    def add_with_hash(self, identity: str, template: str, stored: str, *, now: float) -> Identity:
        """Enroll a new identity with a password that another broker stored; it is ACTIVE then.

        `stored` is one of the kinds of `passwords.py`. Errors as `add`, and for a hash that is of no use.
        """
        check_stored(stored)
        with self._lock:
            return self._store(_with_hash(self._pending(identity, template, int(now)), stored, int(now)))

    def add_all(self, plan: Callable[[Snapshot], Sequence[Identity]]) -> Sequence[Identity]:
        """One transaction for many: `plan` gets the registry as it is, and returns identities that are new.

        What `plan` raises is passed on, and nothing is stored.
        """
        with self._lock:
            new = plan(self._snapshot)
            if new:
                self._storage.save_all(new)
                self._snapshot = self._snapshot.replacing(*new)
            return new

    def end_password(self, identity: str, *, now: float) -> Identity:
        """The password of `identity`, or its key for TLS-PSK, ends at once. `LocalError` if revoked or
        unknown."""
        with self._lock:
            known = self._usable(identity)
            return self._store(replace(known.without_secrets, changed_at=int(now)))

    def begin_certificate(self, identity: str, serial: int, *, not_after: int, now: float) -> Identity:
        """Record that a certificate with `serial` is about to be signed. Call before signing.

        `LocalError` if the identity is revoked or unknown.
        """
        with self._lock:
            known = self._usable(identity)
            # Later than those before it, also within one second or after the clock was set back: which of
            # two certificates is the newer one decides which of them ends.
            created_at = max([int(now), *(c.created_at + 1 for c in known.certificates)])
            record = CertificateRecord(serial, CertificateState.ISSUING, not_after, created_at, int(now))
            return self._store(
                replace(known, certificates=(*known.certificates, record), changed_at=int(now))
            )

    def abandon_certificate(self, identity: str, serial: int, *, now: float) -> None:
        """Forget a certificate that was begun and could not be signed: there is none.

        Else each attempt with a signer that is away would leave a serial behind.
        """
        with self._lock:
            known = self.get(identity)
            kept = tuple(
                c for c in known.certificates if c.serial != serial or c.state is not CertificateState.ISSUING
            )
            self._store(replace(known, certificates=kept, changed_at=int(now)))

    def complete_certificate(
        self,
        identity: str,
        serial: int,
        sha256: bytes,
        *,
        now: float,
        supersede: bool = False,
        also: Callable[[Identity], Identity] | None = None,
    ) -> Identity:
        """The certificate is signed: it may be used, and a PENDING identity becomes ACTIVE.

        `sha256` is over the DER of the leaf. With `supersede`, the identity's earlier certificates end
        in the same transaction; `also` is a further change that belongs to it. `LocalError` if this serial
        was not begun, or was revoked meanwhile.
        """
        with self._lock:
            known = self._usable(identity)
            if not any(
                c.serial == serial and c.state is CertificateState.ISSUING for c in known.certificates
            ):
                raise LocalError(f"no certificate with serial {serial:x} is being issued to {identity!r}")
            after = _with_certificate(known, serial, sha256, int(now), supersede)
            return self._store(after if also is None else also(after))

    def change(self, identity: str, change: Callable[[Identity], Identity]) -> Identity:
        """One transaction: `change` gets the identity as it is and returns it as it shall be.

        What `change` raises is passed on, and nothing is stored. `LocalError` if revoked or unknown.
        """
        with self._lock:
            known = self._usable(identity)
            after = change(known)
            return known if after is known else self._store(after)

    # --- states --------------------------------------------------------------------------------------

    def suspend(self, identity: str, *, now: float) -> Identity:
        """It cannot connect until `resume`. Its credentials are kept. `LocalError` if revoked, unknown
        or still pending. Suspending twice is no error."""
        return self._change_state(identity, State.SUSPENDED, int(now))

    def resume(self, identity: str, *, now: float) -> Identity:
        """End of a suspension. `LocalError` if revoked, unknown or still pending; no error if active."""
        return self._change_state(identity, State.ACTIVE, int(now))

    def revoke(self, identity: str, *, now: float) -> Identity:
        """It never connects again, by any credential it was given. Final; revoking twice is no error."""
        with self._lock:
            known = self.get(identity)
            return known if known.state is State.REVOKED else self._store(_revoked(known, int(now)))

    # --- inside, with the lock held ------------------------------------------------------------------

    def _store(self, identity: Identity) -> Identity:
        self._storage.save(identity)
        self._snapshot = self._snapshot.replacing(identity)
        return identity

    def _pending(self, identity: str, template: str, now: int) -> Identity:
        known = self._snapshot.identities.get(check_identity(identity))
        if known is None:
            return Identity(identity, str(uuid.uuid4()), template, State.PENDING, now, now)
        if known.state is State.PENDING:
            return replace(known, template=template, changed_at=now)
        if known.state is State.REVOKED:
            raise LocalError(
                f"{identity!r} was revoked, and a revoked identity does not come back",
                "Enroll the device under another name.",
            )
        raise LocalError(
            f"{identity!r} is already enrolled",
            f"`bollard devices rotate {identity}` gives it a new credential.",
        )

    def _usable(self, identity: str) -> Identity:
        known = self.get(identity)
        if known.state is State.REVOKED:
            raise LocalError(
                f"{identity!r} is revoked and gets no new credential",
                "Enroll the device under another name.",
            )
        return known

    def _give_password(self, identity: Identity, now: int) -> Secret:
        secret = generate_secret()
        state = State.ACTIVE if identity.state is State.PENDING else identity.state
        self._store(
            replace(
                identity.without_secrets,
                state=state,
                changed_at=now,
                verifier=self._verifier.make(secret),
                scram=self._verifier.scram_keys(identity.id, secret),
            )
        )
        return secret

    def _change_state(self, identity: str, state: State, now: int) -> Identity:
        with self._lock:
            known = self._usable(identity)
            if known.state is State.PENDING:
                raise LocalError(
                    f"{identity!r} has no credential yet, so it can be neither suspended nor resumed",
                    f"`bollard enroll {identity}` finishes its enrollment.",
                )
            return known if known.state is state else self._store(replace(known, state=state, changed_at=now))


def _with_hash(identity: Identity, stored: str, now: int) -> Identity:
    state = State.ACTIVE if identity.state is State.PENDING else identity.state
    return replace(identity.without_secrets, state=state, changed_at=now, password_hash=stored)


def _without_issuing(identity: Identity, now: int) -> Identity:
    certificates = tuple(
        replace(c, state=CertificateState.REVOKED, changed_at=now)
        if c.state is CertificateState.ISSUING
        else c
        for c in identity.certificates
    )
    return replace(identity, certificates=certificates)


def _without_certificates(identity: Identity, now: int) -> Identity:
    certificates = tuple(
        replace(c, state=CertificateState.SUPERSEDED, changed_at=now)
        if c.state is CertificateState.ACTIVE
        else c
        for c in identity.certificates
    )
    return replace(identity, certificates=certificates)


def _with_certificate(identity: Identity, serial: int, sha256: bytes, now: int, supersede: bool) -> Identity:
    def after(record: CertificateRecord) -> CertificateRecord:
        if record.serial == serial:
            return replace(record, state=CertificateState.ACTIVE, sha256=sha256, changed_at=now)
        if supersede and record.state is CertificateState.ACTIVE:
            return replace(record, state=CertificateState.SUPERSEDED, changed_at=now)
        return record

    return replace(
        identity,
        state=State.ACTIVE if identity.state is State.PENDING else identity.state,
        certificates=tuple(map(after, identity.certificates)),
        changed_at=now,
    )


def _revoked(identity: Identity, now: int) -> Identity:
    certificates = tuple(
        replace(c, state=CertificateState.REVOKED, changed_at=now) for c in identity.certificates
    )
    return replace(identity, state=State.REVOKED, certificates=certificates, changed_at=now)
