cimport cython

from bollard.net cimport clock, sockets
from bollard.net.transport cimport Transport


cdef int READABLE, WRITABLE, FAILED, GONE


@cython.final
cdef class Poller:
    cdef object _epoll
    cdef int _fd
    cdef bytearray _pairs
    cdef list _leaving
    cdef object _loop
    cdef int _loop_fd
    cdef list _places
    cdef bint _scheduled
    cdef object _turn
    cdef Py_ssize_t _watched
    cdef readonly bytearray buffer
    cdef readonly bint in_round
    cdef public bint wanted

    cpdef void watch(self, object who, int fd) except *
    @cython.locals(wanted=int)
    cpdef void change(self, int fd, bint reading, bint writing) except *
    cpdef void leaves(self, Transport transport) except *
    cpdef void forget(self, int fd) except *
    cpdef void begin_round(self) except *
    cpdef void end_round(self) except *
    @cython.locals(ready=Py_ssize_t)
    cpdef void look(self) except *
    cpdef void look_soon(self) except *
    @cython.locals(end=double, ready=Py_ssize_t)
    cpdef bint wait(self, double timeout_s) except *
    cpdef bint _round(self, Py_ssize_t ready) except *
    @cython.locals(number=Py_ssize_t, event=int, fd=int, loop_too=bint, transport=Transport)
    cpdef bint _serve(self, Py_ssize_t ready) except *
    cpdef Py_ssize_t leaving(self) except -1
    @cython.locals(leaving=list, transport=Transport)
    cpdef void _part(self) except *


@cython.final
cdef class Acceptor:
    cdef object _loop
    cdef object _make_stream
    cdef Poller _poller
    cdef object _warn
    cdef readonly object sock

    @cython.locals(listening=int, fd=int, port=int, address=str)
    cpdef void readable(self) except *
    cpdef void _welcome(self, int fd, str address, int port) except *
