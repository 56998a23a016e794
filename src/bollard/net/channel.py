"""One end of TLS without a socket: ciphertext goes in and comes out, as bytes.

`Channel` says what every kind can do; `SslObjectChannel` does it with what Python's own `ssl` offers, and
always works. `openssl.pyx` does the same with fewer copies; `channels.py` chooses. What is said through a
channel, and when, is no matter of these: that is in `tlsstream.py`.
"""

import ssl

#: The most plaintext that fits one TLS record; `SSLObject.write` takes no more at once.
RECORD_BYTES = 16_384
#: What is handed to a BIO at once. A BIO never shrinks, so this bounds what an idle connection keeps.
FEED_BYTES = 16_384
#: Bytes in a row that may carry nothing: a record that is not whole yet, and some that are TLS's own. Attack: key
#: updates without end, each worth a hundred of its bytes.
MOST_SILENT_BYTES = 2 * RECORD_BYTES


class Channel:
    """The server's end of one connection.

    First `feed` and `handshake` by turns, then `receive` and `write`. What the peer has to get is what `write`
    and `close` return, and at any time what `take` returns.

    `ended`: the peer has ended TLS properly; nothing more is received. `fault`: why nothing more is received;
    an alert for the peer may be waiting to be taken. `patient`: all that waits to be taken is for later
    connections (session tickets), and may travel with the next thing that is written.
    """

    __slots__ = ("ended", "fault", "patient")

    def __init__(self) -> None:
        self.ended = False
        self.fault: ssl.SSLError | None = None
        self.patient = False

    def feed(self, data: bytes) -> int:
        """Keep ciphertext for the next step of the handshake; how many bytes wait for it now."""
        raise NotImplementedError

    def handshake(self) -> bool:
        """Go as far as what was fed allows; whether the handshake is complete.

        Raises SSLError with the `reason` that OpenSSL gives, SSLCertVerificationError with `verify_message`
        if it is the peer's certificate. Then TLS is over; `take` has the alert.
        """
        raise NotImplementedError

    def receive(self, data: bytes | bytearray, size: int) -> bytes:
        """The plaintext of every record that the first `size` bytes of `data` complete, never more than was
        received; afterwards look at `ended` and `fault`. What was fed and did not belong to the handshake comes
        first."""
        raise NotImplementedError

    def write(self, data: bytes | bytearray) -> bytes:
        """`data`, of any size, as records, behind everything that waits. Raises SSLError if TLS is over."""
        raise NotImplementedError

    def take(self) -> bytes:
        """What waits to be sent; b"" if nothing does."""
        raise NotImplementedError

    def close(self) -> bytes:
        """What waits, and the end of TLS in our direction if there is a TLS to end."""
        raise NotImplementedError

    def certificate(self) -> bytes | None:
        """DER of the peer's certificate, which was verified as the context demands; None if it has shown none."""
        raise NotImplementedError


class SslObjectChannel(Channel):
    """An `SSLObject` between two memory BIOs."""

    __slots__ = ("_incoming", "_outgoing", "_silent_bytes", "_tls")

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._silent_bytes = 0

    def feed(self, data: bytes) -> int:
        self._incoming.write(data)
        return self._incoming.pending

    def handshake(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        # Before TLS 1.3 the client awaits our end of the handshake.
        self.patient = self._tls.version() == "TLSv1.3"
        return True

    def receive(self, data: bytes | bytearray, size: int) -> bytes:
        found: list[bytes] = []
        view = memoryview(data)[:size]
        while True:  # once even without new bytes: plaintext may wait behind the handshake
            self._read(found, self._incoming.write(view[:FEED_BYTES]))
            view = view[FEED_BYTES:]
            if not view or self.ended or self.fault is not None:
                break
        return found[0] if len(found) == 1 else b"".join(found)

    def _read(self, found: list[bytes], size: int) -> None:
        """Add the plaintext of each record that is whole after `size` bytes more."""
        before = len(found)
        try:
            while True:
                plaintext = self._tls.read(RECORD_BYTES)
                if not plaintext:
                    self.ended = True
                    break
                found.append(plaintext)
                if not self._incoming.pending:
                    break  # another read could only raise: each took a whole record
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.fault = error
        self._silent_bytes = 0 if len(found) > before else self._silent_bytes + size
        if self._silent_bytes > MOST_SILENT_BYTES:
            self.fault = too_many_updates()

    def write(self, data: bytes | bytearray) -> bytes:
        if len(data) <= RECORD_BYTES:
            self._tls.write(data)
            return self._outgoing.read()
        # One record a call. Each is taken out at once, so that the BIO stays as small as a record.
        records = []
        view = memoryview(data)
        while view:
            view = view[self._tls.write(view[:RECORD_BYTES]) :]
            records.append(self._outgoing.read())
        return b"".join(records)

    def take(self) -> bytes:
        return self._outgoing.read() if self._outgoing.pending else b""

    def close(self) -> bytes:
        try:  # noqa: SIM105  # a context manager costs more than what it would hold
            self._tls.unwrap()
        except (ssl.SSLError, ValueError):
            pass  # ours is written, or there is nothing to end; the peer's need not be awaited
        return self.take()

    def certificate(self) -> bytes | None:
        try:
            return self._tls.getpeercert(binary_form=True)
        except ValueError:
            return None  # there is no TLS yet, or no more


def tls_error(kind: type[ssl.SSLError], library: str, reason: str, words: str) -> ssl.SSLError:
    """An error as Python's `ssl` makes them."""
    error = kind(ssl.SSL_ERROR_SSL, f"[{library}: {reason}] {words}")
    error.library, error.reason = library, reason
    return error


def too_many_updates() -> ssl.SSLError:
    """The fault of a peer that sends records of TLS's own, and nothing in them for us."""
    return tls_error(ssl.SSLError, "SSL", "TOO_MANY_KEY_UPDATES", "too many records without content")
