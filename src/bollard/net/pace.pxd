cimport cython


@cython.final
cdef class _Record:
    cdef public double count
    cdef public double at
    cdef public double until


@cython.final
cdef class Delays:
    cdef double _forgive_s
    cdef object _free
    cdef double _max_s
    cdef object _records

    @cython.locals(record=_Record)
    cpdef double wait_s(self, object key, double now) except -1.0
    @cython.locals(record=_Record, delay_s=double)
    cpdef double note(self, object key, double now, double longest_s=*) except -1.0
    @cython.locals(record=_Record)
    cpdef bint is_free(self, object key) except *
    cpdef void forget(self, object key) except *


@cython.final
cdef class Bucket:
    cdef public double full_at

    cpdef double take(self, double count, double rate, double burst_s, double now) except -1.0


@cython.final
cdef class Rate:
    cdef double _burst_s
    cdef object _full_at
    cdef double _interval_s

    @cython.locals(full_at=double)
    cpdef bint take(self, object key, double now) except *
