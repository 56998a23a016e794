cimport cython

from bollard.base cimport memory
from bollard.net.pump cimport Pump
from bollard.net.transport cimport Transport
from bollard.session.connection cimport Connection
from bollard.session.outbox cimport reuse


cdef class Stream:
    cdef public Transport transport
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
    cdef public Connection connection
    cdef public object websocket
    cdef public object backlog

    cpdef void connection_made(self, Transport transport, str address, int port) except *
    cpdef void data_received(self, bytearray buffer, Py_ssize_t size) except *
    cpdef void eof_received(self) except *
    cpdef void connection_lost(self, object error) except *
    cpdef void pause_writing(self) except *
    cpdef void resume_writing(self) except *
    @cython.locals(connection=Connection, quiet=bint)
    cpdef void flush(self) except *
    cpdef void _send_pieces(self, Connection connection) except *
    cpdef void hold(self) except *
    cpdef void let_go(self) except *
    cpdef void send(self, object data) except *
    cpdef void farewell(self, bint departed) except *
    cpdef void hang_up(self, bint departed=*) except *
    cpdef void close(self, bint departed) except *
    cpdef void drop(self) except *
    cpdef void begin(self) except *
    cpdef void deliver(self, bytes data) except *
    cpdef void _join(self) except *
    cpdef void _settle(self, str principal) except *


cdef class PlainStream(Stream):
    @cython.locals(data=bytes)
    cpdef void data_received(self, bytearray buffer, Py_ssize_t size) except *
    cpdef void _early(self, bytes data) except *
    cpdef str _foreign(self, bytes data)
