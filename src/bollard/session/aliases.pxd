cimport cython


@cython.final
cdef class InboundAliases:
    cdef readonly int maximum
    cdef dict _topics

    cpdef bytes resolve(self, int alias, bytes topic)


@cython.final
cdef class OutboundAliases:
    cdef readonly int maximum
    cdef dict _aliases

    cpdef int known(self, bytes topic) except -1

    @cython.locals(count=Py_ssize_t)
    cpdef int free(self) except -1
    cpdef void assign(self, bytes topic) except *
