cimport cython

from bollard.net.pace cimport Delays


@cython.final
cdef class Arrivals:
    cdef Delays _of_client
    cdef Delays _of_identity

    @cython.locals(wait_s=double, of_identity=bint)
    cpdef tuple arrive(self, str principal, str client_id, str address, double now)
