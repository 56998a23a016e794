"""Fixtures for every room: the engine in memory, and both protocol versions."""

import pytest
from hypothesis import settings

from support.memory import House

# Hypothesis gives each example 200 ms, which is long only where nothing else runs.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture
def house() -> House:
    """A broker in memory that lets everyone do everything."""
    return House()


@pytest.fixture(params=[4, 5], ids=["v311", "v5"])
def version(request: pytest.FixtureRequest) -> int:
    """Both versions, for what is the same in both."""
    number: int = request.param
    return number
