cimport cython

from bollard.engine.core cimport Core
from bollard.engine.connect cimport accept
from bollard.engine.intake cimport process
from bollard.engine.leave cimport end
from bollard.engine.expiry cimport Deadlines
from bollard.session.connection cimport Connection, new_connection
from bollard.wire.framer cimport Framer


cdef int ASKED
cdef int CLOSED


# Not final: whoever drives it is tested with one that only takes notes.
cdef class Broker:
    cdef readonly Core core

    @cython.locals(core=Core, connection=Connection)
    cpdef Connection accept(self, object peer, double now)

    @cython.locals(core=Core, framer=Framer)
    cpdef void receive(self, Connection connection, bytes data, double now) except *
    cpdef bint busy_with(self, Connection connection) except *

    @cython.locals(core=Core, before=cython.longlong, packets=cython.longlong)
    cpdef void _process(self, Connection connection) except *
    cpdef void _proceed(self) except *
    cpdef void lost(self, Connection connection, double now) except *
    cpdef void writable(self, Connection connection, double now) except *

    @cython.locals(core=Core, connection=Connection, dirty=list, ready=list, at=Py_ssize_t)
    cpdef list drain(self)

    cpdef bint pressing(self) except *
    cpdef bint journal_waits(self) except *
    cpdef bint journal_presses(self) except *

    @cython.locals(core=Core)
    cpdef double next_deadline(self) except? -1.0
    @cython.locals(core=Core)
    cpdef object take_questions(self)

    @cython.locals(core=Core, connection=Connection)
    cpdef void answer(self, object question, object answer, double now) except *
    @cython.locals(core=Core)
    cpdef object take_requests(self)
    @cython.locals(core=Core)
    cpdef object take_events(self)
