cimport cython

from bollard.base cimport memory
from bollard.wire.reader cimport varint_size


cdef Py_ssize_t COPIED_BYTES
cdef Py_ssize_t MUCH_BYTES
cdef Py_ssize_t BUFFER_BYTES
cdef Py_ssize_t PIECE_BYTES
cdef Py_ssize_t HANDED_BYTES
cdef Py_ssize_t MAX_SPARES
cdef list _SPARES


@cython.final
@cython.freelist(256)
cdef class Outbox:
    cdef bytearray _buffer
    cdef Py_ssize_t _filled
    cdef Py_ssize_t _copied
    cdef object _parts

    cdef int _open(self) except -1

    @cython.locals(size=Py_ssize_t)
    cpdef int put(self, bytes data) except -1
    cpdef int put_range(self, bytes source, Py_ssize_t start, Py_ssize_t end) except -1

    @cython.locals(buffer=bytearray, filled=Py_ssize_t)
    cpdef int put_identified(
        self, bytes source, Py_ssize_t start, Py_ssize_t middle, int packet_id, Py_ssize_t end
    ) except -1

    @cython.locals(buffer=bytearray, filled=Py_ssize_t, rest=Py_ssize_t, whole=bint)
    cpdef int put_publish(
        self, int first, bytes topic, int packet_id, bytes properties, bytes source, Py_ssize_t start, Py_ssize_t end
    ) except -1

    @cython.locals(buffer=bytearray)
    cpdef int put_ack(self, int start, int packet_id) except -1

    cpdef bytes take(self)
    @cython.locals(size=Py_ssize_t, pieces=list)
    cpdef object take_piece(self)
    cpdef int clear(self) except -1

    @cython.locals(buffer=bytearray)
    cdef bytearray _room(self, Py_ssize_t size)
    cdef int _close_buffer(self) except -1
    @cython.locals(buffer=bytearray)
    cdef object _take_buffer(self)
    cdef int _give_back(self, bytearray buffer) except -1


cpdef int reuse(object piece) except -1
cdef int _spare(bytearray buffer) except -1

@cython.locals(made=Outbox)
cpdef Outbox new_outbox()
