cimport cython


@cython.final
cdef class _Kind:
    cdef readonly tuple hearers
    cdef public long long count


@cython.final
cdef class Hearing:
    cdef object _choose
    cdef dict _kinds

    @cython.locals(kind=_Kind)
    cpdef int tell(self, object event) except -1
