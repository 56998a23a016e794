from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp, memcpy


cdef inline int reserve(bytearray buffer, Py_ssize_t filled, Py_ssize_t more, Py_ssize_t most) except -1:
    cdef Py_ssize_t size = PyByteArray_GET_SIZE(buffer)
    cdef Py_ssize_t wider = 2 * size if 2 * size < most else most
    if filled + more > size:
        # Twice as large where that is allowed, so that each byte moves a bounded number of times.
        PyByteArray_Resize(buffer, wider if wider > filled + more else filled + more)
    return 0


cdef inline int cut(bytearray buffer, Py_ssize_t filled) except -1:
    # Nothing moves where at least half of it is filled.
    PyByteArray_Resize(buffer, filled)
    return 0


cdef inline void copy(
    bytearray buffer, Py_ssize_t filled, bytes source, Py_ssize_t start, Py_ssize_t end
) noexcept:
    memcpy(PyByteArray_AS_STRING(buffer) + filled, PyBytes_AS_STRING(source) + start, end - start)


cdef inline void copy_two_bytes(bytearray buffer, Py_ssize_t filled, int value) noexcept:
    cdef char *place = PyByteArray_AS_STRING(buffer) + filled
    place[0] = <char>(value >> 8)
    place[1] = <char>(value & 0xFF)


cdef inline Py_ssize_t copy_varint(bytearray buffer, Py_ssize_t filled, Py_ssize_t value) noexcept:
    cdef char *place = PyByteArray_AS_STRING(buffer)
    while value >= 0x80:
        place[filled] = <char>(value & 0x7F | 0x80)
        filled += 1
        value >>= 7
    place[filled] = <char>value
    return filled + 1


cdef inline bytes first(bytearray buffer, Py_ssize_t filled):
    return PyBytes_FromStringAndSize(PyByteArray_AS_STRING(buffer), filled)


cdef inline bint same(bytes source, Py_ssize_t start, Py_ssize_t size, bytes other) noexcept:
    return PyBytes_GET_SIZE(other) == size and memcmp(
        PyBytes_AS_STRING(source) + start, PyBytes_AS_STRING(other), size
    ) == 0
