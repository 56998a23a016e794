"""The operations on identities and on the running broker, shared by command line, API and console.

Each operation commits to the registry first and then, if a broker runs, ends what the change forbids:
nobody is told "revoked" while a connection of that identity lives. No sockets, no printing: requests and
answers are the records of `requests.py`.
"""

import threading
import time
from typing import Protocol

import msgspec

from bollard.base.errors import LocalError
from bollard.base.types import Principal, Secret
from bollard.identity.authority import Authorities, issue_device_certificate
from bollard.identity.crl import publish_crl
from bollard.identity.enroll import Desk
from bollard.identity.enrollment_rights import ENROLLING
from bollard.identity.names import check_identity
from bollard.identity.records import CertificateRecord, Identity, State
from bollard.identity.registry import Registry
from bollard.identity.tokens import check_life
from bollard.policy.rules import parse_policy
from bollard.server.advertise import host_of, reachable_at
from bollard.server.authority_operations import (
    describe,
    give_roots,
    note_handed,
    replace_authority,
    replaced_without,
)
from bollard.server.config import Config
from bollard.server.enrollment_operations import describe_token, no_template, open_token
from bollard.server.factory_operations import import_batch
from bollard.server.failures import Failures
from bollard.server.learning import Learning
from bollard.server.learning_operations import LearnRequest, learn
from bollard.server.learning_records import (
    AskLearning,
    LearningInfo,
    LearnProposal,
    LearnPropose,
    LearnStart,
    LearnStop,
)
from bollard.server.requests import (
    ApproveDevice,
    AskAuthority,
    AskStatus,
    AuthorityStatus,
    BatchImported,
    CertificateInfo,
    Changed,
    ChangeDevice,
    Device,
    Devices,
    Ended,
    Enroll,
    Enrolled,
    Examine,
    GivePsk,
    HandedRoots,
    ImportBatch,
    ListDevices,
    Noted,
    Reload,
    Reloaded,
    Request,
    Result,
    Rotate,
    RotateAuthority,
    SetPassword,
    ShowDevice,
    Status,
    Traffic,
    WhyConnection,
)
from bollard.server.state import StateDirectory
from bollard.server.why_connection import ConnectionWhy, judge

#: MQTT 5.0 reason codes that a client reads when its connection is ended from here.
ADMINISTRATIVE_ACTION = 0x98
NOT_AUTHORIZED = 0x87


class Live(Protocol):
    """The running broker. Its methods return when the loop has done the work; not for the loop itself."""

    def registry_changed(self) -> None:
        """Authenticate and authorize by the registry as it is now."""
        ...

    def end(self, principal: Principal, code: int, reason: str, *, purge: bool) -> Ended:
        """End all connections of `principal`; with `purge` also its sessions, wills and queues."""
        ...

    def connections_of(self, principal: Principal) -> int: ...

    def traffic_of(self, principal: Principal) -> Traffic:
        """What `principal` has done and was refused since the broker started."""
        ...

    def status(self) -> Status: ...

    def reload(self) -> Reloaded: ...

    def port(self) -> int:
        """The port that the advertised listener is bound to."""
        ...


