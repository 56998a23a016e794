import ssl

from bollard.net.channel import Channel

class OpensslChannel(Channel):
    def __init__(self, context: ssl.SSLContext) -> None: ...

def suits(context: ssl.SSLContext) -> bool: ...
