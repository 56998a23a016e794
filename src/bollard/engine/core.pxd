cimport cython

from bollard.base.counters cimport Counters
from bollard.engine.expiry cimport Deadlines
from bollard.engine.journal cimport Journal
from bollard.engine.tallies cimport Tallies
from bollard.routing.tree cimport Tree
from bollard.session.connection cimport Connection
from bollard.session.message cimport Delivery, Message
from bollard.session.session cimport Session
from bollard.wire.publish cimport Publish, short_ack


@cython.final
cdef class Core:
    cdef public object limits
    cdef public object authorizer
    cdef public object tap
    cdef public object entropy
    cdef public double now
    cdef public double connect_timeout_s
    cdef public long long keepalive_max_s
    cdef public Py_ssize_t max_client_id_bytes
    cdef public Py_ssize_t max_connect_bytes
    cdef public Py_ssize_t max_inflight
    cdef public Py_ssize_t max_outbox_bytes
    cdef public Py_ssize_t max_packet_bytes
    cdef public Py_ssize_t max_sessions
    cdef public long long session_expiry_max_s
    cdef public Py_ssize_t max_queue_messages
    cdef public Py_ssize_t max_queue_bytes
    cdef public Py_ssize_t max_principal_queue_bytes
    cdef public Py_ssize_t receive_maximum
    cdef public int maximum_qos
    cdef public str response_information
    cdef public str server_reference
    cdef public Tree tree
    cdef public object retained
    cdef public dict sessions
    cdef public Deadlines deadlines
    cdef public Journal journal
    cdef public bint journaling
    cdef public Counters counters
    cdef public long long policy_generation
    cdef public Publish packet
    cdef public dict plans
    cdef public Py_ssize_t plan_bytes
    cdef public Py_ssize_t right_bytes
    cdef public Py_ssize_t spent
    cdef public dict unfinished
    cdef public dict rights
    cdef public dict rations
    cdef public set unlimited
    cdef public Tallies tallies
    cdef public bint foreign_responses
    cdef public bint qos_bounded
    cdef public list dirty
    cdef public bint pressing
    cdef public dict replays
    cdef public dict admissions
    cdef public dict holding
    cdef public list questions
    cdef public list requests
    cdef public list events

    cpdef object decide(self, str principal, object action, str topic)
    cpdef bint may(self, str principal, object action, str topic) except -1
    cpdef void rights_changed(self) except *

    cpdef bint author_may(self, Message message) except -1

    @cython.locals(message=Message)
    cpdef bint still_allowed(self, Session session, Delivery delivery) except -1
    cpdef void denied(self, Connection connection, object action, str topic, object decision) except *
    cpdef bint worth_telling(self, Connection connection) except -1
    cpdef void tell_refusal(self, Connection connection, object action, str limit, str detail) except *
    cpdef void withheld(self, str principal) except *
    cpdef void limit(self, str name, Session session, Connection connection, str detail) except *
    @cython.locals(count=Py_ssize_t)
    cpdef Py_ssize_t share(self, str principal, Py_ssize_t of_session, Py_ssize_t of_principal) except -1
    @cython.locals(of_principal=dict)
    cpdef Session find(self, str principal, str client_id)
    cpdef int record(self, Session session, Delivery delivery, int packet_id) except -1
    cpdef int settled(self, Session session, Delivery delivery) except -1
    cpdef int acknowledge(
        self, Connection connection, long long writes_before, int packet_type, int packet_id
    ) except -1
    cpdef void put_after_commit(self, Connection connection, long long writes_before, bytes data) except *
