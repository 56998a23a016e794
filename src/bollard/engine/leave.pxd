cimport cython

from bollard.engine.core cimport Core
from bollard.session.connection cimport Connection
from bollard.session.session cimport Session
from bollard.wire.framer cimport Framer
from bollard.wire.properties cimport Properties


cdef int CLOSED
cdef int CONNECTED
cdef int NORMAL_DISCONNECTION
cdef Framer NO_BYTES


@cython.locals(session=Session)
cpdef void end(
    Core core, Connection connection, int code, str reason, str by, bint will, str tell
) except *
cdef void _disconnect(Core core, Connection connection, int code, str tell) except *
@cython.locals(session=Session)
cdef void _turn_away(Core core, Connection connection, bint with_will) except *
cpdef void leave(Core core, Session session, bint with_will) except *
cpdef void mark_shares(Core core, Session session, bint away) except *
cpdef void drop_deadlines(Core core, Session session) except *
cpdef void drop_will(Core core, Session session) except *
cpdef void stay_away(Core core, Session session) except *

@cython.locals(of_principal=dict)
cpdef void end_session(Core core, Session session, str reason) except *
@cython.locals(session=Session, properties=Properties, code=cython.int)
cpdef void receive_disconnect(Core core, Connection connection, object packet) except *
