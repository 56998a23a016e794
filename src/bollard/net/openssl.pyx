"""A `Channel` straight on the OpenSSL that Python's own `ssl` has loaded.

Contexts are made and configured with `ssl`, as everywhere; a connection is one `SSL` made from the `SSL_CTX` inside
such a context, with a BIO of our own. So a record is deciphered from the bytes that were read into the bytes that are
delivered, and enciphered into the bytes that are sent; nothing is kept between two calls but what OpenSSL itself has
of a record that is not whole, and what waits to be sent.

`libssl.pyx` finds the functions. Whatever is not exactly as expected makes the import fail with ImportError, and then
`channels.py` goes on with `ssl.SSLObject`.

What must hold, for the memory of the process depends on it:

- An `SSL` belongs to one `OpensslChannel`, is made in its constructor and freed in its destructor, nowhere else. It
  keeps its `SSL_CTX` alive by itself; the context object is kept because ALPN is chosen in its memory.
- The BIO belongs to the `SSL`. It points to the `Ends` in the channel, which live as long, and knows no Python.
- `Ends.coming` points into an object that the running method holds and nobody changes meanwhile, and is empty between
  two calls. So is `Ends.leaving` where it is `lent`; else it is memory of ours.
- No method is entered while another one is running: `handshake`, the only one to release the lock of the
  interpreter, says so with `_busy`.
"""

import _ssl
import ssl
import sys

cimport cython
from cpython.object cimport PyObject
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from bollard.net.channel cimport Channel
from bollard.net.libssl cimport (
    BIO_CTRL_FLUSH, BIO_CTRL_PENDING, BIO_FLAGS_READ, BIO_FLAGS_RWS, BIO_FLAGS_SHOULD_RETRY,
    BIO_TYPE_SOURCE_SINK, BIO_clear_flags, BIO_get_data, BIO_get_new_index, BIO_meth_new, BIO_meth_set_ctrl,
    BIO_meth_set_read_ex, BIO_meth_set_write_ex, BIO_new, BIO_set_data, BIO_set_flags, BIO_set_init,
    ERR_LIB_SSL, ERR_clear_error, ERR_peek_error, ERR_peek_last_error, ERR_reason_error_string,
    SSL_CTRL_CLEAR_MODE, SSL_CTRL_MODE, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_CTX_ctrl, SSL_CTX_get_options,
    SSL_CTX_get_verify_mode, SSL_ERROR_WANT_READ, SSL_ERROR_ZERO_RETURN, SSL_MODE_AUTO_RETRY,
    SSL_MODE_RELEASE_BUFFERS, SSL_R_CERTIFICATE_VERIFY_FAILED, SSL_SESS_CACHE_OFF, SSL_ctrl, SSL_do_handshake,
    SSL_free, SSL_get0_peer_certificate, SSL_get_error, SSL_get_verify_result, SSL_has_pending, SSL_new,
    SSL_read_ex, SSL_set_accept_state, SSL_set_bio, SSL_set_session_id_context, SSL_shutdown, SSL_version, SSL_write_ex, TLS1_3_VERSION,
    X509_verify_cert_error_string, i2d_X509,
)

from bollard.net.channel import tls_error, too_many_updates

#: Where `PySSLContext` begins with its `SSL_CTX *`.
KNOWN_PYTHONS = ((3, 11), (3, 12), (3, 13))
#: Records in a row that carry nothing. Attack: key updates without end, each worth a hundred of its bytes.
MOST_EMPTY_RECORDS = 32

cdef enum:
    RECORD_BYTES = 16384
    #: More than any cipher adds to a record: its header, a nonce, an authenticator, the type.
    RECORD_OVERHEAD = 64

cdef extern from "Python.h":
    PyObject* new_bytes "PyBytes_FromStringAndSize"(const char* source, Py_ssize_t size) except NULL
    bytes copied "PyBytes_FromStringAndSize"(const char* source, Py_ssize_t size)
    char* text_of "PyBytes_AS_STRING"(PyObject* made) nogil
    char* text_in "PyBytes_AS_STRING"(object data)
    char* text_of_array "PyByteArray_AS_STRING"(object data)
    int _PyBytes_Resize(PyObject** made, Py_ssize_t size) except -1
    void Py_DECREF(PyObject* made)
    Py_ssize_t sizeof_head "sizeof(PyObject)"

cdef void* _method = NULL


