from bollard.net.pump cimport Pump


cdef class Stream:
    cdef public object transport
    cdef public Pump pump
    cdef public object door
    cdef public int phase
    cdef public str address
    cdef public int port
    cdef public bint newcomer
    cdef public bint held
    cdef public Py_ssize_t allowance
    cdef public long long settled
    cdef public long long turn
    cdef public tuple meters
    cdef public object connection
    cdef public object websocket
    cdef public object backlog

    cpdef void flush(self) except *
    cpdef void hold(self) except *
    cpdef void let_go(self) except *
    cpdef void send(self, bytes data) except *
    cpdef void farewell(self, bint departed) except *
    cpdef void hang_up(self, bint departed=*) except *
    cpdef void close(self, bint departed) except *
    cpdef void drop(self) except *
    cpdef void begin(self) except *
    cpdef void deliver(self, bytes data) except *
    cpdef void _join(self) except *
    cpdef void _settle(self, str principal) except *


cdef class PlainStream(Stream):
    pass


cpdef tuple peer_address(object peername)
