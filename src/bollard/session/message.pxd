cimport cython

from bollard.wire.publish cimport property_bytes, publish_head


@cython.freelist(256)
cdef class Message:
    cdef readonly str name
    cdef readonly bytes topic
    cdef readonly bytes payload
    cdef readonly int qos
    cdef readonly int retain
    cdef readonly str author
    cdef readonly str client_id
    cdef readonly bytes forward
    cdef readonly double expires_at
    cdef public long long number
    cdef public long long references

    cpdef Py_ssize_t size(self)
    cpdef bint expired(self, double now)


@cython.freelist(256)
cdef class Delivery:
    cdef readonly Message message
    cdef readonly int qos
    cdef readonly int retain
    cdef readonly tuple identifiers
    cdef public long long generation
    cdef readonly object group
    cdef public long long number
    cdef bytes _head3
    cdef bytes _head5
    cdef bytes _tail5
    cdef bytes _packet3
    cdef bytes _packet5
    cdef long long _remaining

    @cython.locals(tail=bytes, packet=bytes)
    cpdef bytes packet(self, int version, double now)

    @cython.locals(message=Message, properties=bytes, tail=bytes)
    cpdef bytes tail(self, int version, double now)

    @cython.locals(identifier=Py_ssize_t, rest=Py_ssize_t, tail=bytes, head=bytes)
    cpdef bytes head(self, int version)

    @cython.locals(remaining=cython.longlong)
    cdef void _count_down(self, double now) except *
