cimport cython


@cython.final
cdef class SharedGroup:
    cdef readonly str name
    cdef readonly str filter
    cdef readonly dict members
    cdef dict _away
    cdef list _present
    cdef list _absent
    cdef public Py_ssize_t turn

    cpdef bint add(self, object member) except *
    cpdef bint remove(self, object member) except *
    cpdef void mark(self, object session, bint away) except *
    cdef void _stale(self) except *
    cpdef Py_ssize_t unsorted(self) except -1

    @cython.locals(present=list, away=dict)
    cpdef list present(self)

    @cython.locals(absent=list)
    cpdef list absent(self)
