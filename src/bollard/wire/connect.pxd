cimport cython

from bollard.wire.properties cimport Properties, decode_properties, encode_properties
from bollard.wire.reader cimport Reader, open_body


@cython.locals(reader=Reader, version=cython.int, flags=cython.int, properties=Properties)
cpdef object decode_connect(bytes buffer, int header, Py_ssize_t body, Py_ssize_t end)

@cython.locals(name=bytes, version=cython.int)
cdef int _decode_protocol(Reader reader) except -1
cdef void _check_connect_flags(int flags, int version) except *
cdef object _decode_will(Reader reader, int flags, int version)

cpdef bytes encode_connack(object connack, int version)

@cython.locals(reader=Reader, code=cython.int)
cpdef object decode_disconnect(bytes buffer, int header, Py_ssize_t body, Py_ssize_t end, int version)
cdef bytes _packet(int packet_type, bytes tail)
