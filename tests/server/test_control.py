"""The operations on identities: committed first, then enforced in what runs."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from bollard.base.errors import LocalError
from bollard.base.types import Principal, Secret
from bollard.identity.records import State
from bollard.identity.roots import holders_file, read_next
from bollard.server.config import Address, Config, ListenerConfig
from bollard.server.control import ADMINISTRATIVE_ACTION, NOT_AUTHORIZED, Control
from bollard.server.identities import Identities, open_identities
from bollard.server.requests import (
    AskAuthority,
    AskStatus,
    AuthorityStatus,
    Changed,
    ChangeDevice,
    Device,
    Devices,
    Ended,
    Enroll,
    Enrolled,
    GivePsk,
    ListDevices,
    Reload,
    Reloaded,
    Rotate,
    RotateAuthority,
    SetPassword,
    ShowDevice,
    Status,
    Traffic,
)
from bollard.server.state import StateDirectory
from bollard.store.database import StateLock
from server.state_room import new_state


class FakeLive:
    """Records what control asked of the running broker, and the state of the registry when it did."""

    def __init__(self, identities: Identities) -> None:
        self._registry = identities.registry
        self.ended: list[tuple[str, int, bool, State]] = []
        self.changes = 0

    def registry_changed(self) -> None:
        self.changes += 1

    def end(self, principal: Principal, code: int, reason: str, *, purge: bool) -> Ended:
        self.ended.append((principal, code, purge, self._registry.get(principal).state))
        return Ended(connections=2, sessions=1, wills=1, retained=3)

    def connections_of(self, principal: Principal) -> int:
        return 2

    def traffic_of(self, principal: Principal) -> Traffic:
        return Traffic(received=5, denied_publish=2)

    def status(self) -> Status:
        return Status(running=True, pid=7)

    def reload(self) -> Reloaded:
        return Reloaded(("policy reloaded",))

    def port(self) -> int:
        return 40_001


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return new_state(tmp_path / "state")


@pytest.fixture
def identities(config: Config) -> Iterator[Identities]:
    with StateLock(config.state_dir), open_identities(StateDirectory(config.state_dir)) as opened:
        yield opened


@pytest.fixture
def control(config: Config, identities: Identities) -> Control:
    return Control(config, identities.registry, identities.authorities)


@pytest.fixture
def live(identities: Identities) -> FakeLive:
    return FakeLive(identities)


@pytest.fixture
def running(config: Config, identities: Identities, live: FakeLive) -> Control:
    return Control(config, identities.registry, identities.authorities, live)


def enrolled(control: Control, request: Enroll | Rotate) -> Enrolled:
    answer = control.handle(request)
    assert isinstance(answer, Enrolled)
    return answer


def device(control: Control, identity: str) -> Device:
    answer = control.handle(ShowDevice(identity))
    assert isinstance(answer, Device)
    return answer


def test_a_password_is_given_once_and_checks_out(control: Control, identities: Identities) -> None:
    answer = enrolled(control, Enroll("plug"))
    assert (answer.username, answer.client_id, answer.host, answer.port) == (
        "plug",
        "plug",
        "127.0.0.1",
        8883,
    )
    stored = identities.registry.get("plug")
    assert identities.verifier.check(Secret(answer.password.encode()), stored.verifier)
    assert answer.password not in repr(answer)
    assert Path(answer.ca_file).read_text() == answer.root_pem


@pytest.mark.parametrize("noted", [True, False])
def test_who_gets_a_credential_gets_both_roots_and_is_noted_and_loses_nothing_if_that_fails(
    control: Control, identities: Identities, config: Config, noted: bool
) -> None:
    (config.state_dir / "ca" / "server-root-recovery.txt").unlink()
    control.handle(RotateAuthority("server-root"))
    if not noted:
        ca = config.state_dir / "ca"
        following = read_next(ca)
        assert following is not None
        holders_file(ca, following.certificates[0]).mkdir()
    answers = [enrolled(control, Enroll("plug")), enrolled(control, Enroll("camera", "certificate"))]
    assert [each.root_pem.count("BEGIN CERTIFICATE") for each in answers] == [4, 4]
    told = control.handle(AskAuthority())
    assert isinstance(told, AuthorityStatus)
    assert told.next_root is not None
    assert (told.next_root.ready, told.next_root.unknown) == (
        (("camera", "plug"), ()) if noted else ((), ("camera", "plug"))
    )


def test_a_certificate_is_for_the_identity_and_in_the_registry(control: Control) -> None:
    answer = enrolled(control, Enroll("camera", "certificate"))
    leaf, _authority = x509.load_pem_x509_certificates(answer.chain_pem.encode())
    assert leaf.subject.rfc4514_string() == "CN=camera"
    (certificate,) = device(control, "camera").certificates
    assert certificate.serial == f"{leaf.serial_number:x}"
    assert certificate.state == "active"
    assert answer.password == ""
    assert "PRIVATE KEY" in answer.key_pem


@pytest.mark.parametrize("credential", ["password", "certificate"])
def test_an_unknown_template_enrolls_nobody_and_names_the_nearest(control: Control, credential: str) -> None:
    with pytest.raises(LocalError, match="devise") as caught:
        control.handle(Enroll("plug", credential, "devise"))  # type: ignore[arg-type]  # one of its literals
    assert '"device"' in caught.value.remedy
    assert control.handle(ListDevices()) == Devices(())


@pytest.mark.parametrize("name", ["anonymous", "a/b", "", "a" * 65, "+", "#", "a b"])
def test_a_name_that_means_something_in_a_topic_is_refused(control: Control, name: str) -> None:
    with pytest.raises(LocalError):
        control.handle(Enroll(name))


def test_enrolling_twice_is_refused_and_keeps_the_first_password(
    control: Control, identities: Identities
) -> None:
    first = enrolled(control, Enroll("plug"))
    with pytest.raises(LocalError, match="already enrolled"):
        control.handle(Enroll("plug"))
    verifier = identities.registry.get("plug").verifier
    assert identities.verifier.check(Secret(first.password.encode()), verifier)


def test_without_a_broker_a_revocation_is_committed(control: Control) -> None:
    control.handle(Enroll("plug"))
    changed = control.handle(ChangeDevice("plug", "revoked"))
    assert isinstance(changed, Changed)
    assert (changed.state, changed.running, changed.ended.connections) == ("revoked", False, 0)
    assert device(control, "plug").state == "revoked"


def test_a_revocation_ends_everything_after_it_was_committed(running: Control, live: FakeLive) -> None:
    running.handle(Enroll("plug"))
    changed = running.handle(ChangeDevice("plug", "revoked"))
    assert isinstance(changed, Changed)
    assert live.ended == [("plug", ADMINISTRATIVE_ACTION, True, State.REVOKED)]
    assert (changed.ended.connections, changed.ended.wills, changed.ended.retained) == (2, 1, 3)
    assert changed.ended.took_ms > 0


def test_a_suspension_keeps_the_sessions_and_a_resumption_ends_nothing(
    running: Control, live: FakeLive
) -> None:
    running.handle(Enroll("plug"))
    running.handle(ChangeDevice("plug", "suspended"))
    assert live.ended == [("plug", ADMINISTRATIVE_ACTION, False, State.SUSPENDED)]
    before = live.changes
    running.handle(ChangeDevice("plug", "active"))
    assert len(live.ended) == 1
    assert live.changes == before + 1


def test_a_rotated_password_replaces_the_old_and_ends_its_connections(
    running: Control, live: FakeLive, identities: Identities
) -> None:
    first = enrolled(running, Enroll("plug"))
    second = enrolled(running, Rotate("plug"))
    verifier = identities.registry.get("plug").verifier
    assert not identities.verifier.check(Secret(first.password.encode()), verifier)
    assert identities.verifier.check(Secret(second.password.encode()), verifier)
    assert live.ended == [("plug", NOT_AUTHORIZED, False, State.ACTIVE)]
    assert second.ended is not None
    assert second.ended.connections == 2


def test_a_rotation_ends_the_credential_of_the_other_kind_too(
    control: Control, identities: Identities
) -> None:
    control.handle(Enroll("camera", "certificate"))
    control.handle(Rotate("camera", "password"))
    assert [c.state for c in device(control, "camera").certificates] == ["superseded"]
    control.handle(Rotate("camera", "certificate"))
    assert device(control, "camera").password is False
    known = identities.registry.get("camera")
    assert known.verifier == b""
    assert known.scram is None


def test_a_rotated_certificate_supersedes_the_old(control: Control) -> None:
    control.handle(Enroll("camera", "certificate"))
    control.handle(Rotate("camera", "certificate"))
    assert [c.state for c in device(control, "camera").certificates] == ["superseded", "active"]


@pytest.mark.parametrize(
    "request_",
    [ShowDevice("ghost"), ChangeDevice("ghost", "revoked"), Rotate("ghost"), Rotate("ghost", "certificate")],
)
def test_who_is_not_enrolled_cannot_be_changed(
    control: Control, request_: ShowDevice | ChangeDevice | Rotate
) -> None:
    with pytest.raises(LocalError, match="ghost"):
        control.handle(request_)


def test_the_running_broker_tells_its_port_connections_and_status(running: Control) -> None:
    assert enrolled(running, Enroll("plug")).port == 40_001
    assert device(running, "plug").connected == 2
    assert running.handle(AskStatus()) == Status(running=True, pid=7)
    assert running.handle(Reload()) == Reloaded(("policy reloaded",))


def test_without_a_broker_there_is_no_status_and_nothing_to_reload(control: Control) -> None:
    assert control.handle(AskStatus()) == Status(running=False)
    with pytest.raises(LocalError, match="no broker"):
        control.handle(Reload())


def test_a_chosen_password_ends_what_was_before_and_its_connections(
    config: Config, identities: Identities, live: FakeLive
) -> None:
    control = Control(
        replace(config, allow_human_passwords=True), identities.registry, identities.authorities, live
    )
    control.handle(Enroll("anna"))
    changed = control.handle(SetPassword("anna", "four words of nothing"))
    assert isinstance(changed, Changed)
    assert changed.ended.connections == 2
    assert live.ended == [("anna", NOT_AUTHORIZED, False, State.ACTIVE)]
    assert identities.registry.get("anna").verifier == b""
    assert device(control, "anna").password
    assert "four" not in repr(SetPassword("anna", "four words of nothing"))


def test_a_chosen_password_has_to_be_allowed(running: Control, live: FakeLive) -> None:
    running.handle(Enroll("anna"))
    with pytest.raises(LocalError, match="not allowed"):
        running.handle(SetPassword("anna", "four words of nothing"))
    assert live.ended == []


def test_a_key_needs_a_listener_that_takes_it(running: Control) -> None:
    with pytest.raises(LocalError, match="no listener takes pre-shared keys"):
        running.handle(GivePsk("meter"))


def test_a_key_comes_with_where_to_use_it_and_ends_what_was_before(
    config: Config, identities: Identities, live: FakeLive
) -> None:
    listener = ListenerConfig(bind=Address("127.0.0.1", 8884), psk=True)
    listening = replace(config, listeners=(*config.listeners, listener))
    control = Control(listening, identities.registry, identities.authorities, live)
    control.handle(Enroll("meter"))
    told = control.handle(GivePsk("meter"))
    assert isinstance(told, Enrolled)
    assert (told.username, told.port, len(bytes.fromhex(told.psk))) == ("meter", 8884, 32)
    assert told.psk not in repr(told)
    assert live.ended == [("meter", NOT_AUTHORIZED, False, State.ACTIVE)]
    assert device(control, "meter").psk
    assert not device(control, "meter").password
