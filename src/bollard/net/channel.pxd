cdef class Channel:
    cdef public bint ended
    cdef public object fault
    cdef public bint patient

    cpdef Py_ssize_t feed(self, bytes data) except -1
    cpdef bint handshake(self) except -1
    cpdef bytes receive(self, object data, Py_ssize_t size)
    cpdef bytes write(self, object data)
    cpdef bytes take(self)
    cpdef bytes close(self)
    cpdef object certificate(self)


cdef class SslObjectChannel(Channel):
    cdef object _incoming
    cdef object _outgoing
    cdef Py_ssize_t _silent_bytes
    cdef object _tls

    cpdef void _read(self, list found, Py_ssize_t size) except *
