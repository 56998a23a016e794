cimport cython


@cython.locals(fault=str)
cpdef void check_topic_name(str topic, Py_ssize_t max_levels=*) except *

@cython.locals(fault=str, inner=str, group=str, slash=str, level=str)
cpdef void check_filter(str filter, Py_ssize_t max_levels=*) except *

cpdef tuple split_share(str filter)

@cython.locals(wanted=list, levels=list, count=Py_ssize_t, index=Py_ssize_t, level=str)
cpdef bint matches(str filter, str topic) except -1

@cython.locals(outer=list, inner=list, count=Py_ssize_t, index=Py_ssize_t, level=str)
cpdef bint contains(str granted, str requested) except -1
