"""What a policy says beside its decisions reaches the engine through all who stand in between."""

from pathlib import Path

import pytest

from bollard.base.allowance import Allowance, allowance_from, allows_foreign
from bollard.identity.enrollment_rights import EnrollmentRights
from bollard.identity.records import Snapshot
from bollard.server.access import Access

LIMITED = 'version = 1\n[template.device]\npublish = ["a"]\nmax_payload = 9\n'
OPTION = "[options]\nallow_foreign_response_topics = true\n"


def access_to(folder: Path, text: str) -> Access:
    (folder / "policy.toml").write_text(text)
    return Access(folder / "policy.toml", lambda: {"plug": "device"})


@pytest.mark.parametrize(("text", "allowed"), [(LIMITED, False), (LIMITED + OPTION, True)])
def test_limits_and_options_pass_the_registry_and_enrollment(
    tmp_path: Path, text: str, allowed: bool
) -> None:
    access = access_to(tmp_path, text)
    rights = EnrollmentRights(access.authorizer(Snapshot()), Snapshot())
    assert allowance_from(rights, "plug") == Allowance(max_payload=9)
    assert allowance_from(rights, "enroll:plug") is None
    assert allows_foreign(rights) is allowed


def test_an_option_that_weakens_is_named(tmp_path: Path) -> None:
    assert access_to(tmp_path, LIMITED).weaknesses() == ()
    (sentence,) = access_to(tmp_path, LIMITED + OPTION).weaknesses()
    assert "where their sender may not read" in sentence


def test_the_policy_in_force_is_the_one_that_was_handed_out_last(tmp_path: Path) -> None:
    access = access_to(tmp_path, LIMITED)
    handed_out = access.policy()
    assert access.current() is handed_out
    assert access.current() is not access.policy()
