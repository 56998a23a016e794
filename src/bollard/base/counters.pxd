cimport cython


@cython.final
cdef class Counters:
    cdef public long long bytes_received
    cdef public long long bytes_sent
    cdef public long long packets_received
    cdef public long long packets_sent
    cdef public long long publish_received
    cdef public long long publish_bytes_received
    cdef public long long publish_sent
    cdef public long long publish_bytes_sent
    cdef public long long publish_dropped
    cdef public long long expired_messages
    cdef public long long connections_accepted
    cdef public long long clients_connected
    cdef public long long clients_maximum
    cdef public long long connects_accepted
    cdef public long long connects_refused
    cdef public long long protocol_errors
    cdef public long long denied_publish
    cdef public long long denied_subscribe
    cdef public long long denied_receive
    cdef public long long denied_will
