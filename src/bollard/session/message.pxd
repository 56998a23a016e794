cimport cython

from bollard.wire.publish cimport property_bytes, publish_head


@cython.final
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
    cdef readonly Py_ssize_t size

    cdef void _set(
        self, str name, bytes topic, bytes payload, int qos, int retain, str author, str client_id,
        bytes forward, double expires_at,
    ) except *
    cpdef bint expired(self, double now)


@cython.locals(made=Message)
cpdef Message new_message(
    str name, bytes topic, bytes payload, int qos, int retain, str author, str client_id,
    bytes forward, double expires_at,
)


@cython.final
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

    cdef void _set(
        self, Message message, int qos, int retain, tuple identifiers, long long generation, object group
    ) except *

    @cython.locals(tail=bytes, packet=bytes)
    cpdef bytes packet(self, int version, double now)

    @cython.locals(message=Message, properties=bytes, tail=bytes)
    cpdef bytes tail(self, int version, double now)

    @cython.locals(identifier=Py_ssize_t, rest=Py_ssize_t, tail=bytes, head=bytes)
    cpdef bytes head(self, int version)

    @cython.locals(after=Py_ssize_t)
    cpdef void adopt(
        self, bytes buffer, Py_ssize_t start, Py_ssize_t body, Py_ssize_t end, int version
    ) except *

    @cython.locals(remaining=cython.longlong)
    cdef void _count_down(self, double now) except *


@cython.locals(made=Delivery)
cpdef Delivery new_delivery(
    Message message, int qos, int retain, tuple identifiers, long long generation, object group
)
