"""Replacing the server roots: with an overlap, whole or not at all, and counted device by device."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from bollard.base.errors import LocalError
from bollard.base.types import Secret
from bollard.identity import rotation
from bollard.identity.authority import (
    Authorities,
    is_issued_by,
    issue_device_certificate,
    load_authorities,
)
from bollard.identity.enroll import MAX_PINS_BYTES, Desk
from bollard.identity.files import write_private
from bollard.identity.recipes.facts import server_facts
from bollard.identity.records import Identity
from bollard.identity.refusals import EnrollmentRefused
from bollard.identity.registry import Registry, Snapshot
from bollard.identity.roots import (
    LEFT_BEHIND_FILE,
    NEXT,
    RECOVERY_FILE,
    ROOT_FILE,
    Holders,
    LeftBehind,
    holders_file,
    left_behind,
    pin_of,
)
from bollard.identity.serving import ensure_server_certificates
from identity.conftest import NOW, Installation


@pytest.fixture
def authorities(state: Path) -> Authorities:
    """Those of a broker whose owner has put the recovery sheet away."""
    (state / "ca" / RECOVERY_FILE).rename(state / "sheet.txt")
    return load_authorities(state)


@pytest.fixture
def begun(authorities: Authorities) -> Authorities:
    rotation.begin_server_root(authorities, now=NOW)
    authorities.reload()
    return authorities


@pytest.fixture
def desk(begun: Authorities, registry: Registry) -> Desk:
    return Desk(registry, begun)


def bundle(authorities: Authorities) -> tuple[x509.Certificate, ...]:
    """What clients read out of the file that they are given."""
    return tuple(x509.load_pem_x509_certificates(authorities.root_file.read_bytes()))


def new_sheet(authorities: Authorities) -> Secret:
    return Secret((authorities.directory / "ca" / NEXT / RECOVERY_FILE).read_bytes())


def holders(authorities: Authorities) -> Path:
    assert authorities.next_roots is not None
    return holders_file(authorities.directory / "ca", authorities.next_roots.certificates[0])


def finish(authorities: Authorities, *left_behind: str) -> None:
    rotation.finish_server_root(authorities, new_sheet(authorities), left_behind, now=NOW)
    authorities.reload()


def standing(authorities: Authorities, registry: Registry, now: float = NOW) -> rotation.RootReadiness:
    found = rotation.root_readiness(authorities, registry.list(), now=now)
    assert found is not None
    return found


# --- the steps ---------------------------------------------------------------------------------------


def test_from_the_first_step_on_devices_are_to_trust_both_and_nothing_else_changes(
    authorities: Authorities,
) -> None:
    before = authorities.pin, authorities.roots, authorities.server_ca.certificate
    sheet = rotation.begin_server_root(authorities, now=NOW)
    authorities.reload()
    assert (authorities.pin, authorities.roots, authorities.server_ca.certificate) == before
    assert authorities.next_roots is not None
    assert bundle(authorities) == (*before[1], *authorities.next_roots.certificates) == authorities.trusted
    assert len({each.subject for each in authorities.trusted}) == 4, "two roots of one name"
    assert pin_of(authorities.next_roots.certificates[0]) in sheet.read_text()


def test_the_last_step_serves_and_trusts_the_new_roots_alone_and_the_servers_keys_stay(
    begun: Authorities, pristine: Installation
) -> None:
    old, following = begun.roots, begun.next_roots
    before = ensure_server_certificates(begun, pristine.names, now=NOW)
    keys = [leaf_of(before.ecdsa_chain).public_key(), leaf_of(before.rsa_chain).public_key()]
    finish(begun)
    assert following is not None
    assert begun.roots == begun.trusted == bundle(begun) == following.certificates
    assert begun.next_roots is None
    after = ensure_server_certificates(begun, pristine.names, now=NOW)
    assert [leaf_of(after.ecdsa_chain).public_key(), leaf_of(after.rsa_chain).public_key()] == keys
    for chain, root, gone in zip((after.ecdsa_chain, after.rsa_chain), begun.roots, old, strict=True):
        leaf, issuer = x509.load_pem_x509_certificates(chain.read_bytes())
        leaf.verify_directly_issued_by(issuer)
        issuer.verify_directly_issued_by(root)
        assert not is_issued_by(issuer, gone)


def test_the_sheet_of_the_new_root_renews_the_server_authorities_and_the_old_one_opens_nothing(
    begun: Authorities,
) -> None:
    old = Secret((begun.directory / "sheet.txt").read_bytes())
    new = new_sheet(begun)
    finish(begun)
    with pytest.raises(LocalError, match="does not open the roots"):
        rotation.renew_server_authorities(begun, old, now=NOW)
    rotation.renew_server_authorities(begun, new, now=NOW)
    assert load_authorities(begun.directory).roots == begun.roots


def test_during_the_overlap_the_server_authorities_are_renewed_under_the_root_in_force(
    begun: Authorities,
) -> None:
    before = begun.server_ca.certificate
    sheet = Secret((begun.directory / "sheet.txt").read_bytes())
    rotation.renew_server_authorities(begun, sheet, now=NOW)
    begun.reload()
    assert begun.server_ca.certificate != before
    begun.server_ca.certificate.verify_directly_issued_by(begun.roots[0])


def test_given_up_it_is_as_it_was(begun: Authorities) -> None:
    old = begun.roots
    rotation.abandon_server_root(begun)
    begun.reload()
    assert begun.roots == begun.trusted == bundle(begun) == old
    assert not (begun.directory / "ca" / NEXT).exists()
    with pytest.raises(LocalError, match="not being replaced"):
        rotation.abandon_server_root(begun)


def test_the_sheet_that_is_still_here_moves_with_its_root(begun: Authorities) -> None:
    sheet = new_sheet(begun).reveal()
    finish(begun)
    assert (begun.directory / "ca" / RECOVERY_FILE).read_bytes() == sheet


def test_a_sheet_of_the_root_before_does_not_stay_behind(begun: Authorities) -> None:
    ca = begun.directory / "ca"
    new = new_sheet(begun)
    (ca / NEXT / RECOVERY_FILE).unlink()
    shutil.copy(begun.directory / "sheet.txt", ca / RECOVERY_FILE)
    rotation.finish_server_root(begun, new, (), now=NOW)
    assert not (ca / RECOVERY_FILE).exists()


@pytest.mark.parametrize("sheet", ["old", "abandoned", "none"])
def test_only_the_sheet_of_the_roots_that_follow_ends_it(begun: Authorities, sheet: str) -> None:
    """Attack: a root that was given up, whose sheet somebody kept, is brought back with it."""
    text = {"old": (begun.directory / "sheet.txt").read_bytes(), "abandoned": new_sheet(begun).reveal()}
    if sheet == "abandoned":
        rotation.abandon_server_root(begun)
        begun.reload()
        rotation.begin_server_root(begun, now=NOW)
        begun.reload()
    before = begun.trusted
    with pytest.raises(LocalError, match="recovery sheet") as refused:
        rotation.finish_server_root(begun, Secret(text.get(sheet, b"")), (), now=NOW)
    assert "Passphrase" not in str(refused.value)
    begun.reload()
    assert begun.trusted == before == bundle(begun)


def test_a_second_one_begins_only_after_the_first_and_only_without_the_sheet_of_the_present_root(
    begun: Authorities,
) -> None:
    with pytest.raises(LocalError, match="already"):
        rotation.begin_server_root(begun, now=NOW)
    finish(begun)
    with pytest.raises(LocalError, match="still on this machine"):
        rotation.begin_server_root(begun, now=NOW)
    (begun.directory / "ca" / RECOVERY_FILE).unlink()
    rotation.begin_server_root(begun, now=NOW)
    begun.reload()
    assert len(begun.trusted) == 4


def test_no_passphrase_is_in_a_repr(begun: Authorities) -> None:
    passphrase = new_sheet(begun).reveal().decode().partition("Passphrase:  ")[2].partition("\n")[0]
    assert len(passphrase) > 30
    assert passphrase not in repr(begun) + repr(begun.next_roots) + repr(new_sheet(begun))


def leaf_of(chain: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificates(chain.read_bytes())[0]


# --- cut off at every step ---------------------------------------------------------------------------


class Cut(BaseException):
    """The machine is off."""


@contextmanager
def power_for(monkeypatch: pytest.MonkeyPatch, steps: int) -> Iterator[list[str]]:
    """Power for so many changes of the disk; from then on none succeeds, so nothing is tidied up either."""
    done: list[str] = []

    def counted(name: str, change: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object, **named: object) -> object:
            if len(done) >= steps:
                raise Cut
            done.append(name)
            return change(*arguments, **named)

        return step

    with monkeypatch.context() as patched:
        for name in ("replace", "rename", "unlink", "mkdir", "rmdir"):
            patched.setattr(Path, name, counted(name, getattr(Path, name)))
        patched.setattr(shutil, "rmtree", counted("rmtree", shutil.rmtree))
        yield done


def begin(authorities: Authorities) -> None:
    rotation.begin_server_root(authorities, now=NOW)


def end(authorities: Authorities) -> None:
    rotation.finish_server_root(authorities, new_sheet(authorities), ("lamp",), now=NOW)


@pytest.mark.parametrize("act", [begin, end, rotation.abandon_server_root])
def test_cut_off_at_any_step_it_leaves_what_was_or_what_is_to_be(
    authorities: Authorities, act: Callable[[Authorities], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rotation.new_roots(NOW)
    monkeypatch.setattr(rotation, "new_roots", lambda now: made)  # an RSA key takes a while
    cas = rotation.new_server_cas(made[0], made[1], NOW, authorities.keys)
    monkeypatch.setattr(rotation, "new_server_cas", lambda *_: cas)
    monkeypatch.setattr(rotation, "_open", lambda *_: made[:2])
    if act is not begin:
        begin(authorities)
    ca = authorities.directory / "ca"
    start = authorities.directory / "before"
    shutil.copytree(ca, start)
    before, outcomes = load_authorities(authorities.directory), set()
    for steps in range(100):
        shutil.rmtree(ca)
        shutil.copytree(start, ca)
        with power_for(monkeypatch, steps) as done, suppress(Cut):
            act(before)
        loaded = load_authorities(authorities.directory)
        assert bundle(loaded) == loaded.trusted
        loaded.server_ca.certificate.verify_directly_issued_by(loaded.roots[0])
        loaded.server_ca_rsa.certificate.verify_directly_issued_by(loaded.roots[1])
        outcomes.add(loaded.trusted)
        went_through = len(done) < steps
        if loaded.trusted == before.trusted:
            assert not went_through
            if steps % 8 == 0:  # and it can be tried again
                act(loaded)
                assert load_authorities(authorities.directory).trusted != before.trusted
        elif act is end:
            assert left_behind(ca).identities == {"lamp"}
        if went_through:
            break
    else:
        raise AssertionError("it never went through")
    assert len(outcomes) == 2
    assert not [path.name for path in ca.iterdir() if path.is_dir() and act is not begin]


def test_a_backup_from_the_middle_is_ended_with_the_same_sheet_and_gives_the_same_roots(
    begun: Authorities,
) -> None:
    ca, backup = begun.directory / "ca", begun.directory / "backup"
    shutil.copytree(ca, backup)
    sheet = new_sheet(begun)
    finish(begun)
    ended = begun.roots
    shutil.rmtree(ca)
    shutil.copytree(backup, ca)
    begun.reload()
    assert begun.roots != ended
    assert begun.trusted[2:] == ended
    rotation.finish_server_root(begun, sheet, (), now=NOW)
    begun.reload()
    assert begun.roots == ended


def test_roots_that_a_broken_file_names_are_damage(begun: Authorities) -> None:
    (begun.directory / "ca" / NEXT / ROOT_FILE).write_text("nothing")
    with pytest.raises(LocalError, match="damaged"):
        begun.reload()


# --- who is ready ------------------------------------------------------------------------------------


def test_everybody_is_ready_waiting_or_unknown_by_what_is_known_of_them(
    begun: Authorities, registry: Registry, desk: Desk
) -> None:
    for name in ("by-hand", "joined", "fetched", "handed", "gone"):
        registry.add(name, "device", now=NOW)
        issue_device_certificate(begun, registry, name, now=NOW)
    for name in ("joined", "fetched"):
        spend(registry, desk, name)
    registry.add_with_password("by-password", "device", now=NOW)
    registry.give_psk("by-key", "device", now=NOW)
    registry.add("pending", "device", now=NOW)
    registry.add("string", "device", now=NOW)
    desk.open("string", now=NOW, life_s=3600, approval=False)
    registry.revoke("gone", now=NOW)
    desk.has_roots("fetched", said(begun))
    begun.handed_over("handed")
    assert standing(begun, registry) == rotation.RootReadiness(
        ready=("fetched", "handed"), waiting=("joined", "string"), unknown=("by-hand", "by-password")
    )
    late = standing(begun, registry, NOW + 7200)
    assert "string" not in (*late.ready, *late.waiting, *late.unknown), "it has expired"


def test_who_sleeps_past_the_end_of_its_certificate_still_counts_while_it_may_renew(
    begun: Authorities, registry: Registry
) -> None:
    registry.add("sleeper", "device", now=NOW)
    issue_device_certificate(begun, registry, "sleeper", now=NOW)
    assert standing(begun, registry, NOW + 200 * 86_400).unknown == ("sleeper",)
    assert standing(begun, registry, NOW + 800 * 86_400).unknown == ()


def test_an_open_string_pins_the_old_root_whatever_its_device_has(
    begun: Authorities, registry: Registry, desk: Desk
) -> None:
    registry.add_with_password("plug", "device", now=NOW)
    begun.handed_over("plug")
    assert standing(begun, registry).ready == ("plug",)
    desk.open("plug", now=NOW, life_s=3600, approval=False)
    assert standing(begun, registry).waiting == ("plug",)


@pytest.mark.parametrize("which", [0, 1])
def test_either_of_the_new_roots_will_do_and_neither_of_the_old(
    begun: Authorities, registry: Registry, desk: Desk, which: int
) -> None:
    registry.add_with_password("plug", "device", now=NOW)
    desk.has_roots("plug", pin_of(begun.roots[which]).encode())
    desk.has_roots("plug", b"")
    assert standing(begun, registry).ready == ()
    assert begun.next_roots is not None
    desk.has_roots("plug", b"%b\n" % pin_of(begun.next_roots.certificates[which]).upper().encode())
    assert standing(begun, registry).ready == ("plug",)


@pytest.mark.parametrize(
    "words", [b"x", b"ab" * 31, b"\xff" * 64, b"0" * 64 + b" -", b"0" * (MAX_PINS_BYTES + 1), b"0" * 65]
)
def test_what_is_no_list_of_pins_is_refused_and_noted_nowhere(
    begun: Authorities, registry: Registry, desk: Desk, words: bytes
) -> None:
    registry.add_with_password("plug", "device", now=NOW)
    with pytest.raises(EnrollmentRefused):
        desk.has_roots("plug", words)
    assert standing(begun, registry).ready == ()


def test_who_is_revoked_or_unknown_is_noted_nowhere(
    begun: Authorities, registry: Registry, desk: Desk
) -> None:
    registry.add_with_password("gone", "device", now=NOW)
    registry.revoke("gone", now=NOW)
    for name in ("gone", "nobody"):
        with pytest.raises(EnrollmentRefused):
            desk.has_roots(name, said(begun))
    assert begun.next_roots is not None
    assert begun.next_roots.holders.names == frozenset()


def test_who_fetches_them_with_its_certificate_has_them(
    begun: Authorities, registry: Registry, desk: Desk
) -> None:
    registry.add("plug", "device", now=NOW)
    leaf = x509.load_pem_x509_certificate(
        issue_device_certificate(begun, registry, "plug", now=NOW).certificate_pem
    )
    registry.suspend("plug", now=NOW)
    with pytest.raises(EnrollmentRefused):
        desk.fetched_roots(der(leaf), now=NOW)
    registry.resume("plug", now=NOW)
    desk.fetched_roots(der(leaf), now=NOW)
    assert standing(begun, registry).ready == ("plug",)


def test_without_a_replacement_nothing_is_noted(authorities: Authorities, registry: Registry) -> None:
    registry.add_with_password("plug", "device", now=NOW)
    desk = Desk(registry, authorities)
    desk.has_roots("plug", pin_of(authorities.roots[0]).encode())
    authorities.handed_over("plug")
    assert rotation.root_readiness(authorities, registry.list(), now=NOW) is None
    assert desk.pins() == ()
    assert not (authorities.directory / "ca" / NEXT).exists()


def test_who_has_a_root_that_was_given_up_is_not_ready_for_the_next(
    begun: Authorities, registry: Registry, desk: Desk
) -> None:
    registry.add_with_password("plug", "device", now=NOW)
    abandoned = said(begun)
    desk.has_roots("plug", abandoned)
    rotation.abandon_server_root(begun)
    begun.reload()
    rotation.begin_server_root(begun, now=NOW)
    begun.reload()
    desk.has_roots("plug", abandoned)  # said again: it is another root now
    assert standing(begun, registry).ready == ()


@pytest.mark.parametrize("way", ["said", "fetched"])
def test_what_comes_late_of_a_root_that_was_given_up_does_not_count_for_the_next(
    begun: Authorities, registry: Registry, desk: Desk, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Attack: the device would be counted ready for roots that it has never seen, and lose its server."""
    registry.add("plug", "device", now=NOW)
    leaf = x509.load_pem_x509_certificate(
        issue_device_certificate(begun, registry, "plug", now=NOW).certificate_pem
    )
    before = begun.next_roots
    snapshot = registry.snapshot

    def replaced_meanwhile() -> Snapshot:
        found = snapshot()
        monkeypatch.setattr(registry, "snapshot", snapshot)
        rotation.abandon_server_root(begun)
        begun.reload()
        rotation.begin_server_root(begun, now=NOW)
        begun.reload()
        return found

    monkeypatch.setattr(registry, "snapshot", replaced_meanwhile)
    if way == "said":
        desk.has_roots("plug", said(begun))
    else:
        desk.fetched_roots(der(leaf), now=NOW)
    assert begun.next_roots is not before is not None
    assert standing(begun, registry).ready == ()
    begun.reload()
    assert standing(begun, registry).ready == ()