cdef struct Ends:
    # What the peer sent: where the rest of it is, and how much.
    const char* coming
    size_t left
    # What goes to the peer: where, how much, of how much room, and whether the room is that of a `bytes` in the making.
    char* leaving
    size_t filled
    size_t room
    bint lent


cdef int _take_in(void* bio, char* into, size_t most, size_t* taken) noexcept nogil:
    """OpenSSL wants to read: `most` bytes or fewer of what is coming. None is no end: more will come."""
    cdef Ends* ends = <Ends*>BIO_get_data(bio)
    BIO_clear_flags(bio, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY)
    taken[0] = most if most < ends.left else ends.left
    if taken[0] == 0:
        BIO_set_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY)
        return 0
    memcpy(into, ends.coming, taken[0])
    ends.coming += taken[0]
    ends.left -= taken[0]
    return 1


cdef int _send_out(void* bio, const char* data, size_t size, size_t* written) noexcept nogil:
    """OpenSSL has written: keep it. 0 if there is no memory, which is the end of this TLS."""
    cdef Ends* ends = <Ends*>BIO_get_data(bio)
    BIO_clear_flags(bio, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY)
    written[0] = 0
    if size > ends.room - ends.filled and not _widen(ends, size):
        return 0
    memcpy(ends.leaving + ends.filled, data, size)
    ends.filled += size
    written[0] = size
    return 1


cdef bint _widen(Ends* ends, size_t size) noexcept nogil:
    """Make room for `size` bytes more, in memory of ours. False if there is none."""
    cdef size_t room = 2 * ends.filled + size
    cdef char* wider = <char*>realloc(NULL if ends.lent else ends.leaving, room)
    if wider == NULL:
        return False
    if ends.lent:
        memcpy(wider, ends.leaving, ends.filled)
        ends.lent = False
    ends.leaving = wider
    ends.room = room
    return True


cdef long _control(void* bio, int command, long number, void* pointer) noexcept nogil:
    if command == BIO_CTRL_FLUSH:
        return 1
    if command == BIO_CTRL_PENDING:
        return <long>(<Ends*>BIO_get_data(bio)).left
    return 0


cdef inline void _forget_errors() noexcept nogil:
    """What others have left in the queue of this thread would be taken for ours."""
    if ERR_peek_error():
        ERR_clear_error()


cdef void* _inner(object context) except NULL:
    """The `SSL_CTX` inside of `context`."""
    if not isinstance(context, _ssl._SSLContext):
        raise TypeError("an ssl.SSLContext is required")
    cdef void* inner = (<void**>((<char*><PyObject*>context) + sizeof_head))[0]
    if inner == NULL:
        raise ValueError("the context is empty")
    return inner


cdef char* _place(object data) except NULL:
    """Where the bytes of `data` are, which must be `bytes` or a bytearray."""
    if type(data) is bytes:
        return text_in(data)
    if type(data) is bytearray:
        return text_of_array(data)
    raise TypeError("bytes or a bytearray are required")


cdef bytes _cut(PyObject* made, Py_ssize_t size):
    """The `bytes` that `made` is with its first `size` bytes. `made` must be new, and is ours no more."""
    if size == 0:
        Py_DECREF(made)
        return b""
    _PyBytes_Resize(&made, size)
    result = <bytes>made
    Py_DECREF(made)
    return result


