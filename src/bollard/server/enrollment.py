"""Enrollment over MQTT: signing requests that come as messages, and their answers.

The engine hands over what is published on `$enroll/csr`; a worker thread judges and signs; the answer is
published on the asking identity's own reply topic. What may be issued is decided by `identity.enroll`. The
answer is one JSON object, whose `status` says how it went:

    issued    `certificate`: the certificate and the device CA, PEM; `not_after`; `host`, `port` of MQTT
    waiting   the owner has to approve; `key`: the SHA-256 of the key, to compare; `retry_s`: ask again then
    roots     to what is published on `$enroll/roots`; `roots`: all server roots that it is to trust, PEM
    refused   `reason`: in words

While another server root is to follow, `pins` of what is issued has the SHA-256 of both: who does not know
the second should ask for the roots.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import msgspec

from bollard.base.errors import LocalError
from bollard.base.events import Event, ServerEvent, ServerWarning
from bollard.engine.core import ServerRequest
from bollard.identity.authority import pem
from bollard.identity.enroll import Desk, Issued, Waiting
from bollard.identity.enrollment_rights import ENROLLING, RENEWING, ROOTS_TOPIC, asking_identity, reply_topic
from bollard.identity.refusals import FORBIDDEN, UNAVAILABLE, EnrollmentRefused
from bollard.server.enrollment_operations import fingerprint

#: Requests in work or waiting; more are told to come again (attack: a flood, each worth a signature).
MAX_WAITING = 64
RETRY_S = 5


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a device reads. Nothing in it is secret."""

    status: Literal["issued", "waiting", "roots", "refused"]
    certificate: str = ""
    not_after: int = 0
    host: str = ""
    port: int = 0
    key: str = ""
    retry_s: int = 0
    reason: str = ""
    roots: str = ""
    pins: tuple[str, ...] = ()


class EnrollmentService:
    """Serves the requests of one broker. Make it on the loop; `requested` is called there."""

    def __init__(
        self,
        desk: Desk,
        *,
        publish: Callable[[str, bytes], None],
        changed: Callable[[], None],
        emit: Callable[[Event], None],
        address: Callable[[], tuple[str, int]],
    ) -> None:
        """All four are called on the loop: `publish` a message of the server's own, `changed` when the
        registry has changed, `emit` an event, `address` for where devices connect."""
        self._loop = asyncio.get_running_loop()
        self._desk = desk
        self._publish = publish
        self._changed = changed
        self._emit = emit
        self._address = address
        self._worker = ThreadPoolExecutor(1, "enrollment")
        self._waiting = 0
        self._ending: set[tuple[str, int]] = set()

    def requested(self, request: ServerRequest) -> None:
        """Take one message to the server. Returns at once."""
        identity = asking_identity(request.principal) or request.principal
        if self._waiting >= MAX_WAITING:
            self._answer(identity, Reply(status="refused", reason="too many requests", retry_s=RETRY_S))
            return
        try:
            host, port = self._address()
        except LocalError:  # nothing that a device could connect to is configured
            host, port = "", 0
        self._waiting += 1
        work = self._loop.run_in_executor(self._worker, self._decide, identity, request, host, port)
        work.add_done_callback(lambda done: self._done(identity, done))

    def used(self, identity: str, serial: int) -> None:
        """A renewed certificate was used for the first time: end those before it. Returns at once."""
        if (identity, serial) in self._ending or self._waiting >= MAX_WAITING:
            return
        self._ending.add((identity, serial))
        self._worker.submit(self._end_older, identity, serial)

    async def stop(self) -> None:
        """Finish what is in work. Not on the loop: the work may wait for the disk."""
        await asyncio.to_thread(self._worker.shutdown)

    def _end_older(self, identity: str, serial: int) -> None:
        try:
            self._desk.used(identity, serial, now=time.time())
        except LocalError as error:  # revoked meanwhile, or a full disk: the next use tries again
            event = ServerWarning("a replaced certificate has not ended", f"{identity}: {error}")
            self._loop.call_soon_threadsafe(self._emit, event)
        finally:
            self._ending.discard((identity, serial))

    # --- in the worker -------------------------------------------------------------------------------

    def _decide(self, identity: str, request: ServerRequest, host: str, port: int) -> Reply:
        try:
            if request.topic == ROOTS_TOPIC:
                return self._tell_roots(identity, request.payload)
            done = self._ask_desk(identity, request)
        except EnrollmentRefused as refusal:
            if isinstance(refusal.__cause__, LocalError):  # ours: the device gets none of its text
                warning = ServerWarning("enrollment", f"{identity}: {refusal.__cause__}")
                self._loop.call_soon_threadsafe(self._emit, warning)
            retry_s = RETRY_S if refusal.status == UNAVAILABLE else 0
            return Reply(status="refused", reason=refusal.text, retry_s=retry_s)
        except LocalError:
            return Reply(status="refused", reason="the server cannot do this now", retry_s=RETRY_S)
        if isinstance(done, Waiting):
            return Reply(status="waiting", key=fingerprint(done.key_sha256), retry_s=RETRY_S)
        return Reply(
            status="issued",
            certificate=done.chain_pem.decode("ascii"),
            not_after=done.not_after,
            host=host,
            port=port,
            pins=self._desk.pins(),
        )

    def _tell_roots(self, identity: str, said: bytes) -> Reply:
        self._desk.has_roots(identity, said)
        return Reply(status="roots", roots=pem(*self._desk.roots()).decode("ascii"))

    def _ask_desk(self, identity: str, request: ServerRequest) -> Issued | Waiting:
        now = time.time()
        if request.principal.startswith(ENROLLING):
            return self._desk.enroll(identity, request.payload, now=now)
        if request.principal.startswith(RENEWING):
            return self._desk.renew_proved(identity, request.payload, now=now)
        certificate = request.peer.certificate
        if certificate is None:
            raise EnrollmentRefused(
                FORBIDDEN, "connect with the certificate to be renewed, or with an enrollment string"
            )
        return self._desk.renew(certificate, request.payload, now=now)

    # --- on the loop again ---------------------------------------------------------------------------

    def _done(self, identity: str, work: "asyncio.Future[Reply]") -> None:
        self._waiting -= 1
        if work.cancelled():
            return
        error = work.exception()
        if error is not None:
            self._emit(ServerWarning("enrollment failed inside", repr(error)))
            self._answer(identity, Reply(status="refused", reason="the server could not do this"))
            return
        reply = work.result()
        if reply.status == "issued":
            self._changed()
        if reply.status != "roots":  # asked each day, by everybody
            detail = f"{identity}: {reply.status} {reply.reason or reply.key}".rstrip()
            self._emit(ServerEvent("enrollment", detail))
        self._answer(identity, reply)

    def _answer(self, identity: str, reply: Reply) -> None:
        self._publish(reply_topic(identity), msgspec.json.encode(reply))
