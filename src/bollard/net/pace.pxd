cimport cython


cdef class Link:
    cdef Link before
    cdef Link after

    cdef int _alone(self) except -1


@cython.final
cdef class Ring:
    cdef Link _ends
    cdef readonly Py_ssize_t count

    @cython.locals(ends=Link, last=Link)
    cpdef int put(self, Link link) except -1
    @cython.locals(before=Link, after=Link)
    cpdef int take(self, Link link) except -1
    cpdef int last(self, Link link) except -1
    cpdef Link first(self)


cdef class Remembered(Link):
    cdef readonly object key

    cdef int _open(self, object key) except -1


@cython.final
cdef class Memory:
    cdef Py_ssize_t _bound
    cdef dict _by_key
    cdef Ring _order

    cpdef Remembered get(self, object key)
    @cython.locals(one=Remembered)
    cpdef Remembered recall(self, object key)
    cpdef int touch(self, Remembered one) except -1
    @cython.locals(silent=Remembered)
    cpdef int put(self, Remembered one) except -1
    @cython.locals(one=Remembered)
    cpdef int forget(self, object key) except -1


@cython.final
cdef class _Record(Remembered):
    cdef double count
    cdef double at
    cdef double until


@cython.locals(made=_Record)
cdef _Record _new_record(object key)


@cython.final
cdef class Delays:
    cdef double _forgive_s
    cdef double _free
    cdef double _max_s
    cdef double _most
    cdef Memory _records

    @cython.locals(record=_Record)
    cpdef double wait_s(self, object key, double now) except -1.0
    @cython.locals(record=_Record, delay_s=double)
    cpdef double note(self, object key, double now, double longest_s=*) except -1.0
    @cython.locals(record=_Record)
    cpdef bint is_free(self, object key) except *
    cpdef int forget(self, object key) except -1


@cython.final
cdef class Bucket:
    cdef public double full_at

    cpdef double take(self, double count, double rate, double burst_s, double now) except -1.0


@cython.final
cdef class _Full(Remembered):
    cdef double at


@cython.locals(made=_Full)
cdef _Full _new_full(object key)


@cython.final
cdef class Rate:
    cdef double _burst_s
    cdef Memory _full
    cdef double _interval_s

    @cython.locals(full=_Full, full_at=double)
    cpdef bint take(self, object key, double now) except *
