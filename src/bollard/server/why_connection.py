"""One answer to "why does this device not get in": from registry, history and the clock, outermost first.

Pure: what is known comes in, one verdict goes out.
"""

from datetime import UTC, datetime

import msgspec

from bollard.identity.records import Approval, CertificateState, Identity, State
from bollard.server.failures import Examination, Failure, History

#: Failures that are told at most, and those of others that might be its own.
TOLD = 5

#: What failures say where a client does not believe that we are the server it knows.
DISTRUST = (
    "does not trust our server certificate",
    "rejects our server certificate",
    "could not verify our signature",
)


class ConnectionWhy(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. `layer` is "" when nothing is wrong; `remedy` what to do about `text`. `gets_in`: what is
    wrong was denied to it on a connection that it had, so nothing is wrong with the connection.

    `failures` are recent ones of this identity, `unnamed` those before anybody could be named that may be
    its own; newest first. `examination` is our own look at the listeners, whose refusals are in neither.
    `connected` is None if no broker runs.
    """

    id: str
    layer: str
    text: str
    remedy: str
    gets_in: bool = False
    state: str = ""
    connected: int | None = None
    connected_at: float = 0.0
    connected_from: str = ""
    since: float = 0.0
    failures: tuple[Failure, ...] = ()
    unnamed: tuple[Failure, ...] = ()
    examination: Examination | None = None


def judge(
    name: str,
    identity: Identity | None,
    history: History | None,
    connected: int | None,
    *,
    root_replaced_at: float = 0.0,
    now: float,
) -> ConnectionWhy:
    """The verdict about `name`. `identity` None: not enrolled; `history` None: no broker runs.

    `root_replaced_at` is when the server root was replaced before it was known to have the new one; else 0.
    """
    layer, text, remedy = _verdict(name, identity, history, connected, root_replaced_at, now)
    past = history or History(since=0.0)
    if identity is not None and identity.state is State.ACTIVE and "string" not in text:
        string = _open_string(identity, now)
        text += f"; {string[1]}" if string is not None else ""
    return ConnectionWhy(
        id=name,
        layer=layer,
        text=text,
        remedy=remedy,
        gets_in=not layer or (layer == "policy" and bool(past.failures) and is_denial(past.failures[0])),
        state=identity.state.value if identity is not None else "",
        connected=connected,
        connected_at=past.connected_at,
        connected_from=past.connected_from,
        since=past.since,
        failures=past.failures[:TOLD],
        unnamed=(past.nearby or past.unnamed)[:TOLD],
        examination=past.examination,
    )


def _verdict(
    name: str,
    identity: Identity | None,
    history: History | None,
    connected: int | None,
    root_replaced_at: float,
    now: float,
) -> tuple[str, str, str]:
    if identity is None:
        return "identity", f"nobody is enrolled as {name!r}", f"bollard enroll {name}"
    standing = _standing(identity, now)
    if standing is not None:
        return standing
    if history is None:
        return "tcp", "no broker runs, so nothing can connect", "Start it: bollard up"
    latest = history.failures[0] if history.failures else None
    if connected:
        if latest is not None and latest.layer in ("policy", "limit") and latest.at >= history.connected_at:
            return latest.layer, f"it is connected, but: {latest.text}", latest.remedy
        return "", f"it is connected, {_place(history)}", ""
    last = max(history.connected_at, latest.at if latest is not None else 0.0, identity.changed_at)
    if root_replaced_at > last:
        return _without_root(name, history, root_replaced_at)
    near = history.nearby[0] if history.nearby and history.nearby[0].at >= history.connected_at else None
    if near is not None and latest is not None and is_denial(latest) and near.at >= latest.at:
        latest = None  # it had a connection then; it has none now
    if latest is not None and latest.at >= history.connected_at:
        if is_denial(latest):
            return latest.layer, f"it got in, but: {latest.text}, {_when(latest.at)}", latest.remedy
        place = f" from {latest.address}" if latest.address else ""
        return latest.layer, f"{latest.text}, {_when(latest.at)}{place}", latest.remedy
    if near is not None:
        text = f"{near.text}, {_when(near.at)} from its last address {near.address}"
        return near.layer, text, near.remedy.replace("rotate ID", f"rotate {name}")
    if history.connected_at:
        return "", f"it was connected, {_place(history)}, and has gone by itself", ""
    return _silence(history)


def is_denial(failure: Failure) -> bool:
    """Whether `failure` was denied by policy to one that was connected: nobody came from an address then."""
    return failure.layer == "policy" and not failure.address


def _standing(identity: Identity, now: float) -> tuple[str, str, str] | None:
    """What the registry says against it, whatever happened before."""
    match identity.state:
        case State.SUSPENDED:
            return "identity", "it is suspended", f"bollard devices resume {identity.id}"
        case State.REVOKED:
            return "identity", "it is revoked, for good", "Enroll the device under another name."
        case State.PENDING:
            return _open_string(identity, now) or (
                "identity",
                "its enrollment was never finished",
                f"A new string: bollard devices rotate {identity.id} --token; or a password: bollard enroll {identity.id}",
            )
        case State.ACTIVE:
            pass
    ends = [c.not_after for c in identity.certificates if c.state is CertificateState.ACTIVE]
    if identity.has_password or identity.psk_salt or any(end > now for end in ends):
        return None
    if ends:
        text = f"its certificate expired on {datetime.fromtimestamp(max(ends), UTC):%Y-%m-%d %H:%M} UTC"
        return "certificate", text, f"bollard devices rotate {identity.id} --certificate"
    return _open_string(identity, now) or (
        "credential",
        "it has no credential that counts",
        f"bollard devices rotate {identity.id}",
    )


def _open_string(identity: Identity, now: float) -> tuple[str, str, str] | None:
    """What is told while an enrollment string of it may still be spent; None if there is none."""
    token = identity.token
    if token is None or token.spent_at or token.expires_at <= now:
        return None
    until = f"its string is open until {datetime.fromtimestamp(token.expires_at, UTC):%Y-%m-%d %H:%M} UTC"
    if token.approval is Approval.REQUIRED and token.key:
        text = f"it asks to enroll and waits for approval; {until}"
        return "identity", text, f"Compare its key, then: bollard devices approve {identity.id}"
    return (
        "identity",
        f"it has not joined with its enrollment string yet; {until}",
        f"On the device: bollard join STRING. A new string, if that one is lost: bollard devices rotate {identity.id} --token",
    )


def _without_root(name: str, history: History, replaced_at: float) -> tuple[str, str, str]:
    """It could only refuse us: the root that it verifies us by is no longer in force."""
    text = (
        f"the server root was replaced on {_when(replaced_at)}, and it is not known to have the new one: "
        "with the old one it refuses this broker"
    )
    for near in history.nearby or history.unnamed:
        if near.at >= replaced_at and any(text in near.text for text in DISTRUST):
            text += f" ({near.text}, {_when(near.at)} from {near.address})"
            break
    return (
        "tls",
        text,
        (
            "Put the present server-root.crt on it (`bollard authority` says where it is), or give it a new string or "
            f"recipe: bollard devices rotate {name}"
        ),
    )


def _silence(history: History) -> tuple[str, str, str]:
    text = f"nothing of it has reached the broker since {_when(history.since)}"
    if history.unnamed:
        hint = "If one of the addresses below is its own, that is the cause."
    else:
        hint = "Check its host, port and network: bollard status shows where the broker listens."
    return "tcp", text, hint


def _place(history: History) -> str:
    return f"since {_when(history.connected_at)} from {history.connected_from}"


def _when(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
