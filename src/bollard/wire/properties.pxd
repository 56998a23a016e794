cimport cython

from bollard.wire.reader cimport Reader


cdef class Properties:
    cdef public object payload_format_indicator
    cdef public object message_expiry_interval
    cdef public object content_type
    cdef public object response_topic
    cdef public object correlation_data
    cdef public object subscription_identifiers
    cdef public object session_expiry_interval
    cdef public object assigned_client_identifier
    cdef public object server_keep_alive
    cdef public object authentication_method
    cdef public object authentication_data
    cdef public object request_problem_information
    cdef public object will_delay_interval
    cdef public object request_response_information
    cdef public object response_information
    cdef public object server_reference
    cdef public object reason_string
    cdef public object receive_maximum
    cdef public object topic_alias_maximum
    cdef public object topic_alias
    cdef public object maximum_qos
    cdef public object retain_available
    cdef public object user_properties
    cdef public object maximum_packet_size
    cdef public object wildcard_subscription_available
    cdef public object subscription_identifiers_available
    cdef public object shared_subscription_available


@cython.locals(size="Py_ssize_t", end="Py_ssize_t", identifier="int", seen="unsigned long long", one="unsigned long long", users=list, numbers=list)
cpdef Properties decode_properties(Reader reader, int packet)

cpdef bytes encode_properties(Properties properties, int packet)
