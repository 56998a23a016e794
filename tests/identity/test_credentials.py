import hashlib
import hmac
import re
from pathlib import Path

import pytest

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity.credentials import Verifier, ensure_pepper, generate_secret


def test_a_generated_secret_has_160_bits_of_plain_text() -> None:
    secrets = {generate_secret().reveal() for _ in range(100)}
    assert len(secrets) == 100
    assert all(re.fullmatch(rb"[A-Z2-7]{32}", secret) for secret in secrets)


def test_a_secret_does_not_show() -> None:
    secret = generate_secret()
    assert secret.reveal().decode() not in f"{secret!r} {secret} {[secret]}"


def test_a_verifier_is_the_keyed_hash_of_the_secret(verifier: Verifier) -> None:
    expected = hmac.new(b"p" * 32, b"hunter2", hashlib.sha256).digest()
    assert verifier.make(Secret(b"hunter2")) == expected


def test_only_the_secret_itself_passes(verifier: Verifier) -> None:
    stored = verifier.make(Secret(b"SECRET"))
    assert verifier.check(Secret(b"SECRET"), stored)
    for wrong in (b"secret", b"SECRE", b"SECRETS", b""):
        assert not verifier.check(Secret(wrong), stored)


def test_another_pepper_makes_other_verifiers(verifier: Verifier) -> None:
    assert not Verifier(Secret(b"q" * 32)).check(Secret(b"SECRET"), verifier.make(Secret(b"SECRET")))


def test_nothing_passes_an_absent_verifier(verifier: Verifier) -> None:
    for presented in (b"", b"SECRET"):
        assert not verifier.check(Secret(presented), b"")


def test_an_unknown_user_costs_the_same_comparison(
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def counted(a: bytes, b: bytes) -> bool:
        lengths.append((len(a), len(b)))
        return compare(a, b)

    monkeypatch.setattr(hmac, "compare_digest", counted)
    verifier.check(Secret(b"x"), b"")
    verifier.check(Secret(b"x"), verifier.make(Secret(b"y")))
    assert lengths == [(32, 32), (32, 32)]


def test_the_pepper_is_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "pepper"
    first = ensure_pepper(path, expected=False).reveal()
    assert len(first) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert ensure_pepper(path, expected=False).reveal() == first
    assert ensure_pepper(path, expected=True).reveal() == first


def test_a_lost_pepper_is_not_replaced_while_passwords_depend_on_it(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="cannot be checked without it"):
        ensure_pepper(tmp_path / "pepper", expected=True)
    assert not (tmp_path / "pepper").exists()


def test_a_cut_pepper_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "pepper"
    ensure_pepper(path, expected=False)
    path.write_bytes(path.read_bytes()[:31])
    with pytest.raises(LocalError, match="31 bytes instead of 32"):
        ensure_pepper(path, expected=False)