@cython.final
@cython.no_gc_clear  # the context must not go before the `SSL`
cdef class OpensslChannel(Channel):
    """See `Channel`. `context` must be one that `suits`."""

    cdef void* _ssl
    cdef Ends _ends
    cdef object _context
    cdef bytes _waiting
    cdef bint _busy
    cdef bint _shaken
    cdef bint _closed
    #: Whether OpenSSL holds the beginning of a record.
    cdef bint _begun
    cdef int _empty_records

    def __cinit__(self, context):
        cdef void* inner = _inner(context)
        cdef void* bio
        self._context = context
        self._waiting = b""
        # Sessions are in the clients' tickets. A cache of them here would be memory that strangers fill.
        SSL_CTX_ctrl(inner, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, NULL)
        _forget_errors()
        self._ssl = SSL_new(inner)
        bio = BIO_new(_method) if self._ssl != NULL else NULL
        if bio == NULL:
            raise self._error()
        BIO_set_data(bio, &self._ends)
        BIO_set_init(bio, 1)
        SSL_set_bio(self._ssl, bio, bio)
        SSL_set_accept_state(self._ssl)
        # As Python has it, with the zero: a session of either kind of channel is resumed by the other.
        SSL_set_session_id_context(self._ssl, "Python", 7)
        SSL_ctrl(self._ssl, SSL_CTRL_MODE, SSL_MODE_RELEASE_BUFFERS, NULL)
        # So that `receive` sees each record that carries nothing.
        SSL_ctrl(self._ssl, SSL_CTRL_CLEAR_MODE, SSL_MODE_AUTO_RETRY, NULL)

    def __init__(self, context):
        pass

    def __dealloc__(self):
        if self._ssl != NULL:
            SSL_free(self._ssl)
            self._ssl = NULL
        self._ends.coming = NULL
        free(self._ends.leaving)
        self._ends.leaving = NULL

    cpdef Py_ssize_t feed(self, bytes data) except -1:
        self._enter()
        self._waiting += data
        return len(self._waiting)

    cpdef bint handshake(self) except -1:
        cdef bytes data = self._waiting
        cdef int done
        self._enter()
        self._ends.coming = text_in(data)
        self._ends.left = len(data)
        self._busy = True
        with nogil:
            _forget_errors()
            done = SSL_do_handshake(self._ssl)
        self._busy = False
        self._waiting = data[len(data) - <Py_ssize_t>self._ends.left:] if self._ends.left else b""
        self._ends.coming = NULL
        self._ends.left = 0
        if done == 1:
            self._shaken = True
            # Before TLS 1.3 the client awaits our end of the handshake.
            self.patient = SSL_version(self._ssl) >= TLS1_3_VERSION
            return True
        if SSL_get_error(self._ssl, done) == SSL_ERROR_WANT_READ:
            return False
        raise self._error()

    cpdef bytes receive(self, object data, Py_ssize_t size):
        cdef PyObject* made
        cdef Py_ssize_t room
        cdef char* place
        self._enter()
        if size < 0 or size > len(data):
            raise ValueError("so many bytes are not there")
        if self.ended or self.fault is not None or not self._shaken:
            return b""
        if self._waiting:
            data = self._waiting + data[:size]
            size = len(data)
            self._waiting = b""
        if size == 0:
            return b""
        # A record is longer than what it carries, and only the first can have begun earlier.
        room = size + (RECORD_BYTES if self._begun else 0)
        place = _place(data)
        made = new_bytes(NULL, room)
        self._ends.coming = place
        self._ends.left = size
        try:
            room = self._decipher(text_of(made), room)
        except BaseException:
            Py_DECREF(made)
            raise
        finally:
            self._ends.coming = NULL
            self._ends.left = 0
        return _cut(made, room)

    cdef Py_ssize_t _decipher(self, char* into, Py_ssize_t room) except -1:
        """Fill `into` with the plaintext of each record that is whole; how much it is. Notes how it ended."""
        cdef Py_ssize_t filled = 0
        cdef size_t size = 0
        cdef int done, error
        _forget_errors()
        while filled < room:
            done = SSL_read_ex(self._ssl, into + filled, room - filled, &size)
            if done == 1:
                filled += size
                self._empty_records = 0
                if self._ends.left == 0:
                    self._begun = False
                    return filled
                continue
            error = SSL_get_error(self._ssl, done)
            if error == SSL_ERROR_ZERO_RETURN:
                self.ended = True
                return filled
            if error != SSL_ERROR_WANT_READ:
                self.fault = self._error()
                return filled
            self._begun = self._ends.left == 0 and SSL_has_pending(self._ssl)
            if self._begun:
                return filled
            self._empty_records += 1
            if self._empty_records > MOST_EMPTY_RECORDS:
                self.fault = too_many_updates()
            if self._ends.left == 0 or self.fault is not None:
                return filled
        self.fault = tls_error(ssl.SSLError, "SSL", "INTERNAL_ERROR", "more plaintext than ciphertext")
        return filled

    cpdef bytes write(self, object data):
        cdef PyObject* made
        cdef size_t written = 0
        cdef int done
        cdef char* place = _place(data)
        cdef Py_ssize_t size = len(data)
        cdef size_t room = self._ends.filled + size + (size // RECORD_BYTES + 1) * RECORD_OVERHEAD
        self._enter()
        if size == 0:
            return self.take()
        made = new_bytes(NULL, room)
        if self._ends.filled:
            memcpy(text_of(made), self._ends.leaving, self._ends.filled)
        free(self._ends.leaving)
        self._ends.leaving = text_of(made)
        self._ends.room = room
        self._ends.lent = True
        _forget_errors()
        done = SSL_write_ex(self._ssl, place, size, &written)
        if not self._ends.lent:
            Py_DECREF(made)
            result = self.take()
        else:
            room = self._ends.filled
            self._leave_nothing()
            result = _cut(made, room)
        if done != 1:
            raise self._error()
        return result

    cpdef bytes take(self):
        self._enter()
        if self._ends.filled == 0:
            return b""
        result = copied(self._ends.leaving, self._ends.filled)
        free(self._ends.leaving)
        self._leave_nothing()
        return result

    cpdef bytes close(self):
        self._enter()
        if self._shaken and self.fault is None and not self._closed:
            self._closed = True
            _forget_errors()
            SSL_shutdown(self._ssl)
            ERR_clear_error()
        return self.take()

    cpdef object certificate(self):
        cdef void* shown
        cdef PyObject* made
        cdef char* place
        cdef int size
        self._enter()
        shown = SSL_get0_peer_certificate(self._ssl) if self._shaken else NULL
        if shown == NULL:
            return None
        size = i2d_X509(shown, NULL)
        if size <= 0:
            raise self._error()
        made = new_bytes(NULL, size)
        place = text_of(made)
        return _cut(made, i2d_X509(shown, &place))

    cdef void _leave_nothing(self) noexcept:
        self._ends.leaving = NULL
        self._ends.filled = self._ends.room = 0
        self._ends.lent = False

    cdef inline int _enter(self) except -1:
        if self._busy:
            raise RuntimeError("a handshake step is running in another thread")
        return 0

    cdef object _error(self):
        """The error that the queue ends with, as Python's `ssl` would say it; and the queue is empty."""
        cdef unsigned long code = ERR_peek_last_error()
        cdef const char* text = ERR_reason_error_string(code)
        ERR_clear_error()
        words = text.decode("ascii", "replace") if text != NULL else "unknown error"
        # Its names are the texts of OpenSSL, but for alerts those of OpenSSL before 3.2.
        reason = words.upper().replace(" ", "_").replace("-", "_").replace("SSL/TLS_ALERT", "SSLV3_ALERT")
        if (code >> 23) & 0x1FF != ERR_LIB_SSL:
            return tls_error(ssl.SSLError, "CRYPTO", reason, words)
        if code & 0x7FFFFF != SSL_R_CERTIFICATE_VERIFY_FAILED:
            return tls_error(ssl.SSLError, "SSL", reason, words)
        error = tls_error(ssl.SSLCertVerificationError, "SSL", reason, words)
        error.verify_code = SSL_get_verify_result(self._ssl)
        error.verify_message = X509_verify_cert_error_string(error.verify_code).decode("ascii", "replace")
        return error


def suits(context: ssl.SSLContext) -> bool:
    """Whether nothing in `context` expects the objects that Python makes for a connection."""
    return (
        context.sni_callback is None
        and context.keylog_filename is None
        and context._msg_callback is None
        and not context.post_handshake_auth
    )


cdef int _make_method() except -1:
    global _method
    _method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "bollard channel")
    if (
        _method == NULL
        or BIO_meth_set_read_ex(_method, <void*>_take_in) != 1
        or BIO_meth_set_write_ex(_method, <void*>_send_out) != 1
        or BIO_meth_set_ctrl(_method, <void*>_control) != 1
    ):
        raise ImportError("OpenSSL does not take a BIO of ours")
    return 0


def _check() -> None:
    """Does all this fit together? Raises ImportError if not."""
    if sys.implementation.name != "cpython" or sys.version_info[:2] not in KNOWN_PYTHONS:
        raise ImportError("this Python may keep its contexts in another way")
    _make_method()
    for options, mode in ((ssl.OP_NO_TICKET, ssl.CERT_NONE), (ssl.OP_NO_RENEGOTIATION, ssl.CERT_OPTIONAL)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.options |= options
        context.verify_mode = mode
        told = SSL_CTX_get_options(_inner(context)) & 0xFFFFFFFF, SSL_CTX_get_verify_mode(_inner(context))
        if told != (context.options & 0xFFFFFFFF, int(mode)):
            raise ImportError("the contexts of this Python are not as expected")
    _try_out()


def _try_out() -> None:
    """What is no TLS at all has to be recognized as such, and answered with an alert."""
    channel = OpensslChannel(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    channel.feed(b"GET / HTTP/1.0\r\n\r\n")
    try:
        channel.handshake()
    except ssl.SSLError as error:
        if error.reason == "HTTP_REQUEST":
            return
    raise ImportError("OpenSSL does not answer as expected")


_check()
