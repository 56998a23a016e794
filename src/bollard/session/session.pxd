cimport cython

from bollard.session.fifo cimport Fifo
from bollard.session.inflight cimport Inflight
from bollard.session.message cimport Delivery


cdef Py_ssize_t ENTRY_BYTES


@cython.final
@cython.freelist(256)
cdef class Session:
    cdef readonly str principal
    cdef readonly str client_id
    cdef public object connection
    cdef public long long expiry_s
    cdef public double ends_at
    cdef public dict subscriptions
    cdef public Inflight inflight
    cdef public Fifo queue
    cdef public Py_ssize_t queue_bytes
    cdef public Py_ssize_t waiting
    cdef public bint full
    cdef public set received
    cdef public object will
    cdef public double will_at
    cdef public long long number

    cdef int _open(self, str principal, str client_id) except -1

    @cython.locals(inflight=Inflight)
    cpdef Inflight sending(self)
    cpdef int enqueue(self, Delivery delivery) except -1

    @cython.locals(delivery=Delivery)
    cpdef Delivery dequeue(self)


@cython.locals(made=Session)
cpdef Session new_session(str principal, str client_id)
