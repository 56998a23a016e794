cimport cython

from bollard.engine.core cimport Core
from bollard.session.connection cimport Connection


cpdef object ration_of(Core core, str principal)
cpdef void renew_ration(Core core, Connection connection) except *