def test_nothing_is_noted_of_roots_that_were_given_up(begun: Authorities) -> None:
    given_up = begun.next_roots
    assert given_up is not None
    rotation.abandon_server_root(begun)
    given_up.holders.add("plug")
    assert given_up.holders.names == frozenset()
    assert not (begun.directory / "ca" / NEXT).exists()


def test_the_list_outlives_a_restart_and_a_line_that_was_cut_off(begun: Authorities) -> None:
    begun.handed_over("plug")
    path = holders(begun)
    with path.open("ab") as file:
        file.write(b"lam")  # the power went
    again = Holders(path)
    assert again.names == {"plug"}
    again.add("lamp")
    again.add("lamp")
    begun.reload()
    assert begun.next_roots is not None
    assert begun.next_roots.holders.names == {"plug", "lamp"}
    assert path.read_bytes() == b"plug\nlam#\nlamp\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_list_that_others_may_change_is_not_read(begun: Authorities) -> None:
    begun.handed_over("plug")
    holders(begun).chmod(0o666)
    with pytest.raises(LocalError, match="open to other users"):
        begun.reload()


def test_names_that_are_none_do_not_get_into_the_list(begun: Authorities) -> None:
    begun.handed_over("plug\nlamp")
    assert begun.next_roots is not None
    assert begun.next_roots.holders.names == frozenset()


