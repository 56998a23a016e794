cimport cython

from bollard.base cimport memory
from bollard.wire.properties cimport Properties, decode_properties, encode_properties
from bollard.wire.reader cimport Reader, decode_utf8, encode_varint, open_body, two_bytes, varint_size


cdef class Publish:
    cdef public int dup
    cdef public int qos
    cdef public int retain
    cdef public bytes topic
    cdef public int packet_id
    cdef public bytes payload
    cdef public int alias
    cdef public long long expiry
    cdef public bytes forward
    cdef public tuple identifiers
    cdef public Py_ssize_t size
    cdef bytes _buffer
    cdef readonly Py_ssize_t at
    cdef readonly bint responds

    cpdef int decode(self, bytes buffer, int header, Py_ssize_t body, Py_ssize_t end, int version) except -1

    @cython.locals(
        view="const unsigned char *", qos=int, position=Py_ssize_t, size=Py_ssize_t, packet_id=int,
    )
    cpdef int scan(self, bytes buffer, int header, Py_ssize_t body, Py_ssize_t end, int version) except -1

    @cython.locals(view="const unsigned char *")
    cpdef bytes content(self)

    @cython.locals(
        reader=Reader, size=Py_ssize_t, view="const unsigned char *", seen="unsigned long long", one="unsigned long long", users=int,
        kept=Py_ssize_t, identifier=int, start=Py_ssize_t,
    )
    cdef Py_ssize_t _decode_properties(self, bytes buffer, Py_ssize_t position, Py_ssize_t end) except -1

    @cython.locals(view="const unsigned char *", high="long long", reader=Reader, number=int)
    cdef Py_ssize_t _decode_own(self, bytes buffer, int identifier, Py_ssize_t position, Py_ssize_t end) except -1

    cpdef Properties properties(self)


@cython.locals(view="const unsigned char *", after=Py_ssize_t)
cdef Py_ssize_t _skip_forwarded(bytes buffer, int identifier, Py_ssize_t position, Py_ssize_t end) except -1

@cython.locals(view="const unsigned char *", after=Py_ssize_t)
cdef Py_ssize_t _skip_binary(bytes buffer, Py_ssize_t position, Py_ssize_t end) except -1

@cython.locals(view="const unsigned char *", after=Py_ssize_t, index=Py_ssize_t)
cdef Py_ssize_t _skip_string(bytes buffer, Py_ssize_t position, Py_ssize_t end) except -1

@cython.locals(size=Py_ssize_t, first=int, length=Py_ssize_t)
cpdef bytes publish_head(bytes topic, int qos, int retain, int dup, Py_ssize_t rest)

@cython.locals(rest=Py_ssize_t)
cpdef Py_ssize_t publish_size(bytes topic, int qos, bytes properties, Py_ssize_t size)

@cython.locals(block=bytes)
cpdef bytes property_bytes(bytes forward, long long expiry, int alias, tuple identifiers)

@cython.locals(block=bytes)
cpdef bytes property_block(bytes forward, long long expiry, int alias, tuple identifiers)


cdef class Ack:
    cdef public int packet_type
    cdef public int packet_id
    cdef public int reason_code
    cdef public Properties properties


@cython.locals(
    packet_type=int, size=Py_ssize_t, packet_id=int, reason_code=int, reader=Reader,
)
cpdef Ack decode_ack(bytes buffer, int header, Py_ssize_t body, Py_ssize_t end, int version)

@cython.locals(tail=bytes, first=int)
cpdef bytes encode_ack(int packet_type, int packet_id, int reason_code=*, int version=*, Properties properties=*)

cpdef int short_ack_start(int packet_type)
cpdef bytes short_ack(int packet_type, int packet_id)

cpdef bytes packet_id_bytes(int packet_id)

