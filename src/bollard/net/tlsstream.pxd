cimport cython

from bollard.base cimport memory
from bollard.net.channel cimport Channel
from bollard.net.stream cimport Stream


cdef class TlsStream(Stream):
    cdef Channel _channel
    cdef object _psk
    cdef bint _queued
    cdef bint _shaken

    cpdef void data_received(self, bytearray buffer, Py_ssize_t size) except *
    @cython.locals(data=bytes)
    cpdef void _take(self, bytearray buffer, Py_ssize_t size) except *
    cpdef bint _recognize(self, bytes data) except -1
    cpdef void _await_shake(self, bytes data) except *
    @cython.locals(channel=Channel, complete=bint)
    cpdef void _shake(self) except *
    @cython.locals(channel=Channel, plaintext=bytes)
    cpdef void _receive(self, bytearray buffer, Py_ssize_t size) except *
    @cython.locals(channel=Channel)
    cpdef void send(self, object data) except *
    cpdef void _send_records(self) except *
