cimport cython


@cython.locals(decoder=object)
cpdef object decode(bytes buffer, int header, Py_ssize_t body, Py_ssize_t end, int version)

cpdef bytes encode(object packet, int version)
