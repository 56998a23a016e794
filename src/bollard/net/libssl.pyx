"""The functions of the OpenSSL that Python's own `ssl` has loaded.

Nothing is linked: they are looked up in the library that `_ssl` depends on, because an `SSL_CTX` means something only
to the library that has made it. The import fails with ImportError, and says why, if that library is not known to be
as it is used here.
"""

import _ssl
import ssl

cdef extern from "dlfcn.h" nogil:
    void* dlopen(const char* name, int mode)
    void* dlsym(void* library, const char* name)
    int RTLD_LAZY, RTLD_NOLOAD

cdef void* _library = NULL


cdef void* _symbol(const char* name) except NULL:
    cdef void* found = dlsym(_library, name)
    if found == NULL:
        raise ImportError(f"OpenSSL has no {name.decode()}")
    return found


cdef int _look_up() except -1:
    """Find every function in the library that `_ssl` depends on."""
    global _library
    global BIO_clear_flags, BIO_set_flags, BIO_set_init, BIO_get_data, BIO_new, BIO_set_data
    global BIO_get_new_index, BIO_meth_new, BIO_meth_set_read_ex, BIO_meth_set_write_ex, BIO_meth_set_ctrl, i2d_X509
    global ERR_clear_error, ERR_peek_error, ERR_peek_last_error, ERR_reason_error_string
    global X509_verify_cert_error_string, OpenSSL_version_num, OpenSSL_version
    global SSL_ctrl, SSL_CTX_ctrl, SSL_CTX_get_options, SSL_CTX_get_verify_mode, SSL_do_handshake, SSL_shutdown
    global SSL_version, SSL_free, SSL_set_accept_state, SSL_get_error, SSL_get_verify_result
    global SSL_set_session_id_context, SSL_has_pending, SSL_read_ex, SSL_write_ex, SSL_set_bio, SSL_new, SSL_get0_peer_certificate
    place = getattr(_ssl, "__file__", None)
    if place is None:
        raise ImportError("this Python has `ssl` built in")
    name = place.encode()
    _library = dlopen(name, RTLD_LAZY | RTLD_NOLOAD)
    if _library == NULL:
        raise ImportError("the module _ssl cannot be looked into")
    OpenSSL_version = <TextOfInt>_symbol("OpenSSL_version")
    OpenSSL_version_num = <Unsigned>_symbol("OpenSSL_version_num")
    BIO_clear_flags = <OfPointerInt>_symbol("BIO_clear_flags")
    BIO_set_flags = <OfPointerInt>_symbol("BIO_set_flags")
    BIO_set_init = <OfPointerInt>_symbol("BIO_set_init")
    BIO_set_data = <OfTwoPointers>_symbol("BIO_set_data")
    BIO_get_data = <PointerOfPointer>_symbol("BIO_get_data")
    BIO_new = <PointerOfPointer>_symbol("BIO_new")
    BIO_get_new_index = <IntOfNothing>_symbol("BIO_get_new_index")
    BIO_meth_new = <NewMethod>_symbol("BIO_meth_new")
    BIO_meth_set_read_ex = <IntOfTwoPointers>_symbol("BIO_meth_set_read_ex")
    BIO_meth_set_write_ex = <IntOfTwoPointers>_symbol("BIO_meth_set_write_ex")
    BIO_meth_set_ctrl = <IntOfTwoPointers>_symbol("BIO_meth_set_ctrl")
    ERR_clear_error = <OfNothing>_symbol("ERR_clear_error")
    ERR_peek_error = <Unsigned>_symbol("ERR_peek_error")
    ERR_peek_last_error = <Unsigned>_symbol("ERR_peek_last_error")
    ERR_reason_error_string = <TextOfLong>_symbol("ERR_reason_error_string")
    X509_verify_cert_error_string = <TextOfLong>_symbol("X509_verify_cert_error_string")
    i2d_X509 = <IntOfTwoPointers>_symbol("i2d_X509")
    SSL_CTX_ctrl = <Control>_symbol("SSL_CTX_ctrl")
    SSL_CTX_get_options = <WideOfPointer>_symbol("SSL_CTX_get_options")
    SSL_CTX_get_verify_mode = <IntOfPointer>_symbol("SSL_CTX_get_verify_mode")
    SSL_ctrl = <Control>_symbol("SSL_ctrl")
    SSL_do_handshake = <IntOfPointer>_symbol("SSL_do_handshake")
    SSL_free = <OfPointer>_symbol("SSL_free")
    SSL_get0_peer_certificate = <PointerOfPointer>_symbol("SSL_get0_peer_certificate")
    SSL_get_error = <IntOfPointerInt>_symbol("SSL_get_error")
    SSL_get_verify_result = <LongOfPointer>_symbol("SSL_get_verify_result")
    SSL_has_pending = <IntOfPointer>_symbol("SSL_has_pending")
    SSL_new = <PointerOfPointer>_symbol("SSL_new")
    SSL_read_ex = <Transfer>_symbol("SSL_read_ex")
    SSL_set_accept_state = <OfPointer>_symbol("SSL_set_accept_state")
    SSL_set_bio = <OfThreePointers>_symbol("SSL_set_bio")
    SSL_set_session_id_context = <SetContext>_symbol("SSL_set_session_id_context")
    SSL_shutdown = <IntOfPointer>_symbol("SSL_shutdown")
    SSL_version = <IntOfPointer>_symbol("SSL_version")
    SSL_write_ex = <Transfer>_symbol("SSL_write_ex")
    return 0


def _check() -> None:
    _look_up()
    if OpenSSL_version(0).decode("ascii", "replace") != ssl.OPENSSL_VERSION:
        raise ImportError("the library found is not the one that Python uses")
    if OpenSSL_version_num() < 0x30000000:
        raise ImportError("OpenSSL is older than 3.0")


_check()
