cimport cython


cdef double NEVER


@cython.final
@cython.freelist(256)
cdef class Deadline:
    cdef readonly double when
    cdef readonly object act
    cdef readonly object subject
    cdef readonly long long number
    cdef readonly Py_ssize_t place


cdef bint _precedes(Deadline one, Deadline other) noexcept


@cython.final
cdef class Deadlines:
    cdef readonly list _heap
    cdef dict _matters
    cdef long long _count

    @cython.locals(deadline=Deadline)
    cpdef Deadline begin(self, double when, object act, object subject)
    cpdef int end(self, Deadline deadline) except -1
    cpdef int hasten(self, Deadline deadline, double when) except -1
    cpdef int add(self, double when, object act, object subject) except -1
    cpdef int drop(self, object act, object subject) except -1
    @cython.locals(deadline=Deadline)
    cpdef double next(self) except? -1.0
    @cython.locals(deadline=Deadline, again=double, known=bint)
    cpdef int run(self, double now, object go_on=*) except -1

    @cython.locals(heap=list)
    cdef int _insert(self, Deadline deadline) except -1
    @cython.locals(heap=list, place=Py_ssize_t, last=Deadline)
    cdef int _remove(self, Deadline deadline) except -1
    @cython.locals(heap=list, above=Py_ssize_t, other=Deadline)
    cdef int _rise(self, Deadline deadline, Py_ssize_t place) except -1
    @cython.locals(heap=list, size=Py_ssize_t, below=Py_ssize_t, other=Deadline)
    cdef int _sink(self, Deadline deadline, Py_ssize_t place) except -1
