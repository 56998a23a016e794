"""Enrollment over Secure Transport (RFC 7030, with the corrections of RFC 8951), the mandatory part.

    GET   /.well-known/est/cacerts          the server roots: what a device trusts, also those that are to
                                            follow. Not the device CA, which only the broker trusts
    POST  /.well-known/est/simpleenroll     user name: the identity; password: the secret of its string
    POST  /.well-known/est/simplereenroll   over TLS with the certificate that is to be renewed
    POST  /.well-known/est/bollard-renew    ours: after its end, with a signature by its key over the request

What may be issued is decided by `identity.enroll`; here are bodies, headers and status codes. Bodies are
base64 at 64 columns with a last line end, which every client reads, and are taken in any form.
"""

import asyncio
import base64
import binascii
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bollard.base.errors import BollardError, LocalError
from bollard.base.events import Event, LimitReached, ServerEvent, ServerWarning
from bollard.base.types import Secret
from bollard.identity.csr import MAX_CSR_BYTES
from bollard.identity.enroll import Desk, Issued, Waiting
from bollard.identity.refusals import BAD_REQUEST, TOO_LARGE, UNAUTHORIZED, EnrollmentRefused
from bollard.net.guard import Guesses
from bollard.server.compose import Offer
from bollard.server.enrollment_operations import fingerprint
from bollard.web.https import CERTIFICATE, serving

PREFIX = "/.well-known/est"
CERTS_ONLY = "application/pkcs7-mime; smime-type=certs-only"
UNSUPPORTED_MEDIA, TOO_MANY, INTERNAL = 415, 429, 500
RETRY_AFTER_S = 60
_COLUMNS = 64


