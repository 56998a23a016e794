cimport cython

from bollard.net.pace cimport Rate


@cython.final
cdef class Gate:
    cdef readonly object limits
    cdef readonly Py_ssize_t total
    cdef readonly dict _by_address
    cdef Rate _arrivals
    cdef dict _unauthenticated
    cdef readonly dict _awaited
    cdef dict _deadlines
    cdef dict _early
    cdef long long _early_bytes
    cdef double _crowd_at
    cdef Py_ssize_t _capacity

    @cython.locals(count=Py_ssize_t)
    cpdef str enter(self, object stream, double now)
    cpdef object surplus(self)
    cpdef void working(self, object stream) except *
    cpdef void waiting(self, object stream) except *
    cpdef void established(self, object stream) except *
    cpdef void authenticated(self, object stream) except *
    cpdef void dismissed(self, object stream) except *
    @cython.locals(left=Py_ssize_t)
    cpdef void leave(self, object stream) except *
    cpdef double next_deadline(self) except -1.0
