cimport cython

from bollard.engine.connect cimport receive_connect
from bollard.engine.core cimport Core
from bollard.engine.leave cimport receive_disconnect
from bollard.session.connection cimport Connection
from bollard.session.session cimport Session
from bollard.wire.codec cimport decode
from bollard.wire.connect cimport Connect, decode_connect, decode_disconnect
from bollard.wire.framer cimport Framer


cdef int CONNECT
cdef int CONNECTED
cdef int DISCONNECT
cdef int OPENED

@cython.locals(framer=Framer)
cpdef void dispatch(Core core, Connection connection, Session session, int kind) except *
@cython.locals(framer=Framer, packet=Connect)
cpdef void unconnected(Core core, Connection connection, int kind) except *
cdef object _decode(Connection connection)