class Control:
    """Operations on one state directory. `live` is None if no broker runs on it.

    Not thread-safe: one call at a time, by whoever holds the state directory's lock.
    """

    def __init__(
        self,
        config: Config,
        registry: Registry,
        authorities: Authorities,
        live: Live | None = None,
        failures: Failures | None = None,
        learning: Learning | None = None,
    ) -> None:
        """`failures` is what the running broker remembers of those who did not get in, `learning` what it
        has learned; without one, that is in the state directory."""
        self._config = config
        self._registry = registry
        self._authorities = authorities
        self._live = live
        self._failures = failures
        self._learning = learning
        self._crl_lock = threading.Lock()

    def handle(self, request: Request) -> Result:
        """Do what `request` says. Raises LocalError with what was wrong and what to do."""
        match request:
            case Enroll():
                return self.enroll(request)
            case ApproveDevice():
                return self.approve(request.id)
            case ListDevices():
                return Devices(tuple(self._device(identity) for identity in self._registry.list()))
            case ShowDevice():
                return self._with_traffic(self._device(self._registry.get(request.id)))
            case ChangeDevice():
                return self.change(request.id, State(request.to), purge=request.purge)
            case Rotate():
                return self.rotate(request)
            case SetPassword():
                return self.set_password(request)
            case GivePsk():
                return self.give_psk(request)
            case ImportBatch():
                return self.import_batch(request)
            case AskStatus():
                return self._live.status() if self._live else Status(running=False)
            case Reload():
                return self._reload()
            case WhyConnection():
                return self._why(request.id)
            case Examine():
                if self._failures is not None:
                    self._failures.examined(request.addresses, request.for_s)
                return Noted()
            case AskAuthority():
                warning = self.publish_crl() if request.crl else ""
                return describe(self._authorities, self._registry, warning=warning, now=time.time())
            case RotateAuthority():
                return self._rotate_authority(request)
            case HandedRoots():
                note_handed(self._authorities, self._registry, request.ids)
                return describe(self._authorities, self._registry, now=time.time())
            case LearnStart() | AskLearning() | LearnPropose() | LearnStop():
                return self._learn(request)

    def enroll(self, request: Enroll) -> Enrolled:
        """A new identity with its first credential. Raises LocalError; then nothing was enrolled."""
        identity, credential, template = request.id, request.credential, request.template
        check_identity(identity)
        self._check_template(template)
        at = self._address()
        if credential == "password":
            secret = self._registry.add_with_password(identity, template, now=time.time())
            enrolled = self._with_password(identity, secret.reveal().decode(), at)
        elif credential == "token":
            check_life(request.life_s)
            self._registry.add(identity, template, now=time.time())
            return self._with_token(request, at)
        else:
            self._registry.add(identity, template, now=time.time())
            enrolled = self._with_certificate(identity, at, supersede=False)
        self._tell_live()
        return enrolled

    def approve(self, identity: str) -> Device:
        """Let the device in that asked as `identity`. Raises LocalError if none waits."""
        return self._device(Desk(self._registry, self._authorities).approve(identity, now=time.time()))

    def rotate(self, request: Rotate) -> Enrolled:
        """A new credential; every older one ends, of whatever kind, and with them the connections."""
        identity, credential, purge = request.id, request.credential, request.purge
        at = self._address()
        if credential == "token":
            return self._with_token(request, at)
        began = time.monotonic()
        if credential == "password":
            secret = self._registry.rotate_password(identity, now=time.time())
            enrolled = self._with_password(identity, secret.reveal().decode(), at)
        else:
            enrolled = self._with_certificate(identity, at, supersede=True)
            self._registry.end_password(identity, now=time.time())
        reason = "the credential was replaced; connect with the new one"
        ended = self._end(identity, NOT_AUTHORIZED, reason, began, purge=purge)
        self.publish_crl()
        return _with_ended(enrolled, ended)

    def set_password(self, request: SetPassword) -> Changed:
        """A password that a person chose; every older credential ends, and with them the connections."""
        if not self._config.allow_human_passwords:
            raise LocalError(
                "passwords that people choose are not allowed here",
                "A generated one cannot be guessed: bollard devices rotate "
                f"{request.id}. To allow them all the same: allow_human_passwords = true in {self._config.file}.",
            )
        began = time.monotonic()
        password = Secret(request.password.encode())
        after = self._registry.set_password(request.id, password, now=time.time())
        reason = "the credential was replaced; connect with the new one"
        ended = self._end(request.id, NOT_AUTHORIZED, reason, began, purge=request.purge)
        return Changed(
            id=request.id,
            state=after.state.value,
            running=self._live is not None,
            ended=ended,
            warning=self.publish_crl(),
        )

    def give_psk(self, request: GivePsk) -> Enrolled:
        """A key for TLS-PSK; every older credential ends, and with it the connections."""
        began = time.monotonic()
        check_identity(request.id)
        self._check_template(request.template)
        listener = next((one for one in self._config.listeners if one.psk), None)
        if listener is None:
            raise LocalError(
                "no listener takes pre-shared keys",
                f'Add one to {self._config.file}: [[listener]] bind = "0.0.0.0:8884" psk = true',
            )
        key = self._registry.give_psk(request.id, request.template, now=time.time())
        reason = "the credential was replaced; connect with the new one"
        ended = self._end(request.id, NOT_AUTHORIZED, reason, began, purge=request.purge)
        self.publish_crl()
        return Enrolled(
            id=request.id,
            client_id=request.id,
            template=self._registry.get(request.id).template,
            host=host_of(self._config, listener),
            port=listener.bind.port,
            ca_file="",
            root_pem="",
            username=request.id,
            psk=key.reveal().hex(),
            ended=ended,
        )

    def import_batch(self, request: ImportBatch) -> BatchImported:
        """Enroll the devices of a factory's manifest, all or none. Raises LocalError; then none."""
        done = import_batch(self._registry, self._authorities, self._config, request, self._address())
        self._tell_live()
        return done

    def change(self, identity: str, to: State, *, purge: bool = False) -> Changed:
        """Revoke, suspend or resume. When it returns, nothing of what it forbids is alive.

        `purge` ends the sessions of a suspended identity too, and removes what it retained; otherwise they
        are kept and withheld until it is resumed.
        """
        began = time.monotonic()
        now = time.time()
        if to is State.ACTIVE:
            after = self._registry.resume(identity, now=now)
            self._tell_live()
            ended = Ended(took_ms=_since(began))
        else:
            revoked = to is State.REVOKED
            registry = self._registry
            after = registry.revoke(identity, now=now) if revoked else registry.suspend(identity, now=now)
            reason = f"the identity is {to.value}"
            ended = self._end(identity, ADMINISTRATIVE_ACTION, reason, began, purge=revoked or purge)
        return Changed(
            id=identity,
            state=after.state.value,
            running=self._live is not None,
            ended=ended,
            warning=self.publish_crl(),
        )

    def publish_crl(self) -> str:
        """Make the revocation list anew. What went wrong with it, or "": a list for others that could not be
        written is no reason to call a revocation undone. May be called from any thread."""
        try:
            with self._crl_lock:
                publish_crl(
                    self._authorities.crl_file,
                    self._authorities.device_authorities,
                    self._registry.list(),
                    now=time.time(),
                )
        except LocalError as error:
            return f"the revocation list was not made anew: {error}"
        return ""

    # --- inside --------------------------------------------------------------------------------------

    def _reload(self) -> Reloaded:
        if self._live is None:
            raise LocalError("no broker is running, so there is nothing to reload", "Start it: bollard up")
        return self._live.reload()

    def _why(self, identity: str) -> ConnectionWhy:
        return judge(
            identity,
            self._registry.snapshot().identities.get(identity),
            self._failures.of(identity) if self._failures else None,
            self._live.connections_of(identity) if self._live else None,
            root_replaced_at=replaced_without(self._authorities, identity),
            now=time.time(),
        )

    def _learn(self, request: LearnRequest) -> LearningInfo | LearnProposal:
        learning = self._learning or Learning(StateDirectory(self._config.state_dir).learning)
        answer = learn(learning, request, self._config.policy, self._registry.snapshot())
        if not isinstance(request, AskLearning):
            self._tell_live()
        return answer

    def _rotate_authority(self, request: RotateAuthority) -> AuthorityStatus:
        now = time.time()
        ended = replace_authority(
            self._authorities,
            self._registry,
            request.authority,
            Secret(request.sheet.encode()),
            finish=request.finish,
            force=request.force,
            abandon=request.abandon,
            now=now,
        )
        done = self._live.reload().done if self._live is not None else ()
        trouble = [sentence for sentence in done if "not reloaded" in sentence]
        for identity in ended:
            reason = "the authority of its certificate was replaced"
            self._end(identity, NOT_AUTHORIZED, reason, time.monotonic(), purge=False)
        trouble.append(self.publish_crl())
        return describe(self._authorities, self._registry, warning="; ".join(filter(None, trouble)), now=now)

    def _tell_live(self) -> None:
        if self._live is not None:
            self._live.registry_changed()

    def _end(self, identity: str, code: int, reason: str, began: float, *, purge: bool) -> Ended:
        """End what lives of `identity`. The snapshot is swapped first, so it cannot come back meanwhile."""
        if self._live is None:
            return Ended(took_ms=_since(began))
        self._live.registry_changed()
        ended = self._live.end(identity, code, reason, purge=purge)
        return Ended(
            connections=ended.connections,
            sessions=ended.sessions,
            wills=ended.wills,
            retained=ended.retained,
            took_ms=_since(began),
        )

    def _check_template(self, template: str) -> None:
        known = parse_policy(self._config.policy).templates
        if template not in known:
            raise no_template(self._config.policy, template, known)

    def _address(self) -> tuple[str, int]:
        return reachable_at(self._config, self._live.port() if self._live else None)

    def _with_password(self, identity: str, password: str, at: tuple[str, int]) -> Enrolled:
        give_roots(self._authorities, identity)
        return Enrolled(
            id=identity,
            client_id=identity,
            template=self._registry.get(identity).template,
            host=at[0],
            port=at[1],
            ca_file=str(self._authorities.root_file),
            root_pem=self._authorities.root_file.read_text("ascii"),
            username=identity,
            password=password,
        )

    def _with_certificate(self, identity: str, at: tuple[str, int], *, supersede: bool) -> Enrolled:
        issued = issue_device_certificate(
            self._authorities, self._registry, identity, now=time.time(), supersede=supersede
        )
        give_roots(self._authorities, identity)
        return Enrolled(
            id=identity,
            client_id=identity,
            template=self._registry.get(identity).template,
            host=at[0],
            port=at[1],
            ca_file=str(self._authorities.root_file),
            root_pem=self._authorities.root_file.read_text("ascii"),
            chain_pem=issued.chain_pem.decode("ascii"),
            key_pem=issued.key_pem.reveal().decode("ascii"),
            not_after=issued.not_after,
        )

    def _with_token(self, request: Enroll | Rotate, at: tuple[str, int]) -> Enrolled:
        """An enrollment string; connections that were made with an earlier one end."""
        earlier = self._registry.get(request.id).token
        opened = open_token(
            self._registry,
            self._authorities,
            self._config,
            request.id,
            at,
            life_s=request.life_s,
            approval=request.approval,
        )
        self._tell_live()
        if self._live is not None and earlier is not None:
            reason = "the enrollment string was replaced"
            self._live.end(ENROLLING + request.id, NOT_AUTHORIZED, reason, purge=True)
        return opened

    def _with_traffic(self, device: Device) -> Device:
        if self._live is None:
            return device
        return msgspec.structs.replace(device, traffic=self._live.traffic_of(device.id))

    def _device(self, identity: Identity) -> Device:
        return Device(
            id=identity.id,
            state=identity.state.value,
            template=identity.template,
            password=identity.has_password,
            psk=bool(identity.psk_salt),
            certificates=tuple(map(_certificate, identity.certificates)),
            created_at=identity.created_at,
            changed_at=identity.changed_at,
            connected=self._live.connections_of(identity.id) if self._live else None,
            enrollment=describe_token(identity, time.time()),
        )


def _certificate(record: CertificateRecord) -> CertificateInfo:
    return CertificateInfo(
        serial=f"{record.serial:x}",
        sha256=record.sha256.hex(),
        state=record.state.value,
        created_at=record.created_at,
        not_after=record.not_after,
    )


def _with_ended(enrolled: Enrolled, ended: Ended) -> Enrolled:
    return msgspec.structs.replace(enrolled, ended=ended)


def _since(began: float) -> float:
    """Milliseconds since the monotonic time `began`."""
    return round((time.monotonic() - began) * 1000, 3)
