cimport cython

from bollard.net cimport sockets
from bollard.net.poller cimport Poller
from bollard.net.stream cimport Stream


@cython.final
cdef class Transport:
    cdef Poller _poller
    cdef int _fd
    cdef Stream _stream
    cdef bint _reading
    cdef bint _closing
    cdef bint _ended
    cdef bint _paused
    cdef int _error
    cdef object _waiting
    cdef Py_ssize_t _waiting_bytes
    cdef Py_ssize_t _sent

    cpdef void begin(self, str address, int port) except *
    cpdef bint is_reading(self) except -1
    cpdef bint is_closing(self) except -1
    cpdef Py_ssize_t get_write_buffer_size(self) except -1
    cpdef void pause_reading(self) except *
    cpdef void resume_reading(self) except *
    @cython.locals(sent=Py_ssize_t)
    cpdef void write(self, bytes data, bint more=*) except *
    cpdef void write_eof(self) except *
    cpdef void close(self) except *
    cpdef void abort(self) except *
    @cython.locals(size=Py_ssize_t, buffer=bytearray, stream=Stream)
    cpdef void readable(self, bint gone) except *
    @cython.locals(sent=Py_ssize_t, data=bytes)
    cpdef void writable(self) except *
    @cython.locals(fd=int, error=int, stream=Stream)
    cpdef void finish(self) except *
    cdef void _keep(self, bytes data) except *
    cdef void _went(self) except *
    cdef void _lose(self, int error) except *
