cimport cython

from bollard.base.counters cimport Counters
from bollard.engine.core cimport Core
from bollard.engine.delivery cimport puback, pubcomp, pubrec
from bollard.engine.publish cimport receive_publish, receive_pubrel
from bollard.engine.rare cimport dispatch, unconnected
from bollard.session.connection cimport Connection
from bollard.session.session cimport Session
from bollard.wire.framer cimport Framer
from bollard.wire.publish cimport Ack, decode_ack

cdef int PUBLISH
cdef int PUBACK
cdef int PUBREC
cdef int PUBREL
cdef int PUBCOMP
cdef int ASKED
cdef int CLOSED
cdef Py_ssize_t SLICE
cdef Py_ssize_t PACKET_COST


@cython.locals(kind=cython.int, session=Session)
cpdef void process(Core core, Connection connection) except *

cdef void _interrupt(Core core, Connection connection) except *

@cython.locals(framer=Framer, view="const unsigned char *", at=Py_ssize_t, packet_id=cython.int, reason_code=cython.int, ack=Ack)
cdef int _acknowledged(Core core, Connection connection, Session session, int kind) except -1
