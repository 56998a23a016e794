cimport cython

from bollard.net.pace cimport Link, Rate, Ring


cdef dict _KEYS
cdef double NEVER

@cython.locals(key=str)
cpdef str address_key(str address)


@cython.final
cdef class _Wait(Link):
    cdef object stream


@cython.final
cdef class _Guest(Link):
    cdef readonly double arrival
    cdef public double deadline
    cdef readonly object stream
    cdef long long sent
    cdef readonly _Wait wait


@cython.locals(wait=_Wait, guest=_Guest)
cdef _Guest _new_guest(object stream, double now, double deadline)


@cython.final
cdef class Gate:
    cdef readonly object limits
    cdef readonly Py_ssize_t total
    cdef readonly dict _by_address
    cdef readonly Ring _awaited
    cdef Ring _timed
    cdef dict _strangers
    cdef Rate _arrivals
    cdef long long _early_bytes
    cdef double _crowd_at
    cdef Py_ssize_t _crowd
    cdef Py_ssize_t _spare
    cdef Py_ssize_t _capacity
    cdef Py_ssize_t _max_per_address
    cdef Py_ssize_t _max_handshakes
    cdef long long _max_handshake_bytes
    cdef double _handshake_timeout_s

    @cython.locals(count=Py_ssize_t, key=str, guest=_Guest)
    cpdef str enter(self, object stream, double now)
    @cython.locals(wait=_Wait)
    cpdef object surplus(self)
    @cython.locals(guest=_Guest)
    cpdef int working(self, object stream) except -1
    @cython.locals(guest=_Guest)
    cpdef int waiting(self, object stream) except -1
    @cython.locals(guest=_Guest)
    cpdef int established(self, object stream) except -1
    @cython.locals(guest=_Guest, bound=cython.longlong)
    cpdef bint bears(self, object stream, long long size) except *
    cpdef int authenticated(self, object stream) except -1
    @cython.locals(guest=_Guest)
    cpdef int dismissed(self, object stream) except -1
    @cython.locals(left=Py_ssize_t, key=str)
    cpdef int leave(self, object stream) except -1
    @cython.locals(first=_Guest)
    cpdef double next_deadline(self) except -1.0
    @cython.locals(guest=_Guest, arrival=double, in_a_crowd=bint, timeout_s=double)
    cpdef list overdue(self, double now)
