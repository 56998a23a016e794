cimport cython

from bollard.session.message cimport Delivery, Message
from bollard.session.session cimport Session


cdef class Batch:
    cdef public long long writes
    cdef public double wall_offset
    cdef public dict sessions
    cdef public dict subscriptions
    cdef public dict received
    cdef public dict messages
    cdef public dict deliveries
    cdef public dict moved
    cdef public dict retained
    cdef public dict ended_sessions
    cdef public dict ended_messages
    cdef public dict ended_deliveries


cpdef object share_of(Delivery delivery)


cdef class Journal:
    cdef public bint enabled
    cdef public bint failing
    cdef public long long sequence
    cdef public long long committed
    cdef public long long writes
    cdef public double wall_offset
    cdef public Batch batch
    cdef long long _next_session
    cdef long long _next_message
    cdef long long _next_delivery
    cdef long long _next_release

    cpdef double wall(self, double monotonic) except *

    @cython.locals(message=Message)
    cpdef void queue(self, Session session, Delivery delivery, int packet_id) except *
    cpdef void advance(self, Session session, Delivery delivery, int packet_id) except *

    @cython.locals(released=cython.longlong, owed=tuple)
    cpdef void release(self, Session session, Delivery delivery, int packet_id) except *

    @cython.locals(key=tuple, batch=Batch)
    cpdef void done(self, Session session, Delivery delivery) except *
    cpdef void received(self, Session session, int packet_id) except *
    cpdef void completed(self, Session session, int packet_id) except *
    cpdef void retain(self, Message message) except *
    cpdef void unretain(self, Message message) except *
    cpdef void adopt(self, Message message, long long number) except *
    cdef void _wrote(self) except *

    @cython.locals(batch=Batch)
    cdef void _move(self, tuple key, tuple owed) except *
    cdef void _refer(self, Message message) except *
    cdef void _unrefer(self, Message message) except *
