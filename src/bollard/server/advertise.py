"""Which name, address and port a device is told to connect to, and what the certificates must cover.

Finds out without network traffic. Knows the configuration only.
"""

import socket
from ipaddress import ip_address

from bollard.base.errors import LocalError
from bollard.identity.hosts import HostNames, local_names
from bollard.server.config import Config, ListenerConfig

#: A documentation address: asking the kernel for the route to it sends nothing.
_ELSEWHERE = ("192.0.2.1", 9)


def reachable_at(config: Config, bound_port: int | None = None) -> tuple[str, int]:
    """Host and port for devices. `bound_port` is what the kernel gave where the file says port 0.

    Raises LocalError if no listener takes TCP connections.
    """
    listener = advertised_listener(config)
    if listener is None:
        raise LocalError(
            "no listener that a device could connect to over TCP",
            f'Add one to {config.file}: [[listener]] bind = "0.0.0.0:8883"',
        )
    return host_of(config, listener), bound_port or listener.bind.port


def host_of(config: Config, listener: ListenerConfig) -> str:
    """The name or address under which others reach `listener`, which is on TCP."""
    return config.public_name or _own_address(listener.bind.host)


def advertised_listener(config: Config) -> ListenerConfig | None:
    """The first listener with TLS and without WebSocket; failing that, the first on TCP."""
    tcp = [listener for listener in config.listeners if not listener.unix and not listener.psk]
    best = [listener for listener in tcp if listener.encrypted and not listener.websocket]
    return next(iter(best or tcp), None)


def certificate_names(config: Config) -> HostNames:
    """Every name and address under which a client may reach this server. Raises LocalError."""
    extra = [name for name in (config.public_name, *config.names) if name]
    for listener in config.listeners:
        if not listener.unix and not _is_wildcard(listener.bind.host):
            extra.append(listener.bind.host)
    return local_names().adding(extra)


def _is_wildcard(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _own_address(host: str) -> str:
    """`host`, or for a wildcard the address that others on the network know this machine by."""
    if not _is_wildcard(host):
        return host
    known = {str(address) for address in local_names().addresses}
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(_ELSEWHERE)
            address = str(probe.getsockname()[0])
    except OSError:
        address = ""
    return address if address in known else "localhost"
