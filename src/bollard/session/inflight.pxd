cimport cython

from bollard.session.message cimport Delivery


cdef int MAX_PACKET_ID


@cython.final
cdef class Inflight:
    cdef public dict sent
    cdef public dict released
    cdef public object again
    cdef public Py_ssize_t bytes
    cdef public int last_id

    @cython.locals(count=Py_ssize_t)
    cpdef Py_ssize_t count(self)

    @cython.locals(count=Py_ssize_t)
    cpdef bint room_for(self, Delivery delivery, Py_ssize_t window, Py_ssize_t window_bytes) except *
    cpdef void keep(self, int packet_id, Delivery delivery) except *

    @cython.locals(delivery=Delivery)
    cpdef void forget(self, int packet_id) except *
    cpdef void skip(self, int packet_id) except *

    @cython.locals(packet_id=cython.int)
    cpdef int take(self, Delivery delivery) except -1
