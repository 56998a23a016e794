cimport cython

from bollard.wire.publish cimport property_block, publish_head
from bollard.wire.reader cimport encode_varint


@cython.final
@cython.freelist(2048)
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

    cdef int _set(
        self, str name, bytes topic, bytes payload, int qos, int retain, str author, str client_id,
        bytes forward, double expires_at,
    ) except -1
    cpdef bint expired(self, double now)


@cython.locals(made=Message)
cpdef Message new_message(
    str name, bytes topic, bytes payload, int qos, int retain, str author, str client_id,
    bytes forward, double expires_at,
)


@cython.final
@cython.freelist(2048)
cdef class Delivery:
    cdef readonly Message message
    cdef readonly int qos
    cdef readonly int retain
    cdef readonly tuple identifiers
    cdef public long long generation
    cdef readonly object group
    cdef public long long number
    cdef bytes _properties
    cdef bytes _packet3
    cdef bytes _packet5
    cdef long long _remaining

    cdef int _set(
        self, Message message, int qos, int retain, tuple identifiers, long long generation, object group
    ) except -1

    @cython.locals(properties=bytes, packet=bytes)
    cpdef bytes packet(self, int version, double now)

    @cython.locals(message=Message, rest=Py_ssize_t)
    cdef bytes _encode(self, bytes properties)

    @cython.locals(message=Message, properties=bytes)
    cpdef bytes properties(self, double now)

    @cython.locals(remaining=cython.longlong)
    cdef int _count_down(self, double now) except -1


@cython.locals(made=Delivery)
cpdef Delivery new_delivery(
    Message message, int qos, int retain, tuple identifiers, long long generation, object group
)


@cython.locals(message=Message)
cdef Delivery _make_unkept(int qos)

cdef list _UNKEPT

cpdef Delivery unkept(int qos)
