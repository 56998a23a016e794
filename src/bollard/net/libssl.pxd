"""What is used of OpenSSL: its constants, the types of its functions, and where they are once they were found."""

# From OpenSSL's headers, where they are macros; part of its binary interface since 1.1.0.
cdef enum:
    BIO_TYPE_SOURCE_SINK = 0x0400
    BIO_FLAGS_READ = 0x01
    BIO_FLAGS_RWS = 0x07
    BIO_FLAGS_SHOULD_RETRY = 0x08
    BIO_CTRL_PENDING = 10
    BIO_CTRL_FLUSH = 11
    SSL_CTRL_MODE = 33
    SSL_CTRL_SET_SESS_CACHE_MODE = 44
    SSL_CTRL_CLEAR_MODE = 78
    SSL_MODE_AUTO_RETRY = 0x04
    SSL_MODE_RELEASE_BUFFERS = 0x10
    SSL_SESS_CACHE_OFF = 0
    SSL_ERROR_WANT_READ = 2
    SSL_ERROR_ZERO_RETURN = 6
    TLS1_3_VERSION = 0x0304
    ERR_LIB_SSL = 20
    SSL_R_CERTIFICATE_VERIFY_FAILED = 134

ctypedef void* (*PointerOfPointer)(const void*) noexcept nogil
ctypedef int (*IntOfPointer)(const void*) noexcept nogil
ctypedef long (*LongOfPointer)(const void*) noexcept nogil
ctypedef int (*IntOfNothing)() noexcept nogil
ctypedef unsigned long (*Unsigned)() noexcept nogil
ctypedef unsigned long long (*WideOfPointer)(const void*) noexcept nogil
ctypedef void (*OfPointer)(void*) noexcept nogil
ctypedef void (*OfNothing)() noexcept nogil
ctypedef void (*OfPointerInt)(void*, int) noexcept nogil
ctypedef void (*OfTwoPointers)(void*, void*) noexcept nogil
ctypedef void (*OfThreePointers)(void*, void*, void*) noexcept nogil
ctypedef int (*IntOfPointerInt)(const void*, int) noexcept nogil
ctypedef int (*SetContext)(void* ssl, const char* name, unsigned int size) noexcept nogil
ctypedef int (*IntOfTwoPointers)(void*, void*) noexcept nogil
ctypedef long (*Control)(void*, int command, long number, void* pointer) noexcept nogil
ctypedef void* (*NewMethod)(int, const char*) noexcept nogil
ctypedef const char* (*TextOfLong)(long) noexcept nogil
ctypedef const char* (*TextOfInt)(int) noexcept nogil
ctypedef int (*Transfer)(void* ssl, void* data, size_t size, size_t* done) noexcept nogil

cdef OfPointerInt BIO_clear_flags, BIO_set_flags, BIO_set_init
cdef PointerOfPointer BIO_get_data, BIO_new, SSL_new, SSL_get0_peer_certificate
cdef NewMethod BIO_meth_new
cdef IntOfNothing BIO_get_new_index
cdef IntOfTwoPointers BIO_meth_set_read_ex, BIO_meth_set_write_ex, BIO_meth_set_ctrl, i2d_X509
cdef OfTwoPointers BIO_set_data
cdef OfNothing ERR_clear_error
cdef Unsigned ERR_peek_error, ERR_peek_last_error
cdef TextOfLong ERR_reason_error_string, X509_verify_cert_error_string
cdef Unsigned OpenSSL_version_num
cdef TextOfInt OpenSSL_version
cdef Control SSL_ctrl, SSL_CTX_ctrl
cdef WideOfPointer SSL_CTX_get_options
cdef IntOfPointer SSL_CTX_get_verify_mode, SSL_do_handshake, SSL_has_pending, SSL_shutdown, SSL_version
cdef OfPointer SSL_free, SSL_set_accept_state
cdef IntOfPointerInt SSL_get_error
cdef LongOfPointer SSL_get_verify_result
cdef Transfer SSL_read_ex, SSL_write_ex
cdef OfThreePointers SSL_set_bio
cdef SetContext SSL_set_session_id_context
