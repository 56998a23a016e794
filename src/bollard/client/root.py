"""Asking a server for the root that its pins name (`identity.show_root`), the client's side.

Whoever answers is not verified here, so nothing that this connection says may be secret or name anybody. What
comes back is worth nothing until the caller has compared its hash with a pin.
"""

from bollard.client.errors import AuthenticationFailed
from bollard.identity import show_root

#: A root with its name and extensions has less than 1 KB.
MAX_ROOT_BYTES = 8192


class AskRoot:
    """`Authentication` that only listens: it takes the root and ends the connection."""

    method = show_root.METHOD

    def __init__(self) -> None:
        self.root = b""

    def start(self, server_certificate: bytes | None) -> bytes:
        return b""

    def step(self, data: bytes) -> bytes:
        if len(data) <= MAX_ROOT_BYTES:
            self.root = data
        raise AuthenticationFailed("the root is all that was wanted")

    def finish(self, data: bytes) -> None:
        raise AuthenticationFailed("the server did not show its root")
