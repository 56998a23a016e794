"""Which services of this floor a configuration asks for. Loads only those."""

from bollard.server.compose import Service
from bollard.server.config import Config


def services_of(config: Config) -> tuple[Service, ...]:
    """To be given to `compose.run`."""
    if config.est.bind is None:
        return ()
    from bollard.web.est import est_service

    return (est_service,)
