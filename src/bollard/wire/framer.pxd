cimport cython


@cython.freelist(256)
cdef class Framer:
    cdef readonly bytes buffer
    cdef readonly int header
    cdef readonly Py_ssize_t start
    cdef readonly Py_ssize_t body
    cdef readonly Py_ssize_t end
    cdef public Py_ssize_t max_packet_bytes
    cdef Py_ssize_t _position
    cdef bytearray _store
    cdef Py_ssize_t _needed
    cdef bytes _rest
    cdef Py_ssize_t _rest_at

    cdef int _open(self, Py_ssize_t max_packet_bytes) except -1

    @cython.locals(store=bytearray, missing=Py_ssize_t)
    cpdef void feed(self, bytes data) except *

    @cython.locals(
        buffer=bytes, view="const unsigned char *", size=Py_ssize_t, position=Py_ssize_t, index=Py_ssize_t,
        length=Py_ssize_t, end=Py_ssize_t, shift=int, digit=int, header=int,
    )
    cpdef bint next(self) except -1

    cdef void _keep(self, Py_ssize_t position, Py_ssize_t needed) except *
    cdef void _let_go_of_rest(self) noexcept


@cython.locals(made=Framer)
cpdef Framer new_framer(Py_ssize_t max_packet_bytes)
