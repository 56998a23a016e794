cimport cython

from bollard.net cimport clock
from bollard.net.poller cimport Poller


@cython.final
cdef class Turns:
    cdef dict _queues

    cpdef void append(self, object stepper) except *
    cpdef object popleft(self)


@cython.final
cdef class Steps:
    cdef object _loop
    cdef Poller _poller
    cdef double _budget_s
    cdef Turns _queue
    cdef Turns _begun
    cdef bint _scheduled

    cpdef void submit(self, object stepper) except *
    cpdef void resume(self, object stepper) except *
    cpdef void _schedule(self) except *
    @cython.locals(end=double)
    cpdef void _run(self) except *
