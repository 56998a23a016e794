cimport cython

from bollard.session.message cimport Delivery


cdef int MAX_PACKET_ID
cdef list PACKET_IDS
cdef Delivery _UNKEPT


cpdef object packet_key(int packet_id)


@cython.final
cdef class Inflight:
    cdef public dict sent
    cdef public dict released
    cdef public object again
    cdef public Py_ssize_t bytes
    cdef public int last_id
    cdef int _first
    cdef int _run

    @cython.locals(count=Py_ssize_t)
    cpdef Py_ssize_t count(self)

    @cython.locals(count=Py_ssize_t)
    cpdef bint room_for(self, Delivery delivery, Py_ssize_t window, Py_ssize_t window_bytes) except -1
    cpdef void keep(self, int packet_id, Delivery delivery) except *

    cpdef Delivery waiting(self, int packet_id)

    @cython.locals(delivery=Delivery)
    cpdef Delivery acknowledge(self, int packet_id)

    @cython.locals(key=object)
    cpdef int release(self, int packet_id, Delivery delivery) except -1

    @cython.locals(delivery=Delivery)
    cpdef Delivery complete(self, int packet_id)
    cpdef void skip(self, int packet_id) except *

    @cython.locals(packet_id=cython.int, sent=dict, before=Py_ssize_t, key=object)
    cpdef int take(self, Delivery delivery) except -1
    @cython.locals(packet_id=cython.int)
    cdef void _spell_out(self) except *
