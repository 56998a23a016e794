cimport cython

from bollard.session.message cimport Delivery


cdef int MAX_PACKET_ID


@cython.final
cdef class Inflight:
    cdef public dict sent
    cdef public dict released
    cdef public object again
    cdef public int last_id

    @cython.locals(count=Py_ssize_t)
    cpdef Py_ssize_t count(self)

    cpdef void skip(self, int packet_id) except *

    @cython.locals(packet_id=cython.int)
    cpdef int take(self, Delivery delivery) except -1
