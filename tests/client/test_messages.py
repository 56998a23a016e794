from typing import Any

import pytest

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.client.messages import Settings
from bollard.wire.connect import Will
from bollard.wire.properties import Properties


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 3},
        {"keepalive_s": 65_536},
        {"receive_maximum": 0},
        {"max_packet_bytes": 0},
        {"session_expiry_s": -1},
        {"client_id": "x" * 65_536},
        {"client_id": "\udcff"},
        {"will": Will("a/#", b"")},
        {"will": Will("a", b"", 3)},
        {"will": Will("a", b"x" * 65_536)},
        {"version": 4, "password": Secret(b"p")},
        {"version": 4, "clean_start": False},
        {"version": 4, "session_expiry_s": 5},
        {"version": 4, "user_properties": (("a", "b"),)},
        {"version": 4, "will": Will("a", b"", properties=Properties(will_delay_interval=1))},
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused_before_anything_is_sent(wrong: dict[str, Any]) -> None:
    with pytest.raises(LocalError):
        Settings(**wrong)


def test_the_password_does_not_show() -> None:
    assert "hunter2" not in repr(Settings(username="u", password=Secret(b"hunter2")))
