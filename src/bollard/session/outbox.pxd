cimport cython

from bollard.base cimport memory
from bollard.wire.reader cimport varint_size


cdef Py_ssize_t COPIED_BYTES
cdef Py_ssize_t MUCH_BYTES
cdef Py_ssize_t BUFFER_BYTES
cdef Py_ssize_t SPARE_BYTES
cdef Py_ssize_t MAX_SPARES
cdef list _SPARES


@cython.final
cdef class Outbox:
    cdef bytearray _buffer
    cdef Py_ssize_t _filled
    cdef Py_ssize_t _copied
    cdef list _parts

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

    @cython.locals(buffer=bytearray, data=bytes, parts=list)
    cpdef bytes take(self)
    cpdef int clear(self) except -1

    @cython.locals(buffer=bytearray)
    cdef bytearray _room(self, Py_ssize_t size)
    cdef int _close_buffer(self) except -1
    cdef int _give_back(self, bytearray buffer) except -1
