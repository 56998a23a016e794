cimport cython

from bollard.engine.core cimport Core
from bollard.engine.delivery cimport resume
from bollard.engine.leave cimport drop_deadlines, end, end_session, mark_shares
from bollard.session.aliases cimport InboundAliases, OutboundAliases
from bollard.session.connection cimport Connection
from bollard.session.session cimport Session


cdef int ASKED
cdef int CHALLENGED
cdef int CONNECTED


cpdef void receive_connect(Core core, Connection connection, object packet) except *
cdef void _check_client_id(Core core, Connection connection, object packet) except *
cdef void _ask(Core core, Connection connection, object packet, str step, bytes data) except *

@cython.locals(writes=cython.longlong, session=Session, connack=bytes, present=bint)
cpdef void accept(Core core, Connection connection, object packet, object answer) except *
cdef object _may_connect(Core core, Connection connection, object packet)

@cython.locals(session=Session, earlier=Connection)
cdef tuple _session(Core core, Connection connection, object packet)
cdef object _granted_expiry(Core core, object packet)
cdef object _granted_keepalive(Core core, object packet)
cdef bytes _connack(
    Core core, Connection connection, object packet, str assigned, bytes data, bint present
)
cpdef void attach(
    Core core, Connection connection, Session session, object packet, bytes connack, bint present
) except *
