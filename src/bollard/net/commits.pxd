cimport cython

from bollard.engine.broker cimport Broker


cdef double NEVER


@cython.final
cdef class Company:
    cdef readonly double until
    cdef readonly Py_ssize_t gathered
    cdef readonly Py_ssize_t rows


@cython.final
cdef class Commits:
    cdef long long _arrivals
    cdef double _began
    cdef Broker _broker
    cdef Company _company
    cdef object _disk
    cdef object _done
    cdef public int _hope
    cdef Py_ssize_t _hoped_rows
    cdef double _retry_at
    cdef double _since
    cdef long long _taken
    cdef double _took_s
    cdef int _trust
    cdef object _wake
    cdef bint _writing
    cdef readonly double due

    @cython.locals(now=double, progress=bint, rows=Py_ssize_t)
    cpdef bint turn(self, long long arrivals) except *
