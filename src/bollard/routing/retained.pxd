cimport cython

from bollard.routing.level cimport Level


@cython.final
cdef class Node(Level):
    cdef readonly list order
    cdef public object message
    cdef readonly long long number
    cdef public long long stamp

    cpdef void add(self, Node child) except *
    cpdef void drop(self, Node child) except *

    @cython.locals(listed=list, found=list, at=Py_ssize_t, child=Node)
    cpdef list page(self, long long last, long long newest, bint at_root, Py_ssize_t size)


@cython.locals(low=Py_ssize_t, high=Py_ssize_t, middle=Py_ssize_t, node=Node)
cdef Py_ssize_t _place(list order, long long last)
