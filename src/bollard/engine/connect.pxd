cimport cython

from bollard.base.counters cimport Counters
from bollard.engine.core cimport Core
from bollard.engine.delivery cimport resume
from bollard.engine.leave cimport drop_deadlines, end, end_session, mark_shares
from bollard.engine.rations cimport qos_for, renew_ration
from bollard.session.aliases cimport InboundAliases, OutboundAliases
from bollard.session.connection cimport Connection
from bollard.session.session cimport Session, new_session
from bollard.wire.connect cimport Connect
from bollard.wire.properties cimport Properties


cdef int ASKED
cdef int CHALLENGED
cdef int CONNECTED
cdef Py_ssize_t UNLIMITED_RECEIVE
cdef bytes ACCEPTED_3
cdef bytes ACCEPTED_3_KEPT


@cython.locals(properties=Properties)
cpdef void receive_connect(Core core, Connection connection, Connect packet) except *
@cython.locals(client_id=str, bound=Py_ssize_t)
cdef int _check_client_id(Core core, Connection connection, Connect packet) except -1
cdef int _ask(Core core, Connection connection, Connect packet, str step, bytes data) except -1

@cython.locals(writes=cython.longlong, session=Session, connack=bytes, present=bint)
cpdef void accept(Core core, Connection connection, Connect packet, object answer) except *
@cython.locals(sessions=dict)
cdef object _may_connect(Core core, Connection connection, Connect packet)

@cython.locals(session=Session, earlier=Connection, of_principal=dict)
cdef tuple _session(Core core, Connection connection, Connect packet)
cdef long long _granted_expiry(Core core, Connect packet) except -1
@cython.locals(asked=cython.longlong)
cdef long long _granted_keepalive(Core core, Connect packet) except -1
cdef bytes _connack(
    Core core, Connection connection, Connect packet, str assigned, bytes data, bint present
)
@cython.locals(asked=Properties, counters=Counters)
cpdef void attach(
    Core core, Connection connection, Session session, Connect packet, bytes connack, bint present
) except *
