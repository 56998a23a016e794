cimport cython

from bollard.engine.core cimport Core
from bollard.engine.delivery cimport deliver
from bollard.routing.plan cimport Share
from bollard.routing.shared cimport SharedGroup
from bollard.routing.tree cimport Subscription
from bollard.session.connection cimport Connection
from bollard.session.inflight cimport Inflight
from bollard.session.message cimport Delivery, Message, new_delivery
from bollard.session.session cimport Session


cdef int NEVER
cdef int LATER
cdef int SOON
cdef int NOW
cdef Py_ssize_t ENOUGH
cdef Py_ssize_t MAX_RIGHTS_OF_SHARE
cdef Py_ssize_t ASK_COST
cdef Py_ssize_t JUDGE_COST
cdef Py_ssize_t SORT_COST

@cython.locals(
    group=SharedGroup, members=list, count=Py_ssize_t, at=Py_ssize_t, best=cython.int, best_at=Py_ssize_t,
    step=Py_ssize_t, fitness=cython.int, chosen=Subscription,
)
cpdef Subscription choose_member(Core core, Share share, str name, int qos)

@cython.locals(
    group=SharedGroup, members=list, count=Py_ssize_t, at=Py_ssize_t, step=Py_ssize_t, member=Subscription,
)
cdef Subscription _choose_absent(Core core, Share share, str name, int qos)

@cython.locals(session=Session, connection=Connection, inflight=Inflight)
cdef int _fitness(Core core, Share share, Subscription member, str name, int qos) except -1
cdef bint _judge(Core core, Share share, str principal, str name) except -1

@cython.locals(identifiers=tuple, kept=cython.int, granted=cython.int)
cpdef Delivery delivery_for(
    Core core, Share share, Subscription member, Message message, int qos, int retain
)

@cython.locals(member=Subscription)
cpdef bint share_out(Core core, Share share, Message message, int qos, int retain) except *
