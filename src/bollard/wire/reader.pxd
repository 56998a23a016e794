cimport cython


@cython.freelist(8)
cdef class Reader:
    cdef bytes _buffer
    cdef readonly Py_ssize_t pos
    cdef readonly Py_ssize_t end

    cdef int _open(self, bytes buffer, Py_ssize_t pos, Py_ssize_t end) except -1

    @cython.locals(pos=Py_ssize_t, view="const unsigned char *")
    cpdef int u8(self) except -1

    @cython.locals(pos=Py_ssize_t, view="const unsigned char *")
    cpdef int u16(self) except -1

    @cython.locals(high="long long")
    cpdef long long u32(self) except -1

    @cython.locals(pos=Py_ssize_t, view="const unsigned char *", value=int, shift=int, digit=int)
    cpdef int varint(self) except -1

    @cython.locals(pos=Py_ssize_t, size=Py_ssize_t, view="const unsigned char *")
    cpdef bytes binary(self)

    @cython.locals(pos=Py_ssize_t, size=Py_ssize_t)
    cpdef str utf8(self)

    @cython.locals(pos=Py_ssize_t)
    cpdef Reader slice(self, Py_ssize_t size)

    @cython.locals(pos=Py_ssize_t, view="const unsigned char *")
    cpdef bytes rest(self)

    cpdef void done(self) except *


@cython.locals(made=Reader)
cpdef Reader new_reader(bytes buffer, Py_ssize_t pos, Py_ssize_t end)

cdef bytes _FLAGS

@cython.locals(flags="const unsigned char *")
cpdef Reader open_body(bytes buffer, int header, Py_ssize_t body, Py_ssize_t end)

@cython.locals(view="const unsigned char *", text=str)
cpdef str decode_utf8(bytes buffer, Py_ssize_t start, Py_ssize_t end)

cpdef bytes two_bytes(Py_ssize_t value)

@cython.locals(high=Py_ssize_t, low=Py_ssize_t)
cpdef bytes encode_varint(Py_ssize_t value)

cpdef Py_ssize_t varint_size(Py_ssize_t value)

@cython.locals(size=Py_ssize_t)
cpdef bytes encode_binary(bytes data)

@cython.locals(data=bytes)
cpdef bytes encode_utf8(str text)
