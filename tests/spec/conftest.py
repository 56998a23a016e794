"""Fixtures: a broker for a conversation, built as the test wants it: in memory without and with a store behind
it, and as a daemon."""

from collections.abc import Callable, Iterator

import pytest

from bollard.base.authentication import Authenticator
from bollard.engine.limits import Limits
from bollard.engine.ports import Authorizer

from .conversation import Broker
from .daemon import DaemonBroker
from .doors import Doorman, Rules
from .memory import MemoryBroker

Build = Callable[..., Broker]


@pytest.fixture(params=["memory", "durable", "daemon"])
def build(request: pytest.FixtureRequest) -> Iterator[Build]:
    """Builds the broker: limits, authorizer and authenticator may be given, each is permissive by itself."""
    made: list[DaemonBroker] = []

    def make(
        limits: Limits | None = None,
        authorizer: Authorizer | None = None,
        authenticator: Authenticator | None = None,
    ) -> Broker:
        parts = (limits or Limits(), authorizer or Rules(), authenticator or Doorman())
        if request.param != "daemon":
            return MemoryBroker(*parts, durable=request.param == "durable")
        made.append(DaemonBroker(*parts))
        return made[-1]

    yield make
    for broker in made:
        broker.stop()


@pytest.fixture
def broker(build: Build) -> Broker:
    """A broker that lets everyone do everything."""
    return build()


@pytest.fixture(params=["memory", "durable"])
def timed(request: pytest.FixtureRequest) -> MemoryBroker:
    """The engine in memory only: for scripts in which time has to pass."""
    return MemoryBroker(Limits(), Rules(), Doorman(), durable=request.param == "durable")


@pytest.fixture
def durable() -> MemoryBroker:
    """The engine in memory, as it is with a store behind it; the disk answers at once until told otherwise."""
    return MemoryBroker(Limits(), Rules(), Doorman(), durable=True)


@pytest.fixture(params=[4, 5], ids=["v311", "v5"])
def version(request: pytest.FixtureRequest) -> int:
    """Both versions, for what is the same in both."""
    number: int = request.param
    return number


@pytest.fixture
def daemon() -> Iterator[DaemonBroker]:
    """The daemon only: for what the engine in memory has no part in."""
    broker = DaemonBroker(Limits(), Rules(), Doorman())
    yield broker
    broker.stop()


@pytest.fixture
def websocket_daemon() -> Iterator[DaemonBroker]:
    """The daemon with a listener for MQTT over WebSocket."""
    broker = DaemonBroker(Limits(), Rules(), Doorman(), websocket=True)
    yield broker
    broker.stop()
