cimport cython

from bollard.session.connection cimport Connection


@cython.final
cdef class Tally:
    cdef public long long received
    cdef public long long received_bytes
    cdef public long long sent
    cdef public long long sent_bytes
    cdef public long long denied_publish
    cdef public long long denied_subscribe
    cdef public long long denied_receive
    cdef public long long denied_will

    cpdef void add(self, Connection connection) except *


@cython.final
cdef class Tallies:
    cdef dict _known

    cpdef Tally of(self, str principal)
    @cython.locals(tally=Tally)
    cpdef void refuse(self, str principal, object action) except *
