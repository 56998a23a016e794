"""Fixtures for every room: the engine in memory, and both protocol versions."""

import pytest

from support.memory import House


@pytest.fixture
def house() -> House:
    """A broker in memory that lets everyone do everything."""
    return House()


@pytest.fixture(params=[4, 5], ids=["v311", "v5"])
def version(request: pytest.FixtureRequest) -> int:
    """Both versions, for what is the same in both."""
    number: int = request.param
    return number
