"""Fixtures: a broker for a conversation, in memory and as a daemon, built as the test wants it."""

from collections.abc import Callable, Iterator

import pytest
from bollard.engine.limits import Limits
from bollard.engine.ports import Authenticator, Authorizer

from .conversation import Broker
from .daemon import DaemonBroker
from .doors import Doorman, Rules
from .memory import MemoryBroker

Build = Callable[..., Broker]


@pytest.fixture(params=["memory", "daemon"])
def build(request: pytest.FixtureRequest) -> Iterator[Build]:
    """Builds the broker: limits, authorizer and authenticator may be given, each is permissive by itself."""
    made: list[DaemonBroker] = []

    def make(
        limits: Limits | None = None,
        authorizer: Authorizer | None = None,
        authenticator: Authenticator | None = None,
    ) -> Broker:
        parts = (limits or Limits(), authorizer or Rules(), authenticator or Doorman())
        if request.param == "memory":
            return MemoryBroker(*parts)
        made.append(DaemonBroker(*parts))
        return made[-1]

    yield make
    for broker in made:
        broker.stop()


@pytest.fixture
def broker(build: Build) -> Broker:
    """A broker that lets everyone do everything."""
    return build()


@pytest.fixture
def timed() -> MemoryBroker:
    """The engine in memory only: for scripts in which time has to pass."""
    return MemoryBroker(Limits(), Rules(), Doorman())


@pytest.fixture(params=[4, 5], ids=["v311", "v5"])
def version(request: pytest.FixtureRequest) -> int:
    """Both versions, for what is the same in both."""
    number: int = request.param
    return number
