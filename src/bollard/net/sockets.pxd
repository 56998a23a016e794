from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EINTR, errno
from libc.math cimport ceil
from libc.string cimport strncmp


cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <sys/types.h>
    #include <sys/socket.h>
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0
    #endif
    #ifndef MSG_MORE
    #define MSG_MORE 0
    #endif
    #include <netinet/in.h>
    #include <arpa/inet.h>
    #include <fcntl.h>
    #include <netdb.h>
    #include <unistd.h>
    #ifdef __linux__
    #include <sys/epoll.h>
    #endif

    #ifdef __linux__
    #define IS_LINUX 1
    #else
    #define IS_LINUX 0
    #endif
    #define BOLLARD_ROUND 1024

    /* At most so many sockets that are ready, as pairs of descriptor and events. */
    static int bollard_ready(int fd, int *pairs, int most, int timeout_ms) {
    #ifdef __linux__
        struct epoll_event events[BOLLARD_ROUND];
        int count = epoll_wait(fd, events, most < BOLLARD_ROUND ? most : BOLLARD_ROUND, timeout_ms);
        for (int i = 0; i < count; i++) {
            pairs[2 * i] = events[i].data.fd;
            pairs[2 * i + 1] = (int)events[i].events;
        }
        return count;
    #else
        return -1;
    #endif
    }

    /* The next connection; its peer as text, "unix" without one. */
    static int bollard_accept(int fd, char *text, int size, int *port) {
        struct sockaddr_storage name;
        socklen_t length = sizeof name;
    #ifdef __linux__
        int accepted = accept4(fd, (struct sockaddr *)&name, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    #else
        int accepted = accept(fd, (struct sockaddr *)&name, &length);
        if (accepted >= 0) {
            fcntl(accepted, F_SETFL, fcntl(accepted, F_GETFL) | O_NONBLOCK);
            fcntl(accepted, F_SETFD, FD_CLOEXEC);
        }
    #endif
        *port = 0;
        *text = 0;
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

    /* Closing resets. What fails here fails for a peer that is gone. */
    static void bollard_forfeit(int fd) {
        struct linger at_once = {1, 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    """
    int bollard_accept(int fd, char *text, int size, int *port) nogil
    int bollard_ready(int fd, int *pairs, int most, int timeout_ms) nogil
    void bollard_forfeit(int fd) nogil
    Py_ssize_t recv(int fd, void *buffer, size_t size, int flags) nogil
    Py_ssize_t send(int fd, const void *data, size_t size, int flags) nogil
    int shutdown(int fd, int how) nogil
    int close_descriptor "close"(int fd) nogil
    const bint IS_LINUX
    int MSG_MORE
    int MSG_NOSIGNAL
    int SHUT_WR


cdef inline Py_ssize_t receive(int fd, bytearray buffer) noexcept:
    cdef Py_ssize_t size = recv(fd, PyByteArray_AS_STRING(buffer), PyByteArray_GET_SIZE(buffer), 0)
    return size if size >= 0 else -errno


cdef inline Py_ssize_t transmit(int fd, bytes data, Py_ssize_t start, bint more) noexcept:
    cdef int flags = MSG_NOSIGNAL | MSG_MORE if more else MSG_NOSIGNAL
    cdef Py_ssize_t size = send(fd, PyBytes_AS_STRING(data) + start, PyBytes_GET_SIZE(data) - start, flags)
    return size if size >= 0 else -errno


cdef inline void end_output(int fd) noexcept:
    shutdown(fd, SHUT_WR)


cdef inline void forfeit(int fd) noexcept:
    bollard_forfeit(fd)


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


cdef inline Py_ssize_t ready(object selector, int fd, bytearray pairs, double timeout_s) except -2:
    cdef int *place = <int *>PyByteArray_AS_STRING(pairs)
    cdef Py_ssize_t most = PyByteArray_GET_SIZE(pairs) // (2 * sizeof(int))
    cdef Py_ssize_t count = 0
    cdef int timeout_ms
    if IS_LINUX:
        if timeout_s == 0.0:
            return bollard_ready(fd, place, most, 0)
        # Compiled code never comes by where the interpreter would look for signals.
        PyErr_CheckSignals()
        timeout_ms = -1 if timeout_s < 0.0 else <int>ceil(timeout_s * 1000.0)
        with nogil:
            count = bollard_ready(fd, place, most, timeout_ms)
        if count < 0 and errno == EINTR:
            PyErr_CheckSignals()
        return count
    for name, events in selector.poll(timeout_s, most):
        place[2 * count] = name
        place[2 * count + 1] = events
        count += 1
    return count


cdef inline int descriptor(bytearray pairs, Py_ssize_t number) noexcept:
    return (<int *>PyByteArray_AS_STRING(pairs))[2 * number]


cdef inline int events(bytearray pairs, Py_ssize_t number) noexcept:
    return (<int *>PyByteArray_AS_STRING(pairs))[2 * number + 1]
