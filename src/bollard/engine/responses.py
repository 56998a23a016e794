"""Response Topics: whether the answer that a message asks for goes where its sender may read.

Attack: a client asks a privileged service for something and names a topic that only the service may write,
so that the service does what the client may not. [MQTT5-4.10]
"""

from typing import TYPE_CHECKING

from bollard.base.events import AccessDenied
from bollard.base.types import Action
from bollard.session.connection import Connection

if TYPE_CHECKING:
    from bollard.engine.core import Core

_RESPONSE_TOPIC = 0x08
_USER_PROPERTY = 0x26


def response_topic(forward: bytes) -> str:
    """The Response Topic in properties as they are passed on (`Publish.forward`), known to be well formed;
    "" if there is none."""
    if _RESPONSE_TOPIC not in forward:
        return ""
    at = 0
    while at < len(forward):
        identifier = forward[at]
        at += 1
        if identifier == 0x01:
            at += 1
            continue
        end = at + 2 + int.from_bytes(forward[at : at + 2], "big")
        if identifier == _RESPONSE_TOPIC:
            return forward[at + 2 : end].decode()
        if identifier == _USER_PROPERTY:
            end += 2 + int.from_bytes(forward[end : end + 2], "big")
        at = end
    return ""


def foreign_response(core: "Core", principal: str, forward: bytes) -> str:
    """The Response Topic in `forward` that `principal` may not receive itself; "" if all is well."""
    if core.foreign_responses or not forward:
        return ""
    topic = response_topic(forward)
    return topic if topic and not core.may(principal, Action.RECEIVE, topic) else ""


def refuse_response(core: "Core", connection: Connection, name: str, foreign: str) -> None:
    """Count and report that a message on `name` was refused for its Response Topic `foreign`. What is missing
    is the right to receive there, so that is what the event says."""
    core.counters.denied_publish += 1
    core.tallies.refuse(connection.principal, Action.PUBLISH)
    if core.worth_telling(connection):
        reason = f"a message on {name} is refused that asks for an answer there"
        core.events.append(
            AccessDenied(connection.principal, connection.client_id, "receive", foreign, "", reason)
        )
