cimport cython

from bollard.session.message cimport Delivery


cdef Py_ssize_t MAX_FREE


@cython.final
cdef class Fifo:
    cdef list _places
    cdef Py_ssize_t _free

    cpdef int append(self, Delivery delivery) except -1

    @cython.locals(delivery=Delivery)
    cpdef Delivery first(self)

    @cython.locals(delivery=Delivery)
    cpdef Delivery take(self)
