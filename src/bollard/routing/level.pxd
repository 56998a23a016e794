cimport cython


cdef class Level:
    cdef readonly str level
    cdef readonly object children

    @cython.locals(only=Level)
    cpdef Level child(self, str level)

    @cython.final
    @cython.locals(only=Level)
    cdef int put(self, Level child) except -1
    @cython.final
    cdef void take(self, Level child) except *
