cimport cython

from bollard.net.gate cimport address_key
from bollard.net.pace cimport Delays, Memory, Remembered


@cython.final
cdef class Guesses:
    cdef Delays _by_pair
    cdef Delays _by_address
    cdef Memory _known
    cdef dict _under_way
    cdef dict _under_way_of

    @cython.locals(pair=tuple)
    cpdef bint busy(self, str address, str identity) except *
    @cython.locals(pair=tuple, wait_s=double, shared_s=double)
    cpdef tuple wait(self, str address, str identity, double now)
    @cython.locals(pair=tuple, counts=bint, known=bint, own_s=double, shared_s=double)
    cpdef tuple wrong(self, str address, str identity, double now)
    @cython.locals(pair=tuple, known=Remembered)
    cpdef int right(self, str address, str identity) except -1


@cython.final
cdef class Arrivals:
    cdef Delays _of_client
    cdef Delays _of_identity

    @cython.locals(wait_s=double, of_identity=bint)
    cpdef tuple arrive(self, str principal, str client_id, str address, double now)


cdef class Guard:
    cdef readonly Guesses guesses
    cdef Arrivals _arrivals
    cdef object _inner
    cdef object _reports
    cdef object _clock
    cdef object _unguessable

    @cython.locals(name=str)
    cpdef object answer(self, object question)
    cpdef object _judged(self, object question, str name, object answer)
    cpdef object _arrive(self, object question, object answer)


cpdef str claimed_name(object question)
cdef tuple _pair(str address, str identity)
