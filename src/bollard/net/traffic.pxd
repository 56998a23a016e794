cimport cython

from bollard.net.pace cimport Bucket


@cython.final
cdef class Meter:
    cdef public long long packet_rate
    cdef public long long byte_rate
    cdef public str limit_of_packets
    cdef public str limit_of_bytes
    cdef public Bucket packets
    cdef public Bucket bytes

    cpdef tuple spend(self, long long packets, long long size, double burst_s, double now)


@cython.final
cdef class Pauses:
    cdef dict _until
    cdef list _heap
    cdef long long _count

    cpdef double next(self) except -1.0


@cython.final
cdef class Traffic:
    cdef object _limits
    cdef object _meters
    cdef readonly Py_ssize_t allowance

    @cython.locals(found=list)
    cpdef tuple meters(self, str address, str principal)
    @cython.locals(longest=double, meter=Meter)
    cpdef tuple settle(self, object stream, long long packets, long long size, double now)
    @cython.locals(meter=Meter)
    cpdef Meter _meter(self, str whose, str name, object packet_rate, object byte_rate)
