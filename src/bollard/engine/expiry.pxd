cimport cython


@cython.final
cdef class Deadlines:
    cdef readonly list _heap
    cdef dict _live
    cdef dict _matters
    cdef long long _count

    @cython.locals(matter=tuple)
    cpdef void add(self, double when, object act, object subject) except *
    @cython.locals(found=object, number=cython.longlong)
    cpdef void drop(self, object act, object subject) except *
    @cython.locals(heap=list)
    cpdef double next(self) except? -1.0
