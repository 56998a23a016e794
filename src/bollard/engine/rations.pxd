cimport cython

from bollard.engine.core cimport Core
from bollard.session.connection cimport Connection


cpdef object ration_of(Core core, str principal)
cpdef int renew_ration(Core core, Connection connection) except -1
cpdef int qos_for(Core core, str principal) except -1
