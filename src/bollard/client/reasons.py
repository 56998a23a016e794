"""Reason codes in words, and what a user can do about each. Text only: nothing here decides an outcome,
except `heals`, which says whether trying again later can help.
"""

from bollard.wire.spec import ReasonCode

#: What a server wrote is cut to this many characters before it becomes part of a message of ours.
MAX_TOLD = 200

_NEVER_HEAL = frozenset(
    {
        ReasonCode.MALFORMED_PACKET,
        ReasonCode.PROTOCOL_ERROR,
        ReasonCode.UNSUPPORTED_PROTOCOL_VERSION,
        ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
        ReasonCode.BAD_USER_NAME_OR_PASSWORD,
        ReasonCode.NOT_AUTHORIZED,
        ReasonCode.BANNED,
        ReasonCode.BAD_AUTHENTICATION_METHOD,
        # Two clients of one name would push each other out for ever.
        ReasonCode.SESSION_TAKEN_OVER,
        ReasonCode.TOPIC_FILTER_INVALID,
        ReasonCode.TOPIC_NAME_INVALID,
        ReasonCode.TOPIC_ALIAS_INVALID,
        ReasonCode.PACKET_TOO_LARGE,
        ReasonCode.PAYLOAD_FORMAT_INVALID,
        ReasonCode.RETAIN_NOT_SUPPORTED,
        ReasonCode.QOS_NOT_SUPPORTED,
        # Followed blindly, these two would let a server send our credentials anywhere.
        ReasonCode.USE_ANOTHER_SERVER,
        ReasonCode.SERVER_MOVED,
        ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
        ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED,
        ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED,
    }
)

_REMEDIES: dict[int, str] = {
    ReasonCode.UNSUPPORTED_PROTOCOL_VERSION: "Try the other protocol version, 3.1.1 or 5.",
    ReasonCode.CLIENT_IDENTIFIER_NOT_VALID: "Choose another client id, or leave it empty so that the server"
    " assigns one.",
    ReasonCode.BAD_USER_NAME_OR_PASSWORD: "Check the user name and the password; on the server,"
    " `bollard devices rotate ID --out FOLDER` gives a new one and writes its settings file anew.",
    ReasonCode.NOT_AUTHORIZED: "Check that the server's policy grants the topic to this identity.",
    ReasonCode.SERVER_UNAVAILABLE: "Try again later; the server's log says why.",
    ReasonCode.SERVER_BUSY: "Try again later.",
    ReasonCode.BANNED: "Ask whoever runs the server to lift the ban.",
    ReasonCode.SERVER_SHUTTING_DOWN: "Try again when the server is back.",
    ReasonCode.BAD_AUTHENTICATION_METHOD: "The server does not offer this authentication method; use a"
    " password or a client certificate.",
    ReasonCode.KEEP_ALIVE_TIMEOUT: "The server heard nothing from us in time; look at the network in between.",
    ReasonCode.SESSION_TAKEN_OVER: "Another client uses the same client id and identity; give each its own.",
    ReasonCode.TOPIC_FILTER_INVALID: "Check the topic filter: # may only be its last level, + a whole level.",
    ReasonCode.TOPIC_NAME_INVALID: "Check the topic: it must not be empty or hold + or #.",
    ReasonCode.PACKET_TOO_LARGE: "Send a smaller message, or raise the server's packet limit.",
    ReasonCode.MESSAGE_RATE_TOO_HIGH: "Send less often.",
    ReasonCode.QUOTA_EXCEEDED: "A limit of the server was reached; its log says which.",
    ReasonCode.ADMINISTRATIVE_ACTION: "The server's operator ended this connection.",
    ReasonCode.RETAIN_NOT_SUPPORTED: "Send without retain, or allow retained messages on the server.",
    ReasonCode.QOS_NOT_SUPPORTED: "Use a lower QoS.",
    ReasonCode.USE_ANOTHER_SERVER: "Connect to the server that it names, if you trust it.",
    ReasonCode.SERVER_MOVED: "Connect to the server that it names, if you trust it.",
    ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED: "Subscribe without $share.",
    ReasonCode.CONNECTION_RATE_EXCEEDED: "Wait before connecting again.",
    ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED: "Subscribe without + and #.",
}
#: Where no topic was asked for, because the connection itself was refused or ended, a code means something else.
_OF_CONNECTIONS: dict[int, str] = {
    ReasonCode.NOT_AUTHORIZED: "Check that this identity is enrolled, and neither suspended nor revoked; that its"
    " credential is the newest; and, if it leaves a will, that policy grants that.",
}


def describe(code: int) -> str:
    """The code in the specification's words, with its number: "not authorized (0x87)"."""
    try:
        name = ReasonCode(code).name.lower().replace("_", " ")
    except ValueError:
        name = "unknown reason"
    return f"{name} (0x{code:02X})"


def remedy(code: int, *, of_connection: bool = False) -> str:
    """What to do about `code`, as a sentence; "" where there is nothing useful to say. `of_connection`: it
    was said to a CONNECT or by a DISCONNECT."""
    told = _REMEDIES.get(code, "")
    return _OF_CONNECTIONS.get(code, told) if of_connection else told


def heals(code: int) -> bool:
    """May connecting again, unchanged, succeed after this code?"""
    return code not in _NEVER_HEAL


def printable(text: str) -> str:
    """`text` with everything that is not printable as a backslash escape.

    Attack: terminal escape sequences and direction marks in what a peer chose.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def told(text: str | None) -> str:
    """What a server said, ready for our message: escaped, cut, quoted; "" when it said nothing."""
    if not text:
        return ""
    shown = printable(text[:MAX_TOLD])
    return f'; the server says "{shown}"'
