from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from bollard.base.errors import LocalError
from bollard.identity import profile
from bollard.identity.profile import DAY_S, Profile, Signer

from .conftest import NOW

ROOT = profile.self_signed(profile.SERVER_ROOT, "root", profile.new_ec_key(), now=NOW)
LEAF_KEY = profile.new_ec_key()


def leaf(**options: object) -> x509.Certificate:
    return profile.signed_by(
        ROOT,
        profile.SERVER_LEAF,
        "plant.local",
        LEAF_KEY.public_key(),
        now=NOW,
        **options,  # type: ignore[arg-type]
    )


def under_root(table_entry: Profile) -> Callable[[], x509.Certificate]:
    return lambda: profile.signed_by(ROOT, table_entry, "x", LEAF_KEY.public_key(), now=NOW)


CASES = [
    pytest.param(lambda: ROOT.certificate, 1, None, id="server root"),
    pytest.param(under_root(profile.SERVER_CA), 0, None, id="server CA"),
    pytest.param(
        lambda: profile.self_signed(profile.DEVICE_CA, "d", profile.new_ec_key(), now=NOW).certificate,
        0,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        id="device CA",
    ),
    pytest.param(
        under_root(profile.DEVICE_LEAF), None, ExtendedKeyUsageOID.CLIENT_AUTH, id="device certificate"
    ),
    pytest.param(
        under_root(profile.SERVER_LEAF), None, ExtendedKeyUsageOID.SERVER_AUTH, id="server certificate"
    ),
]


@pytest.mark.parametrize(("make", "path_length", "usage"), CASES)
def test_a_certificate_says_what_it_may_be_used_for_and_no_more(
    make: Callable[[], x509.Certificate], path_length: int | None, usage: x509.ObjectIdentifier | None
) -> None:
    extensions = make().extensions
    basic = extensions.get_extension_for_class(x509.BasicConstraints)
    assert basic.critical
    assert (basic.value.ca, basic.value.path_length) == (path_length is not None, path_length)
    key_usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert key_usage.critical
    assert key_usage.value.digital_signature is (path_length is None)
    assert key_usage.value.key_cert_sign is key_usage.value.crl_sign is (path_length is not None)
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    assert not any(getattr(key_usage.value, name) for name in others)
    critical = {type(extension.value) for extension in extensions if extension.critical}
    assert critical == {x509.BasicConstraints, x509.KeyUsage}
    usages = [list(e.value) for e in extensions if isinstance(e.value, x509.ExtendedKeyUsage)]
    assert usages == ([[usage]] if usage else [])


@pytest.mark.parametrize(("make", "path_length", "usage"), CASES)
def test_every_certificate_has_both_key_identifiers(
    make: Callable[[], x509.Certificate], path_length: int | None, usage: x509.ObjectIdentifier | None
) -> None:
    certificate = make()
    issuer = certificate if certificate.issuer == certificate.subject else ROOT.certificate
    own = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert own == x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
    issuers = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert authority.key_identifier == issuers.digest


def test_how_long_each_kind_lives() -> None:
    days = {
        name: getattr(profile, name).life_s / 86_400
        for name in ("SERVER_ROOT", "SERVER_CA", "SERVER_LEAF", "DEVICE_CA", "DEVICE_LEAF")
    }
    assert days == {
        "SERVER_ROOT": 7300,
        "SERVER_CA": 1825,
        "SERVER_LEAF": 90,
        "DEVICE_CA": 1825,
        "DEVICE_LEAF": 90,
    }


def test_a_certificate_began_yesterday_for_clocks_that_run_behind() -> None:
    assert leaf().not_valid_before_utc == datetime.fromtimestamp(NOW - DAY_S, UTC)
    assert leaf().not_valid_after_utc == datetime.fromtimestamp(NOW + 90 * DAY_S, UTC)


def test_serials_are_random_positive_and_fit_twenty_bytes() -> None:
    serials = [profile.new_serial() for _ in range(200)]
    assert len(set(serials)) == 200
    assert all(0 < serial < 1 << 159 for serial in serials)
    assert max(serials).bit_length() > 150


def test_a_serial_and_an_end_that_were_recorded_are_kept() -> None:
    certificate = leaf(serial=4711, not_after=NOW + 60)
    assert certificate.serial_number == 4711
    assert certificate.not_valid_after_utc.timestamp() == NOW + 60


def test_a_certificate_never_outlives_its_issuer() -> None:
    brief = Profile(10 * DAY_S, 0, None)
    issuer = profile.self_signed(brief, "brief", profile.new_ec_key(), now=NOW)
    assert profile.end_of_life(issuer, 90 * DAY_S, now=NOW) == NOW + 10 * DAY_S
    assert profile.end_of_life(issuer, DAY_S, now=NOW) == NOW + DAY_S


def test_an_expired_authority_signs_nothing() -> None:
    with pytest.raises(LocalError, match="expired on 2046"):
        profile.end_of_life(ROOT, DAY_S, now=NOW + profile.SERVER_ROOT.life_s)


def test_keys_are_p256_and_rsa_2048() -> None:
    assert isinstance(LEAF_KEY.curve, ec.SECP256R1)
    key = profile.new_rsa_key()
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size == 2048


def test_a_signer_does_not_show_its_key() -> None:
    assert "key" not in repr(Signer(ROOT.certificate, ROOT.key))


def test_a_leaf_stays_small_enough_for_firmware() -> None:
    names = [x509.UniformResourceIdentifier("urn:uuid:" + "0" * 36)]
    certificate = profile.signed_by(
        ROOT, profile.DEVICE_LEAF, "x" * 64, LEAF_KEY.public_key(), now=NOW, alternative_names=names
    )
    assert len(certificate.public_bytes(Encoding.DER)) <= 640
