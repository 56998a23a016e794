"""Both versions, for what is the same in both."""

import pytest


@pytest.fixture(params=[4, 5], ids=["3.1.1", "5"])
def version(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number
