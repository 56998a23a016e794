"""Who asked for the operation at hand, for the audit log. Carried by the context, so that nobody passes it on."""

from contextvars import ContextVar

#: Such as "uid 1000" on the control socket; "" for the broker itself.
ACTOR: ContextVar[str] = ContextVar("actor", default="")
