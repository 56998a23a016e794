cimport cython

from bollard.net.gate cimport address_key
from bollard.net.pace cimport Bucket, Memory, Remembered


cdef double NEVER


@cython.final
cdef class Meter(Remembered):
    cdef public long long packet_rate
    cdef public long long byte_rate
    cdef public str limit_of_packets
    cdef public str limit_of_bytes
    cdef public Bucket packets
    cdef public Bucket bytes

    cpdef tuple spend(self, long long packets, long long size, double burst_s, double now)


@cython.final
cdef class Meters:
    cdef str _whose
    cdef long long _packet_rate
    cdef long long _byte_rate
    cdef Memory _known

    @cython.locals(meter=Meter)
    cpdef Meter of(self, str name)


@cython.final
cdef class Pauses:
    cdef dict _until
    cdef list _heap
    cdef long long _count

    cpdef double next(self) except -1.0


@cython.final
cdef class Traffic:
    cdef object _limits
    cdef Meters _identities
    cdef Meters _addresses
    cdef readonly Py_ssize_t allowance

    cpdef tuple meters(self, str address, str principal)
    @cython.locals(longest=double, meter=Meter)
    cpdef tuple settle(self, object stream, long long packets, long long size, double now)
