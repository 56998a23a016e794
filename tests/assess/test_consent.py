"""Signed scopes: what an owner has signed counts, and nothing else."""

import json
import shutil
import stat
import subprocess
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from bollard.assess.consent import create_key, public_of, sign, signature_of, verify
from bollard.assess.scope import Consent, Place, Scope, authorize
from bollard.base.errors import ConfigError, LocalError
from bollard.cli.main import command

TODAY = date(2026, 11, 1)
TEXT = (
    'version = 1\nauthorized_by = "Owner"\nvalid_until = 2999-12-31\ntargets = ["127.0.0.1:18830"]\n'
    "active = true\nintrusive = true\n"
)
HERE = Place(host="127.0.0.1", address="127.0.0.1", port=18830)


@pytest.fixture
def scope_file(tmp_path: Path) -> Path:
    path = tmp_path / "scope.toml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "owner.key"
    create_key(path)
    return path


def test_a_key_is_for_its_owner_alone_and_never_overwritten(key_file: Path) -> None:
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    with pytest.raises(LocalError, match="exists already"):
        create_key(key_file)


def test_what_the_owner_signed_is_verified_and_read(scope_file: Path, key_file: Path) -> None:
    _, signed = sign(scope_file, key_file, TODAY)
    scope, fingerprint = verify(scope_file, public_of(key_file))
    assert scope.intrusive
    assert fingerprint == signed


def test_a_changed_file_is_not_what_was_signed(scope_file: Path, key_file: Path) -> None:
    sign(scope_file, key_file, TODAY)
    scope_file.write_text(TEXT.replace("127.0.0.1:18830", "0.0.0.0/0"))
    with pytest.raises(ConfigError, match="changed after it was signed"):
        verify(scope_file, public_of(key_file))


def test_the_signature_of_another_key_does_not_count(
    scope_file: Path, key_file: Path, tmp_path: Path
) -> None:
    create_key(tmp_path / "other.key")
    sign(scope_file, tmp_path / "other.key", TODAY)
    with pytest.raises(ConfigError, match="not of this key"):
        verify(scope_file, public_of(key_file))


@pytest.mark.parametrize("garbage", [b"", b"x" * 64, b"x" * 63])
def test_garbage_is_no_signature(scope_file: Path, key_file: Path, garbage: bytes) -> None:
    signature_of(scope_file).write_bytes(garbage)
    with pytest.raises(ConfigError):
        verify(scope_file, public_of(key_file))


def test_without_a_signature_there_is_nothing_to_verify(scope_file: Path, key_file: Path) -> None:
    with pytest.raises(LocalError, match="cannot read"):
        verify(scope_file, public_of(key_file))


def test_a_file_that_is_no_scope_is_not_signed(scope_file: Path, key_file: Path) -> None:
    scope_file.write_text("anything = 1\n")
    with pytest.raises(ConfigError):
        sign(scope_file, key_file, TODAY)
    assert not signature_of(scope_file).exists()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_an_owner_can_sign_with_openssl_alone(scope_file: Path, tmp_path: Path) -> None:
    key, public = tmp_path / "owner.pem", tmp_path / "owner.pub"
    for arguments in (
        ("genpkey", "-algorithm", "ed25519", "-out", key),
        ("pkey", "-in", key, "-pubout", "-out", public),
        ("pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", scope_file, "-out", signature_of(scope_file)),
    ):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
    assert verify(scope_file, public)[0].authorized_by == "Owner"


def consent(**changes: object) -> Consent:
    scope = Scope(
        version=1,
        authorized_by="Owner",
        valid_until=date(2027, 1, 1),
        targets=("127.0.0.1:18830",),
        active=True,
        intrusive=True,
    )
    return Consent(**{"active": True, "intrusive": True, "scope": scope, "signed_by": "00", **changes})


def test_a_signed_scope_allows_what_is_intrusive() -> None:
    authorize([HERE], consent(), TODAY)


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"signed_by": ""}, "signed"), ({"scope": None}, "signed")],
)
def test_without_a_signature_nothing_intrusive_is_done_even_on_this_machine(
    changes: dict[str, object], word: str
) -> None:
    with pytest.raises(LocalError, match=word):
        authorize([HERE], consent(**changes), TODAY)


def test_a_signed_scope_covers_only_what_it_names() -> None:
    other = Place(host="127.0.0.1", address="127.0.0.1", port=18831)
    with pytest.raises(LocalError, match="not in the scope file"):
        authorize([HERE, other], consent(), TODAY)


