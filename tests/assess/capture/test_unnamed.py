"""Clients without a client id: each is a device of its own, and nothing of it is counted twice or lent to another."""

import pytest

from assess.capture.reading import assets, read_tape, report, results, states
from assess.capture.scene import BROKER, connack, connect
from bollard.assess.model import Asset
from bollard.wire.codec import encode
from bollard.wire.connect import Connack
from bollard.wire.properties import Properties
from bollard.wire.publish import encode_publish
from support.captures import Talk, Tape

PUBLISH = {4: encode_publish(b"t", b"1"), 5: encode_publish(b"t", b"1", version=5)}


def line(tape: Tape, port: int = 40_000, host: str = "10.1.2.3") -> Talk:
    return Talk(tape, (host, port), BROKER)


def unnamed(user: str | None = None, version: int = 4) -> bytes:
    return connect("", user, None if user is None else f"password of {user}".encode(), version=version)


def given(client_id: str) -> bytes:
    return encode(Connack(False, 0, Properties(assigned_client_identifier=client_id)), 5)


def counts(asset: Asset) -> tuple[int, int]:
    """Its connects and the messages that it sent."""
    return asset.facts.get("connects", 0), asset.facts.get("messages sent", 0)


def test_a_client_without_id_is_not_the_one_with_an_id_at_its_address() -> None:
    tape = Tape()
    line(tape).up(connect("named"))
    line(tape, 40_001).up(unnamed(), PUBLISH[4])
    found = assets(read_tape(tape))
    assert set(found) == {"named", "10.1.2.3 (no client id)"}
    assert counts(found["named"]) == (1, 0)
    assert counts(found["10.1.2.3 (no client id)"]) == (1, 1)
    assert "client id" not in found["10.1.2.3 (no client id)"].facts


def test_what_no_connect_tells_of_belongs_to_the_one_device_there_and_counts_once() -> None:
    tape = Tape()
    line(tape).up(connect("named"), PUBLISH[4]).close()
    began_before = Talk(tape, ("10.1.2.3", 40_001), BROKER, opened=False)
    began_before.up(PUBLISH[4], PUBLISH[4])
    found = read_tape(tape)
    assert set(assets(found)) == {"named"}
    assert counts(assets(found)["named"]) == (1, 3)
    assert assets(found)["named"].facts["publishes"] == {"t": 3}
    assert found.traffic.devices == len(assets(found)) == 1
    assert counts(assets(read_tape(tape))["named"]) == (1, 3)


def test_one_user_at_one_address_is_one_device_however_often_it_connects() -> None:
    tape = Tape()
    for port in (40_000, 40_001):
        line(tape, port).up(unnamed("plug"), PUBLISH[4]).down(connack()).close()
    (device,) = assets(read_tape(tape)).values()
    assert device.name == "10.1.2.3 (no client id, user pl… (4 characters))"
    assert counts(device) == (2, 2)


def test_two_users_are_two_devices_also_where_their_masked_names_look_the_same() -> None:
    tape = Tape()
    for port, user in ((40_000, "sensor-1"), (40_001, "sensor-2"), (40_002, "sensor-1")):
        line(tape, port).up(unnamed(user), PUBLISH[4]).close()
    found = read_tape(tape)
    title = "10.1.2.3 (no client id, user se… (8 characters))"
    assert {name: counts(each) for name, each in assets(found).items()} == {
        title: (2, 2),
        f"{title} no. 2": (1, 1),
    }
    assert len(results(found)["PCP-02"].evidence["passwords"]) == 2
    assert "sensor-1" not in repr(report(found))


def test_the_same_user_at_two_addresses_is_two_devices() -> None:
    tape = Tape()
    for host in ("10.1.2.3", "10.1.2.4"):
        line(tape, host=host).up(unnamed("plug")).close()
    found = read_tape(tape)
    assert len(assets(found)) == 2
    assert states(found)["PCP-06"] == "fail"


@pytest.mark.parametrize("eager", [True, False])
def test_a_client_id_that_the_server_assigns_is_the_devices_own(eager: bool) -> None:
    tape = Tape()
    line(tape).up(connect("named", version=5))
    for number in (1, 2):
        talk = line(tape, 40_000 + number).up(unnamed("plug", 5))
        if eager:
            talk.up(PUBLISH[5]).down(given(f"auto-{number}"))
        else:
            talk.down(given(f"auto-{number}")).up(PUBLISH[5])
    found = assets(read_tape(tape))
    assert set(found) == {"named", "auto-1", "auto-2"}
    assert counts(found["auto-1"]) == counts(found["auto-2"]) == (1, 1)
    assert found["auto-1"].facts["client id"] == "auto-1"
    assert found["auto-1"].facts["id given by the server"] is True
    assert found["auto-1"].facts["user names"] == ["pl… (4 characters)"]
    assert "id given by the server" not in found["named"].facts


def test_who_comes_back_with_the_id_it_was_given_is_the_same_device() -> None:
    tape = Tape()
    line(tape).up(unnamed(version=5), PUBLISH[5]).down(given("auto-1")).close()
    line(tape, 40_001).up(connect("auto-1", version=5), PUBLISH[5]).close()
    (device,) = assets(read_tape(tape)).values()
    assert counts(device) == (2, 2)
    assert device.facts["keep alive"] == "60 s"


@pytest.mark.parametrize("answer", [b"", connack(version=5), connack(0x87, 5)])
def test_who_is_assigned_none_stays_what_its_address_and_user_say(answer: bytes) -> None:
    tape = Tape()
    for port in (40_000, 40_001):
        talk = line(tape, port).up(unnamed("plug", 5), PUBLISH[5])
        if answer:
            talk.down(answer)
    (device,) = assets(read_tape(tape)).values()
    assert device.name == "10.1.2.3 (no client id, user pl… (4 characters))"
    assert counts(device) == (2, 2)


def test_a_second_connect_on_a_connection_does_not_lose_the_first() -> None:
    tape = Tape()
    line(tape).up(unnamed(version=5)).up(unnamed(version=5)).down(connack(version=5))
    (device,) = assets(read_tape(tape)).values()
    assert counts(device) == (2, 0)


def test_devices_without_id_keep_to_the_bound_as_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bollard.assess.capture.roster.MAX_DEVICES", 3)
    tape = Tape()
    for number in range(9):
        line(tape, 40_000 + number).up(unnamed(f"u{number}", 5), PUBLISH[5])
    found = read_tape(tape)
    assert len(assets(found)) == 4
    assert counts(assets(found)["others"]) == (6, 6)
