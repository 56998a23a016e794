"""Files that change while the broker looks at them."""

import os
import time
from pathlib import Path

from bollard.base.types import Action
from bollard.identity.files import make_private_directory
from bollard.server.access import SETTLE_S, Access

WHOLE = 'version = 1\n[template.device]\npublish = ["#"]\n[deny.locks]\nwho = "*"\npublish = ["locks/#"]\n'


def may_open(access: Access) -> bool:
    return access.policy().decide("plug", Action.PUBLISH, "locks/front").allowed


def test_half_of_a_policy_that_is_just_being_written_opens_nothing(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(WHOLE)
    os.utime(path, (1, 1))
    access = Access(path, lambda: {"plug": "device"})
    assert not may_open(access)
    # An editor has truncated the file and written its first block: a whole policy, without the denial.
    path.write_text(WHOLE.partition("[deny")[0])
    assert not access.changed()
    then = time.time() - SETTLE_S - 0.1
    os.utime(path, (then, then))
    assert access.changed()


def test_a_policy_from_the_future_is_taken_over_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(WHOLE)
    access = Access(path, dict)
    path.write_text(WHOLE + "\n")
    os.utime(path, (time.time() + 86_400, time.time() + 86_400))
    assert access.changed()


def test_no_directory_on_the_way_to_a_private_one_is_open_to_others(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_private_directory(tmp_path / "devices" / "plug" / "keys")
    finally:
        os.umask(before)
    for made in ("devices", "devices/plug", "devices/plug/keys"):
        assert (tmp_path / made).stat().st_mode & 0o777 == 0o700
