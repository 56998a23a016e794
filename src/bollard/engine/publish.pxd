cimport cython

from bollard.engine.core cimport Core
from bollard.base.counters cimport Counters
from bollard.engine.delivery cimport count_sent, deliver
from bollard.engine.share cimport choose_member, delivery_for
from bollard.routing.plan cimport Branch, Plan, Route, Share
from bollard.routing.tree cimport Subscription
from bollard.session.aliases cimport InboundAliases
from bollard.session.connection cimport Connection
from bollard.session.inflight cimport Inflight, packet_key
from bollard.session.message cimport Delivery, Message, new_delivery, new_message, unkept
from bollard.session.session cimport Session
from bollard.wire.framer cimport Framer
from bollard.wire.publish cimport Publish, encode_ack, publish_size


cdef int PUBACK
cdef int PUBREC
cdef int PUBCOMP
cdef int NO_MATCHING_SUBSCRIBERS
cdef int NOT_AUTHORIZED
cdef int QUOTA_EXCEEDED
cdef int NOT_FOUND
cdef int EVERYONE
cdef int PUBLISHER
cdef Py_ssize_t MAX_COPIED
cdef Py_ssize_t MUCH_BYTES
cdef Py_ssize_t LOOK_COST
cdef Py_ssize_t ROUTE_COST
cdef Py_ssize_t PLAN_COST
cdef Py_ssize_t RIGHT_OF_SHARE_BYTES
cdef Py_ssize_t MAX_RIGHTS_OF_SHARE


@cython.locals(
    framer=Framer, packet=Publish, topic=bytes, route=Route, counters=Counters, intact=bint,
)
cpdef int receive_publish(Core core, Connection connection, Session session) except -1

@cython.locals(aliases=InboundAliases)
cdef bytes _resolve(Core core, Connection connection, Publish packet)

@cython.locals(route=Route)
cpdef Route new_route(Core core, Connection connection, bytes topic)
cpdef void judge(Core core, str principal, Route route) except *
cpdef bint may_retain(Core core, str principal, Route route) except -1
cpdef void refuse(Core core, Connection connection, Route route, object action) except *
cdef int _excess(Core core, Connection connection, Publish packet, Route route) except -1
cdef int _turn_away(Core core, Connection connection, Publish packet, Route route) except -1

@cython.locals(
    writes=cython.longlong, received=set, reason_code=cython.int, version=cython.int,
    kind=cython.int,
)
cdef void _receive_marked(
    Core core, Connection connection, Session session, Publish packet, Route route, bytes topic,
    bint intact,
) except *
cdef bint _needs_disk(Core core, Session session, Publish packet, Route route) except -1
cdef void _decline(Core core, Connection connection, Publish packet) except *
cdef int _check_offer(Core core, Publish packet) except -1
cdef bint _stored(Core core, str name) except -1

@cython.locals(unfinished=Py_ssize_t, bound=Py_ssize_t)
cdef int _check_quota(Core core, Connection connection, Session session) except -1

@cython.locals(message=Message)
cdef int _accept(
    Core core, Connection connection, Publish packet, Route route, bytes topic, bint intact
) except -1

@cython.locals(author=str, client_id=str, expires_at=double)
cpdef Message make_message(
    Core core, Connection connection, Publish packet, Route route, bytes topic
)

@cython.locals(
    plan=Plan, publisher=object, receivers=Py_ssize_t, size=Py_ssize_t, branch=Branch, qos=cython.int, kept=cython.int,
    copied=bint, copies=bint, alike=bint, delivery=Delivery, session=Session,
)
cpdef Py_ssize_t distribute(
    Core core, Connection connection, Publish packet, Route route, bytes topic, Message message, bint intact
) except -1

@cython.locals(
    share=Share, member=Subscription, receivers=Py_ssize_t, delivery=Delivery, kept=cython.int,
)
cdef Py_ssize_t _share_out(
    Core core, Connection connection, Publish packet, Route route, bytes topic, Message message, bint intact,
    bint copied
) except -1

@cython.locals(
    connection=Connection, framer=Framer, properties=bytes, size=Py_ssize_t, packet_id=cython.int,
    middle=Py_ssize_t, first=cython.int, end=Py_ssize_t,
)
cdef bint _pass_on(
    Core core, Session session, Publish packet, Connection publisher, bytes topic, int qos, int kept, bint alike
) except -1

@cython.locals(inflight=Inflight, kept=Delivery)
cdef int _exchange(Session session, Connection connection, int qos, Py_ssize_t size) except -1

@cython.locals(plan=Plan, session=Session, subscription=Subscription)
cpdef Plan plan_for(Core core, str name)

@cython.locals(writes=cython.longlong, received=set, code=cython.int, key=object)
cpdef void receive_pubrel(Core core, Connection connection, Session session, int packet_id) except *
