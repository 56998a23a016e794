cimport cython

from bollard.engine.broker cimport Broker
from bollard.net cimport clock
from bollard.net.commits cimport Commits
from bollard.net.gate cimport Gate
from bollard.net.poller cimport Poller
from bollard.net.stream cimport Stream
from bollard.net.traffic cimport Pauses, Traffic
from bollard.session.connection cimport Connection


cdef double NEVER
cdef Py_ssize_t LARGE_BYTES


@cython.final
cdef class Pump:
    cdef long long _arrivals
    cdef dict _closing
    cdef Commits _commits
    cdef object _emptied
    cdef list _held
    cdef dict _large
    cdef object _observe
    cdef Pauses _pauses
    cdef object _reports
    cdef bint _scheduled
    cdef object _timer
    cdef double _timer_at
    cdef long long _turns
    cdef public object authenticator
    cdef readonly Broker broker
    cdef readonly Gate gate
    cdef readonly Poller poller
    cdef public object loop
    cdef public object requested
    cdef public object steps
    cdef readonly Traffic traffic

    cpdef void wake(self) except *
    cpdef void _due(self, double deadline) except *
    cpdef bint enter(self, Stream stream) except *
    cpdef void join(self, Stream stream, object peer) except *
    @cython.locals(now=double, connection=Connection)
    cpdef void receive(self, Stream stream, bytes data) except *
    cpdef void _round_over(self) except *
    @cython.locals(broker=Broker, commits=Commits)
    cpdef void _turn(self) except *
    cpdef void forget(self, Stream stream) except *
    cpdef void gone(self, Stream stream) except *
    cpdef void linger(self, Stream stream) except *
    @cython.locals(connection=Connection)
    cpdef void _flush(self) except *
    @cython.locals(stream=Stream)
    cpdef void _write(self, object owner) except *
    cpdef void _answer(self, object question) except *
    cpdef void _give(self, object question, object answer) except *
    @cython.locals(deadline=double)
    cpdef double _next_deadline(self) except? -1.0
    @cython.locals(delay=double, later=double)
    cpdef void _set_timer(self, double deadline) except *
