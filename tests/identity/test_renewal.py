from datetime import UTC, datetime

from cryptography import x509

from bollard.identity import profile
from bollard.identity.profile import DAY_S
from bollard.identity.renewal import JITTER, RENEW_AFTER, renew_at

from .conftest import NOW, Installation

LIFE_S = 90 * DAY_S


def certificate(pristine: Installation) -> x509.Certificate:
    return profile.signed_by(
        pristine.authorities.device_ca,
        profile.DEVICE_LEAF,
        "plug",
        profile.new_ec_key().public_key(),
        now=NOW,
    )


def test_a_device_renews_at_two_thirds_of_its_life_give_or_take_a_tenth(pristine: Installation) -> None:
    parts = [(renew_at(certificate(pristine)) - NOW) / LIFE_S for _ in range(200)]
    assert RENEW_AFTER - JITTER <= min(parts) < RENEW_AFTER - JITTER / 2
    assert RENEW_AFTER + JITTER / 2 < max(parts) <= RENEW_AFTER + JITTER


def test_the_time_to_renew_is_the_same_whenever_it_is_asked_for(pristine: Installation) -> None:
    leaf = certificate(pristine)
    assert renew_at(leaf) == renew_at(leaf)
    assert datetime.fromtimestamp(renew_at(leaf), UTC) < leaf.not_valid_after_utc
