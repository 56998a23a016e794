cimport cython

from bollard.base.counters cimport Counters
from bollard.session.aliases cimport InboundAliases, OutboundAliases
from bollard.session.message cimport Delivery, Message
from bollard.session.outbox cimport Outbox, new_outbox
from bollard.wire.framer cimport Framer, new_framer
from bollard.wire.publish cimport (
    packet_id_bytes, publish_head, publish_size, short_ack, short_ack_start
)
from bollard.wire.reader cimport encode_varint, two_bytes


cdef int OPENED
cdef int CLOSED


@cython.final
@cython.freelist(256)
cdef class Connection:
    cdef public object owner
    cdef public object peer
    cdef public int state
    cdef public int version
    cdef public str principal
    cdef public str client_id
    cdef public object session
    cdef public Framer framer
    cdef readonly Outbox outbox
    cdef public Py_ssize_t size
    cdef public bint dirty
    cdef list dirty_list
    cdef Counters counters
    cdef public bint closing
    cdef public bint departed
    cdef public bint cut
    cdef public bint writable
    cdef public bint overflowed
    cdef public Py_ssize_t max_outbox_bytes
    cdef public Py_ssize_t max_packet_out
    cdef public Py_ssize_t window
    cdef public Py_ssize_t window_bytes
    cdef public object held
    cdef public Py_ssize_t held_bytes
    cdef public Py_ssize_t held_pubacks
    cdef public dict routes
    cdef public Py_ssize_t route_bytes
    cdef public InboundAliases aliases_in
    cdef public OutboundAliases aliases_out
    cdef public double connected_at
    cdef public double last_seen
    cdef public object deadline
    cdef public long long packets
    cdef public int keepalive_s
    cdef public long long denials
    cdef public double told_at
    cdef public object ration
    cdef public long long ration_generation
    cdef public long long received
    cdef public long long received_bytes
    cdef public long long sent
    cdef public long long sent_bytes
    cdef public bint problem_information
    cdef public str method
    cdef public object exchange
    cdef public object pending
    cdef public bint reauthenticating
    cdef public bint asked

    cdef int _open(
        self, object peer, Py_ssize_t max_packet_bytes, Py_ssize_t max_outbox_bytes, list dirty_list,
        Counters counters,
    ) except -1
    cpdef int put(self, bytes data) except -1
    cpdef int put_range(self, bytes source, Py_ssize_t start, Py_ssize_t end) except -1
    cpdef int put_identified(
        self, bytes source, Py_ssize_t start, Py_ssize_t middle, int packet_id, Py_ssize_t end
    ) except -1
    cpdef int put_publish(
        self, int first, bytes topic, int packet_id, bytes properties, bytes source, Py_ssize_t start,
        Py_ssize_t end, Py_ssize_t size
    ) except -1
    cpdef int put_ack(self, int packet_type, int packet_id) except -1
    cdef int _added(self, Py_ssize_t size) except -1
    cpdef int discard(self) except -1
    cpdef int mark(self) except -1

    @cython.locals(
        packet=bytes, head=bytes, size=Py_ssize_t, message=Message, payload=bytes, properties=bytes, first=cython.int
    )
    cpdef bint put_delivery(self, Delivery delivery, int packet_id, int dup, double now) except -1

    @cython.locals(head=bytes)
    cpdef bytes encode(self, Delivery delivery, int packet_id, int dup, double now, bint aliased)

    @cython.locals(
        message=Message, topic=bytes, properties=bytes, alias=cython.int, known=bint, rest=Py_ssize_t, head=bytes,
    )
    cdef bytes _head(self, Delivery delivery, int packet_id, int dup, double now, bint aliased)

    cpdef void hold(self, long long sequence, bytes data) except *
    @cython.locals(data=bytes)
    cpdef bint release(self, long long committed) except -1
    @cython.locals(waiting=Py_ssize_t)
    cpdef bint room_for(self, Py_ssize_t size) except -1

    @cython.locals(data=bytes)
    cpdef bytes take_output(self)
    @cython.locals(size=Py_ssize_t)
    cpdef object take_piece(self)


@cython.locals(made=Connection)
cpdef Connection new_connection(
    object peer, Py_ssize_t max_packet_bytes, Py_ssize_t max_outbox_bytes, list dirty_list, Counters counters
)
