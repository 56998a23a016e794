cimport cython

from bollard.wire.properties cimport Properties, decode_properties, encode_properties
from bollard.wire.reader cimport Reader, open_body


cdef int CONNECT
cdef int CONNACK
cdef int V311
cdef int V5
cdef Properties NO_PROPERTIES


@cython.final
@cython.freelist(64)
cdef class Connect:
    cdef public int version
    cdef public bint clean_start
    cdef public long long keepalive_s
    cdef public str client_id
    cdef public str username
    cdef public bytes password
    cdef public object will
    cdef public Properties properties

    cpdef tuple _told(self)


@cython.locals(
    reader=Reader, version=cython.int, flags=cython.int, keepalive_s=cython.int, properties=Properties, connect=Connect
)
cpdef Connect decode_connect(bytes buffer, int header, Py_ssize_t body, Py_ssize_t end)

@cython.locals(name=bytes, version=cython.int)
cdef int _decode_protocol(Reader reader) except -1
cdef int _check_connect_flags(int flags, int version) except -1
cdef object _decode_will(Reader reader, int flags, int version)

cpdef bytes encode_connack(object connack, int version)

@cython.locals(reader=Reader, code=cython.int)
cpdef object decode_disconnect(bytes buffer, int header, Py_ssize_t body, Py_ssize_t end, int version)
cdef bytes _packet(int packet_type, bytes tail)
