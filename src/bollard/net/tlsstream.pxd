cimport cython

from bollard.net.channel cimport Channel
from bollard.net.stream cimport Stream


cdef class TlsStream(Stream):
    cdef Channel _channel
    cdef object _psk
    cdef bint _queued
    cdef bint _shaken

    cpdef void data_received(self, bytes data) except *
    cpdef void _take(self, bytes data) except *
    cpdef bint _recognize(self, bytes data) except -1
    cpdef void _await_shake(self, bytes data) except *
    @cython.locals(channel=Channel, complete=bint)
    cpdef void _shake(self) except *
    @cython.locals(channel=Channel, plaintext=bytes)
    cpdef void _receive(self, bytes data) except *
    cpdef void _send_records(self) except *
