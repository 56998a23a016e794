from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport errno
from libc.string cimport strncmp


cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <sys/types.h>
    #include <sys/socket.h>
    #include <netinet/in.h>
    #include <arpa/inet.h>
    #include <netdb.h>
    #include <unistd.h>

    /* The next connection; its peer as text, "unix" without one. */
    static int bollard_accept(int fd, char *text, int size, int *port) {
        struct sockaddr_storage name;
        socklen_t length = sizeof name;
        int accepted = accept4(fd, (struct sockaddr *)&name, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        *port = 0;
        if (accepted < 0)
            return accepted;
        if (name.ss_family == AF_INET) {
            struct sockaddr_in *v4 = (struct sockaddr_in *)&name;
            inet_ntop(AF_INET, &v4->sin_addr, text, size);
            *port = ntohs(v4->sin_port);
        } else if (name.ss_family == AF_INET6) {
            /* With the zone of a link-local address. */
            getnameinfo((struct sockaddr *)&name, length, text, size, NULL, 0, NI_NUMERICHOST);
            *port = ntohs(((struct sockaddr_in6 *)&name)->sin6_port);
        } else {
            snprintf(text, size, "unix");
        }
        return accepted;
    }
    """
    int bollard_accept(int fd, char *text, int size, int *port) nogil
    Py_ssize_t recv(int fd, void *buffer, size_t size, int flags) nogil
    Py_ssize_t send(int fd, const void *data, size_t size, int flags) nogil
    int shutdown(int fd, int how) nogil
    int close_descriptor "close"(int fd) nogil
    int MSG_NOSIGNAL
    int SHUT_WR


cdef inline Py_ssize_t receive(int fd, bytearray buffer) noexcept:
    cdef Py_ssize_t size = recv(fd, PyByteArray_AS_STRING(buffer), PyByteArray_GET_SIZE(buffer), 0)
    return size if size >= 0 else -errno


cdef inline Py_ssize_t transmit(int fd, bytes data, Py_ssize_t start) noexcept:
    cdef Py_ssize_t size = send(
        fd, PyBytes_AS_STRING(data) + start, PyBytes_GET_SIZE(data) - start, MSG_NOSIGNAL
    )
    return size if size >= 0 else -errno


cdef inline void end_output(int fd) noexcept:
    shutdown(fd, SHUT_WR)


cdef inline void close(int fd) noexcept:
    close_descriptor(fd)


cdef inline tuple accept(int fd):
    cdef char text[128]
    cdef int port = 0
    cdef int accepted = bollard_accept(fd, text, sizeof(text), &port)
    if accepted < 0:
        return -errno, "", 0
    if strncmp(text, "::ffff:", 7) == 0:
        return accepted, (text + 7).decode("ascii"), port
    return accepted, text.decode("utf-8", "replace"), port