class _OldKeyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `bollard-renew`, each part base64: the expired certificate (DER), a signing request (DER), and
    the signature of the old key over the latter."""

    certificate: bytes
    csr: bytes
    signature: bytes


class Est:
    """The four operations over one desk. `changed` is called when something was issued."""

    def __init__(
        self,
        desk: Desk,
        *,
        changed: Callable[[], None],
        emit: Callable[[Event], None],
        guesses: Guesses,
    ) -> None:
        self._desk = desk
        self._changed = changed
        self._emit = emit
        self._guesses = guesses

    def application(self) -> Starlette:
        return Starlette(
            routes=[
                Route(f"{PREFIX}/cacerts", self.cacerts, methods=["GET"]),
                Route(f"{PREFIX}/simpleenroll", self.simpleenroll, methods=["POST"]),
                Route(f"{PREFIX}/simplereenroll", self.simplereenroll, methods=["POST"]),
                Route(f"{PREFIX}/bollard-renew", self.renew_with_old_key, methods=["POST"]),
            ]
        )

    async def cacerts(self, request: Request) -> Response:
        certificate: bytes | None = getattr(request.state, CERTIFICATE, None)
        if certificate is not None:
            # Public, so also for who may not enroll; but only of a device is it noted that it has them.
            with contextlib.suppress(EnrollmentRefused, LocalError):
                await asyncio.to_thread(self._desk.fetched_roots, certificate, now=time.time())
        return _certificates(pkcs7.serialize_certificates(list(self._desk.roots()), Encoding.DER))

    async def simpleenroll(self, request: Request) -> Response:
        async def enroll() -> Issued | Waiting:
            identity, secret = _basic(request)
            # The secret first: strangers get no judgement of their requests.
            await self._check_secret(request, identity, secret)
            csr = await _csr(request)
            return await asyncio.to_thread(self._desk.enroll, identity, csr, now=time.time())

        return await self._answer(request, enroll)

    async def _check_secret(self, request: Request, identity: str, secret: Secret) -> None:
        """Raise `EnrollmentRefused` unless it is right; after too many wrong ones, with nothing but that."""
        address = request.client.host if request.client else ""
        limit, wait_s = self._guesses.wait(address, identity, time.monotonic())
        try:
            await asyncio.to_thread(self._desk.check_secret, identity, secret, now=time.time())
        except EnrollmentRefused as refusal:
            if (
                limit
            ):  # nobody can guess it, so the right one is taken also from an address where somebody tries
                text = f"too many wrong secrets; try again in {wait_s:.0f} s"
                raise EnrollmentRefused(TOO_MANY, text) from None
            if refusal.status == UNAUTHORIZED:
                limit, delay_s = self._guesses.wrong(address, identity, time.monotonic())
                detail = f"wrong secrets; the next attempt is looked at in {delay_s:g} s"
                if limit:
                    self._emit(LimitReached(limit, identity[:64], "", address, detail))
            raise
        self._guesses.right(address, identity)

    async def simplereenroll(self, request: Request) -> Response:
        async def renew() -> Issued:
            certificate: bytes | None = getattr(request.state, CERTIFICATE, None)
            if certificate is None:
                raise EnrollmentRefused(UNAUTHORIZED, "present the certificate that is to be renewed")
            csr = await _csr(request)
            return await asyncio.to_thread(self._desk.renew, certificate, csr, now=time.time())

        return await self._answer(request, renew)

    async def renew_with_old_key(self, request: Request) -> Response:
        async def renew() -> Issued:
            try:
                body = msgspec.json.decode(await _body(request), type=_OldKeyRequest)
            except msgspec.MsgspecError:
                raise EnrollmentRefused(
                    BAD_REQUEST, "the body must be JSON: certificate, csr and signature, each base64"
                ) from None
            return await asyncio.to_thread(
                self._desk.renew_signed, body.certificate, body.csr, body.signature, now=time.time()
            )

        return await self._answer(request, renew)

    async def _answer(self, request: Request, work: Callable[[], Any]) -> Response:
        """What `work` issues, as a response; refusals in words, errors of ours without."""
        where = f"{request.url.path.rpartition('/')[2]} from {request.client.host if request.client else '?'}"
        try:
            done = await work()
        except EnrollmentRefused as refusal:
            if isinstance(refusal.__cause__, LocalError):
                self._emit(ServerWarning("enrollment", f"{where}: {refusal.__cause__}"))
            self._emit(ServerEvent("enrollment", f"{where}: refused: {refusal.text}"))
            return _refusal(refusal)
        except BollardError as error:
            self._emit(ServerWarning("enrollment", f"{where}: {error}"))
            return Response("the server cannot do this now\n", INTERNAL, media_type="text/plain")
        except Exception as error:  # a boundary: one bad request must not end the others
            self._emit(ServerWarning("enrollment failed inside", f"{where}: {error!r}"))
            return Response("the server could not do this\n", INTERNAL, media_type="text/plain")
        if isinstance(done, Waiting):
            key = fingerprint(done.key_sha256)
            self._emit(ServerEvent("enrollment", f"{where}: {done.identity} waits for approval, key {key}"))
            return Response(
                f"waiting for the owner's approval; this key is {key}\n",
                202,
                {"Retry-After": str(RETRY_AFTER_S)},
                "text/plain",
            )
        self._changed()
        self._emit(ServerEvent("enrollment", f"{where}: {done.identity}: issued"))
        return _certificates(
            pkcs7.serialize_certificates([x509.load_der_x509_certificate(done.certificate)], Encoding.DER)
        )


def est_service(offer: Offer) -> contextlib.AbstractAsyncContextManager[tuple[str, str]]:
    """EST beside a broker, where its configuration says."""
    return _serve(offer)


@contextlib.asynccontextmanager
async def _serve(offer: Offer) -> AsyncIterator[tuple[str, str]]:
    bind = offer.config.est.bind
    assert bind is not None, "asked for only where it is configured"
    est = Est(offer.desk, changed=offer.changed, emit=offer.emit, guesses=offer.guesses)
    async with serving(est.application(), bind.host, bind.port, offer.context) as address:
        yield "est", address


def _certificates(der: bytes) -> Response:
    return Response(_lines(der), 200, {"Content-Transfer-Encoding": "base64"}, CERTS_ONLY)


def _lines(der: bytes) -> bytes:
    """Base64 at 64 columns with a last line end: there are clients that read nothing else."""
    text = base64.b64encode(der)
    return b"".join(text[i : i + _COLUMNS] + b"\n" for i in range(0, len(text), _COLUMNS))


def _refusal(refusal: EnrollmentRefused) -> Response:
    headers = {"WWW-Authenticate": 'Basic realm="enrollment"'} if refusal.status == UNAUTHORIZED else {}
    return Response(refusal.text + "\n", refusal.status, headers, "text/plain")


def _basic(request: Request) -> tuple[str, Secret]:
    """User name and password of HTTP Basic. Raises `EnrollmentRefused`."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError
        name, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        if not colon:
            raise ValueError
    except (ValueError, binascii.Error):
        raise EnrollmentRefused(
            UNAUTHORIZED, "give the identity as user name, and the secret of its string as password"
        ) from None
    return name, Secret(secret.encode())


async def _csr(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/pkcs10":
        raise EnrollmentRefused(UNSUPPORTED_MEDIA, "the Content-Type must be application/pkcs10")
    return await _body(request)


async def _body(request: Request) -> bytes:
    """The body, if it is no larger than a request can be; more is not taken in."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_CSR_BYTES:
            raise EnrollmentRefused(TOO_LARGE, f"a body of more than {MAX_CSR_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)
