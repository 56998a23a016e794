"""Which kind of `Channel` serves a connection.

The one straight on OpenSSL where it was built and finds everything as it expects it; else, and for contexts whose
callbacks need the objects that Python makes for a connection, the one through `ssl.SSLObject`.
"""

import ssl

from bollard.net.channel import Channel, SslObjectChannel
from bollard.net.psk import PskContext

try:
    from bollard.net import openssl

    #: Why TLS goes through `ssl.SSLObject`; "" if it does not.
    INDIRECT = ""
except ImportError as error:
    INDIRECT = "it was not built" if error.name == "bollard.net" else error.msg


def open_channel(context: ssl.SSLContext) -> Channel:
    """The server's end of a new connection under `context`."""
    if INDIRECT or isinstance(context, PskContext) or not openssl.suits(context):
        return SslObjectChannel(context)
    return openssl.OpensslChannel(context)
