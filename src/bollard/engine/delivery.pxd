cimport cython

from bollard.engine.core cimport Core
from bollard.base.counters cimport Counters
from bollard.session.connection cimport Connection
from bollard.session.inflight cimport Inflight
from bollard.session.message cimport Delivery, Message, unkept
from bollard.session.session cimport Session
from bollard.wire.publish cimport encode_ack, short_ack


cdef int PUBREL
cdef int NOT_FOUND
cdef int RELEASED
cdef int WAITING
cdef Py_ssize_t PRESSING_BYTES
cdef Py_ssize_t ENTRY_BYTES


@cython.locals(connection=Connection, inflight=Inflight)
cpdef void deliver(Core core, Session session, Delivery delivery) except *

@cython.locals(counters=Counters)
cpdef int count_sent(Core core, Connection connection, Py_ssize_t size) except -1

@cython.locals(inflight=Inflight, packet_id=cython.int, packet=bytes, kept=Delivery)
cdef void _send(
    Core core, Session session, Connection connection, Delivery delivery, bint recorded
) except *

cdef void _too_large(
    Core core, Session session, Connection connection, int packet_id, Delivery delivery
) except *
@cython.locals(name=str, size=Py_ssize_t)
cdef void _enqueue(Core core, Session session, Delivery delivery) except *

@cython.locals(connection=Connection, inflight=Inflight, delivery=Delivery)
cpdef void send_waiting(Core core, Session session) except *

@cython.locals(inflight=Inflight, delivery=Delivery)
cpdef Delivery following(Connection connection, Session session)

@cython.locals(connection=Connection, inflight=Inflight)
cpdef void resume(Core core, Session session) except *

@cython.locals(inflight=Inflight, delivery=Delivery, packet_id=cython.int, allowed=bint)
cdef void _send_again(Core core, Session session, Connection connection) except *

@cython.locals(packet=bytes)
cdef bint _put_again(Core core, Connection connection, Delivery delivery, int packet_id) except -1
cdef void _put_safe(Core core, Connection connection, bytes data) except *

@cython.locals(inflight=Inflight, delivery=Delivery)
cpdef void puback(Core core, Session session, int packet_id) except *

@cython.locals(inflight=Inflight, delivery=Delivery, code=cython.int)
cpdef void pubrec(
    Core core, Connection connection, Session session, int packet_id, int reason_code
) except *

cdef int _release(
    Core core, Connection connection, Session session, int packet_id, Delivery delivery
) except -1

@cython.locals(inflight=Inflight, delivery=Delivery)
cpdef int pubcomp(Core core, Session session, int packet_id) except -1
