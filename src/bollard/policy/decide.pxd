cimport cython


cdef class Node:
    cdef readonly dict names
    cdef readonly Node own
    cdef readonly Node plus
    cdef readonly object here
    cdef readonly object below

    cpdef void add(self, levels, decision) except *

    @cython.locals(found=Node)
    cpdef Node child(self, str level)


cdef class Profile:
    cdef readonly list denied
    cdef readonly list allowed
    cdef readonly list silence


@cython.locals(subscribe=bint, levels=list, denied=Node, allowed=Node, found=object)
cpdef object decide(Profile profile, str identity, int action, str topic)

@cython.locals(first=str, child=Node)
cdef object _start(Node root, list levels, str identity, bint subscribe)

@cython.locals(level=str, child=Node, found=object)
cdef object _match(Node node, list levels, Py_ssize_t index, Py_ssize_t count, str identity)

@cython.locals(level=str, child=Node, found=object)
cdef object _holds(Node node, list levels, Py_ssize_t index, Py_ssize_t count, str identity)
