cimport cython

from bollard.net.stream cimport Stream


cdef class TlsStream(Stream):
    cdef bint _ended
    cdef object _fault
    cdef object _incoming
    cdef object _outgoing
    cdef object _psk
    cdef bint _queued
    cdef bint _shaken
    cdef object _tls

    cpdef void _await_shake(self, bytes data) except *
    cpdef void _read_records(self) except *
    cpdef void _conclude(self, Py_ssize_t filled) except *
    @cython.locals(size=Py_ssize_t)
    cpdef Py_ssize_t _decipher(self, Py_ssize_t filled) except -1
    cpdef void _send_records(self) except *