def test_the_command_makes_signs_and_verifies(scope_file: Path, tmp_path: Path) -> None:
    run, key = CliRunner(), tmp_path / "boss.key"
    made = json.loads(run.invoke(command, ["scope", "key", str(key), "--json"]).stdout)
    signed = json.loads(
        run.invoke(command, ["scope", "sign", str(scope_file), "--key", str(key), "--json"]).stdout
    )
    asked = ["scope", "verify", str(scope_file), "--owner-key", made["public_key_file"]]
    told = json.loads(run.invoke(command, [*asked, "--json"]).stdout)
    assert made["fingerprint"] == signed["fingerprint"] == told["fingerprint"]
    assert told["allows"] == ["active", "intrusive"]
    assert "Owner allows until 2999-12-31" in run.invoke(command, asked).stdout


def test_a_scan_strains_nothing_without_a_signature(scope_file: Path, key_file: Path) -> None:
    run = CliRunner()
    asked = ["scan", "127.0.0.1:18830", "--intrusive", "--only", "SCN-38", "--scope", str(scope_file)]
    refused = run.invoke(command, asked)
    assert isinstance(refused.exception, LocalError)
    assert "signed" in str(refused.exception)
    sign(scope_file, key_file, TODAY)
    changed = scope_file.read_text() + "public = true\n"
    scope_file.write_text(changed)
    forged = run.invoke(command, [*asked, "--owner-key", str(public_of(key_file))])
    assert isinstance(forged.exception, ConfigError)


def test_a_report_says_whose_signature_allowed_it(scope_file: Path, key_file: Path) -> None:
    _, shown = sign(scope_file, key_file, TODAY)
    asked = ["scan", "127.0.0.1:18830", "--intrusive", "--only", "SCN-38", "--scope", str(scope_file)]
    done = CliRunner().invoke(command, [*asked, "--owner-key", str(public_of(key_file)), "--json"])
    told = json.loads(done.stdout)
    assert told["authorization"]["signed_by"] == shown
    assert told["settings"]["intrusive"] is True


def dated(path: Path, **days: str) -> Path:
    lines = [f"{name} = {day}\n" for name, day in days.items()]
    text = 'version = 1\nauthorized_by = "Owner"\ntargets = ["127.0.0.1"]\n'
    path.write_text(text + "".join(lines))
    return path


def test_an_expired_permission_is_not_signed_for_it_could_never_count(tmp_path: Path, key_file: Path) -> None:
    path = dated(tmp_path / "old.toml", valid_until="2026-10-31")
    with pytest.raises(ConfigError, match="expired on 2026-10-31; it was not signed"):
        sign(path, key_file, TODAY)
    assert not signature_of(path).exists()
    sign(dated(path, valid_until="2026-11-01"), key_file, TODAY)


def test_a_permission_for_later_is_signed_with_a_word_and_verified_only_then(
    tmp_path: Path, key_file: Path
) -> None:
    path = dated(tmp_path / "later.toml", valid_from="2998-01-01", valid_until="2999-01-01")
    asked = ["--key", str(key_file), "--json"]
    done = CliRunner().invoke(command, ["scope", "sign", str(path), *asked])
    assert done.exit_code == 0
    assert "allows nothing before 2998-01-01" in done.stderr
    asked = ["scope", "verify", str(path), "--owner-key", str(public_of(key_file))]
    refused = CliRunner().invoke(command, asked)
    assert isinstance(refused.exception, LocalError)
    assert "not valid before 2998-01-01" in str(refused.exception)
    with pytest.raises(LocalError, match="not valid before"):
        authorize([HERE], Consent(scope=verify(path, public_of(key_file))[0]), TODAY)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_what_has_expired_is_not_verified(tmp_path: Path, key_file: Path, options: tuple[str, ...]) -> None:
    path = dated(tmp_path / "old.toml", valid_until="2026-10-31")
    sign(path, key_file, date(2026, 10, 1))
    asked = ["scope", "verify", str(path), "--owner-key", str(public_of(key_file)), *options]
    done = CliRunner().invoke(command, asked)
    assert isinstance(done.exception, LocalError)
    assert done.exception.exit_code == 2
    assert "expired on 2026-10-31" in str(done.exception)
    assert done.stdout == ""


def test_days_in_the_wrong_order_are_no_scope(tmp_path: Path, key_file: Path) -> None:
    path = dated(tmp_path / "odd.toml", valid_from="2999-01-02", valid_until="2999-01-01")
    with pytest.raises(ConfigError, match="valid_until is before valid_from"):
        sign(path, key_file, TODAY)


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"x = " + b"[" * 5_000, b"x = " + b"9" * 5_000])
def test_what_is_no_text_is_said_with_the_file(tmp_path: Path, key_file: Path, data: bytes) -> None:
    path = tmp_path / "picture.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        sign(path, key_file, TODAY)
    assert str(path) in str(caught.value)
    assert "this is no scope file" in str(caught.value)
    assert "codec" not in str(caught.value)
