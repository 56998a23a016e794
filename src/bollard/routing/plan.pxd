cimport cython

from bollard.routing.shared cimport SharedGroup


@cython.final
cdef class Branch:
    cdef readonly int qos
    cdef readonly bint retain_as_published
    cdef readonly tuple identifiers
    cdef readonly int audience
    cdef readonly list sessions


@cython.final
cdef class Share:
    cdef readonly SharedGroup group
    cdef readonly dict rights


@cython.final
cdef class Plan:
    cdef public long long generation
    cdef readonly list branches
    cdef readonly list shares
    cdef public Py_ssize_t receivers
    cdef public Py_ssize_t weight


@cython.final
cdef class Route:
    cdef readonly str name
    cdef public long long generation
    cdef public bint allowed
    cdef public int may_retain
    cdef public str rule
    cdef public str reason
    cdef public Plan plan