@pytest.mark.parametrize("text", [b"[" * 30_000, b"[]", b"{", b'{"at": 1e999, "identities": []}'])
def test_a_record_of_who_was_left_behind_that_cannot_be_read_names_nobody(
    authorities: Authorities, text: bytes
) -> None:
    write_private(authorities.directory / "ca" / LEFT_BEHIND_FILE, text)
    assert left_behind(authorities.directory / "ca") == LeftBehind()


def test_who_was_left_behind_is_on_record(begun: Authorities) -> None:
    ca = begun.directory / "ca"
    assert left_behind(ca).identities == frozenset()
    finish(begun, "lamp", "camera")
    assert left_behind(ca).identities == {"camera", "lamp"}
    assert left_behind(ca).at == NOW
    (ca / LEFT_BEHIND_FILE).write_text("[]")
    assert left_behind(ca).at == 0


def test_recipes_that_take_one_kind_of_root_get_both_of_that_kind(begun: Authorities) -> None:
    facts = server_facts(begun.root_file.read_text("ascii"), b"")
    for name, kind in (("root_ecdsa_pem", 0), ("root_rsa_pem", 1)):
        found = facts[name]
        assert isinstance(found, bytes)
        assert x509.load_pem_x509_certificates(found) == list(begun.trusted[kind::2])


def said(authorities: Authorities) -> bytes:
    """What a device says that has all roots."""
    return " ".join(map(pin_of, authorities.trusted)).encode()


def spend(registry: Registry, desk: Desk, name: str) -> None:
    """As if `name` had enrolled with a string."""
    desk.open(name, now=NOW, life_s=3600, approval=False)

    def spent(known: Identity) -> Identity:
        assert known.token is not None
        return replace(known, token=replace(known.token, spent_at=NOW, key=b"k" * 32, certificate=b"c"))

    registry.change(name, spent)


def der(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.DER)
