cimport cython

from bollard.net.pace cimport Memory, Remembered


@cython.final
cdef class _Memory(Remembered):
    cdef public double at
    cdef public str address
    cdef public object failures


@cython.final
cdef class Failures:
    cdef object _snapshot
    cdef object _clock
    cdef double _since
    cdef object _lock
    cdef readonly Memory _known
    cdef readonly object _strangers
    cdef object _examination

    @cython.locals(memory=_Memory)
    cpdef int observe(self, object event) except -1
    @cython.locals(memory=_Memory)
    cdef _Memory _memory(self, str identity)
