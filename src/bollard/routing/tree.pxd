cimport cython

from bollard.routing.level cimport Level
from bollard.routing.plan cimport Plan


@cython.final
cdef class Subscription:
    cdef readonly object session
    cdef readonly str filter
    cdef readonly str group
    cdef public int qos
    cdef readonly bint no_local
    cdef readonly bint retain_as_published
    cdef readonly int identifier


@cython.final
cdef class Node(Level):
    cdef object subscriptions
    cdef dict groups

    @cython.locals(only=Subscription)
    cdef bint enter(self, Subscription subscription) except *

    @cython.locals(only=Subscription)
    cdef bint leave(self, object session) except *
    cdef bint empty(self) except *


@cython.final
cdef class Tree:
    cdef Node _root
    cdef object _names
    cdef dict _levels
    cdef dict _watched
    cdef public long long generation
    cdef readonly Py_ssize_t looks
    cdef readonly Py_ssize_t count
    cdef readonly Py_ssize_t shared_count

    @cython.locals(node=Node, child=Node)
    cpdef void add(self, Subscription subscription) except *

    @cython.locals(node=Node, child=Node, parent=Node, path=list)
    cpdef void remove(self, Subscription subscription) except *

    cdef void _charge(self, Subscription subscription, int sign) except *

    cpdef Py_ssize_t levels_of(self, str principal)

    cpdef void watch(self, str name, Plan plan) except *

    cpdef void outdate(self) except *

    @cython.locals(plan=Plan)
    cdef void _changed(self, str filter) except *

    @cython.locals(node=Node, child=Node)
    cpdef object group(self, str name, str filter)

    @cython.locals(found=list, groups=list)
    cpdef tuple match(self, str topic)

    @cython.locals(child=Node)
    cdef void _descend(
        self, Node node, list levels, Py_ssize_t depth, bint dollar, list found, list groups
    ) except *
    cdef void _collect(self, Node node, list found, list groups) except *
