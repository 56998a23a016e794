"""Random lives of several clients of two principals, against the reference broker.

What holds after every step: nothing is delivered without the right of its author and of its receiver, nothing
twice at QoS 2, nothing out of order, nothing expired, nothing beyond Receive Maximum, a shared message to one
member only, QoS 0 at once to who is there. What holds at the end: everything owed to kept sessions arrives, and
a broker without clients holds nothing.
"""

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from bollard.base.types import Action
from bollard.engine.limits import Limits
from bollard.session.message import ENTRY_BYTES
from bollard.wire.connect import Connack
from bollard.wire.connect import Will as WireWill
from bollard.wire.properties import Properties
from bollard.wire.publish import Ack
from bollard.wire.spec import PacketType
from bollard.wire.subscribe import Suback, Subscribe, SubscribeFilter, Unsubscribe
from support.memory import START, House, connect, publish

from .client import Client
from .reference import Policy, Reference, Slot, Will, Wish

SLOTS: list[Slot] = [("ann", "x"), ("ann", "y"), ("bob", "x"), ("bob", "y")]
TOPICS = ["a", "b", "a/b"]
JOBS = ["s/1", "s/2"]
FILTERS = ["a", "b", "a/b", "a/#", "a/+", "+/b"]
GROUPS = [("g", "s/#"), ("g", "s/1"), ("h", "s/+")]
#: The first two are drawn more often: they are asked at every delivery.
ACTIONS = [Action.PUBLISH, Action.RECEIVE] * 2 + [Action.RETAIN, Action.WILL]
KEPT_S = 1000

slots = st.sampled_from(SLOTS)
levels = st.integers(0, 2)


def wire(will: Will | None) -> WireWill | None:
    """A will as it goes into CONNECT."""
    if will is None:
        return None
    properties = Properties(will_delay_interval=will.delay_s or None)
    return WireWill(will.topic, str(will.number).encode(), will.qos, False, properties)


class World(RuleBasedStateMachine):
    """The broker, its clients, and what the reference says of them."""

    durable = False

    @initialize()
    def begin(self) -> None:
        self.house = House(
            Limits(
                max_inflight=4, keepalive_max_s=65_535, session_expiry_max_s=KEPT_S, topic_alias_maximum=2
            ),
            Policy(frozenset()),
            durable=self.durable,
        )
        self.reference = Reference(START)
        self.clients = {slot: Client(slot, self.reference) for slot in SLOTS}
        for slot in SLOTS:
            self.connect_kept(slot)
            for filter in ("a/#", "b"):
                self.reference.subscribe(slot, filter, Wish(2), 0)
                self.send_subscribe(self.clients[slot], SubscribeFilter(filter, 2), 0)

    def online(self) -> list[Client]:
        return [client for client in self.clients.values() if client.online]

    def someone(self, which: int) -> Client:
        """A connected client; the one of that number comes when nobody is there."""
        if not self.online():
            self.connect_kept(SLOTS[which])
        online = self.online()
        return online[which % len(online)]

    def connect_kept(self, slot: Slot) -> None:
        present = self.reference.connect(slot, False, KEPT_S, None)
        self.enter(slot, 5, False, True, 2, None, 2, present)

    def settle(self) -> None:
        """What the broker sent has been received."""
        self.house.settle()
        for client in self.clients.values():
            client.absorb()

    # Coming and going --------------------------------------------------------------------------------

    @rule(
        slot=slots,
        version=st.sampled_from([4, 5]),
        clean=st.booleans(),
        kept=st.booleans(),
        window=st.integers(1, 6),
        will=st.none() | st.builds(Will, st.sampled_from(TOPICS), levels, st.sampled_from([0, 10])),
        aliases=st.sampled_from([0, 2]),
    )
    def connect(
        self,
        slot: Slot,
        version: int,
        clean: bool,
        kept: bool,
        window: int,
        will: Will | None,
        aliases: int,
    ) -> None:
        if will is not None and not self.reference.may(slot[0], Action.WILL, will.topic):
            will = None
        if version == 4:
            kept = not clean
            will = Will(will.topic, will.qos, 0) if will is not None else None
        if will is not None:
            will = Will(will.topic, will.qos, will.delay_s, self.reference.number(slot))
            self.reference.wills.add(will.number)
        present = self.reference.connect(slot, clean, KEPT_S if kept else 0, will)
        self.enter(slot, version, clean, kept, window, will, aliases, present)

    def enter(
        self,
        slot: Slot,
        version: int,
        clean: bool,
        kept: bool,
        window: int,
        will: Will | None,
        aliases: int,
        present: bool,
    ) -> None:
        """The connection itself; the reference knows already."""
        client = self.clients[slot]
        client.left()
        options = {"receive_maximum": window, "topic_alias_maximum": aliases} if version == 5 else {}
        device = self.house.open(version)
        device.send(
            connect(
                slot[1],
                version,
                principal=slot[0],
                clean=clean,
                keepalive_s=60_000,
                expiry=KEPT_S if kept else 0,
                will=wire(will),
                **options,
            )
        )
        for other in self.clients.values():
            if other is not client:
                other.absorb()
        connack = device.one(Connack)
        assert (connack.code, connack.session_present) == (0, present)
        if client.device is not None:
            assert client.device.closed
        client.joined(device, version, min(window, 4) if version == 5 else 4, present)
        self.settle()

    @rule(which=st.integers(0, 3), good=st.booleans())
    def go(self, which: int, good: bool) -> None:
        client = self.someone(which)
        assert client.device is not None
        if good:
            self.reference.leave(client.slot)
            client.device.leave()
        else:
            self.reference.lose(client.slot)
            client.device.drop()
        self.settle()

    @rule(seconds=st.sampled_from([1, 4, 12, 400, 1100]))
    def wait(self, seconds: int) -> None:
        self.reference.pass_time(self.reference.now + seconds)
        self.house.advance(seconds)
        self.settle()

    # Rights ------------------------------------------------------------------------------------------

    @rule(
        denied=st.frozensets(
            st.tuples(
                st.sampled_from(["ann", "bob"]), st.sampled_from(ACTIONS), st.sampled_from(TOPICS + JOBS)
            ),
            max_size=6,
        ),
        closed=st.frozensets(
            st.tuples(st.sampled_from(["ann", "bob"]), st.just(Action.SHARE), st.sampled_from(["g", "h"])),
            max_size=2,
        ),
    )
    def change_policy(
        self, denied: frozenset[tuple[str, Action, str]], closed: frozenset[tuple[str, Action, str]]
    ) -> None:
        denied |= closed
        self.reference.set_policy(denied)
        self.house.broker.set_authorizer(Policy(denied), self.house.now)
        for client in self.clients.values():
            client.rights_changed()
        self.settle()

    # Subscriptions -----------------------------------------------------------------------------------

    @rule(
        which=st.integers(0, 3),
        filter=st.sampled_from(FILTERS),
        qos=levels,
        no_local=st.booleans(),
        keeps_retain=st.booleans(),
        handling=levels,
        identifier=st.integers(0, 2),
    )
    def subscribe(
        self,
        which: int,
        filter: str,
        qos: int,
        no_local: bool,
        keeps_retain: bool,
        handling: int,
        identifier: int,
    ) -> None:
        client = self.someone(which)
        if client.version == 4:
            no_local, keeps_retain, handling, identifier = False, False, 0, 0
        self.reference.subscribe(client.slot, filter, Wish(qos, no_local, keeps_retain, identifier), handling)
        self.send_subscribe(
            client, SubscribeFilter(filter, qos, no_local, keeps_retain, handling), identifier
        )

    @rule(which=st.integers(0, 3), group=st.sampled_from(GROUPS), qos=levels)
    def share(self, which: int, group: tuple[str, str], qos: int) -> None:
        client = self.someone(which)
        wanted = SubscribeFilter(f"$share/{group[0]}/{group[1]}", qos)
        if not self.reference.may(client.slot[0], Action.SHARE, group[0]):
            self.send_subscribe(client, wanted, 0, 0x87 if client.version == 5 else 0x80)
            return
        self.reference.share(client.slot, group, Wish(qos))
        self.send_subscribe(client, wanted, 0)

    def send_subscribe(
        self, client: Client, wanted: SubscribeFilter, identifier: int, code: int | None = None
    ) -> None:
        assert client.device is not None
        properties = Properties(subscription_identifiers=(identifier,) if identifier else ())
        client.device.send(Subscribe(client.packet_id(), (wanted,), properties))
        assert client.device.one(Suback).codes == (wanted.qos if code is None else code,)
        self.settle()

    @rule(which=st.integers(0, 3), filter=st.sampled_from(FILTERS))
    def unsubscribe(self, which: int, filter: str) -> None:
        client = self.someone(which)
        assert client.device is not None
        self.reference.unsubscribe(client.slot, filter)
        client.device.send(Unsubscribe(client.packet_id(), (filter,)))
        self.settle()

    @rule(which=st.integers(0, 3), group=st.sampled_from(GROUPS))
    def unshare(self, which: int, group: tuple[str, str]) -> None:
        client = self.someone(which)
        assert client.device is not None
        self.reference.unshare(client.slot, group)
        client.device.send(Unsubscribe(client.packet_id(), (f"$share/{group[0]}/{group[1]}",)))
        self.settle()

    # Messages ----------------------------------------------------------------------------------------

    @rule(
        which=st.integers(0, 3),
        topic=st.sampled_from(TOPICS + JOBS),
        qos=levels,
        retain=st.booleans(),
        expiry=st.sampled_from([None, None, 3]),
        again=st.integers(0, 2),
        broken=st.booleans(),
    )
    def publish(
        self, which: int, topic: str, qos: int, retain: bool, expiry: int | None, again: int, broken: bool
    ) -> None:
        client = self.someone(which)
        retain = retain and topic in TOPICS
        if client.version == 4:
            expiry = None
        number = self.reference.number(client.slot)
        expires_at = math.inf if expiry is None else self.reference.now + expiry
        allowed = self.reference.publish(number, client.slot, topic, qos, retain, expires_at)
        packet_id = client.packet_id() if qos else 0
        options = {"message_expiry_interval": expiry} if expiry is not None else {}
        payload = str(number).encode()

        def data(dup: bool) -> bytes:
            return publish(
                client.version,
                topic,
                payload,
                qos=qos,
                retain=retain,
                packet_id=packet_id,
                dup=dup,
                **options,
            )

        self.exchange(client, data(False), qos, allowed)
        if qos == 2 and (allowed or client.version == 4):
            if broken and self.reference.sessions[client.slot].kept_s:
                self.reconnect(client)
            for _ in range(again):
                self.exchange(client, data(True), qos, True)
            self.exchange(client, Ack(PacketType.PUBREL, packet_id), 3, True)

    def exchange(self, client: Client, data: bytes | Ack, step: int, allowed: bool) -> None:
        """Send and expect the acknowledgement that belongs to it: PUBACK, PUBREC or PUBCOMP."""
        assert client.device is not None
        client.device.send(data)
        found = client.device.take()
        kinds = [PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBCOMP]
        acks = [p for p in found if isinstance(p, Ack) and p.packet_type in kinds]
        for packet in found:
            client.receive(packet)
        self.settle()
        if step == 0:
            assert acks == []
            return
        [ack] = acks
        assert ack.packet_type == kinds[step - 1]
        if client.version == 5:
            assert (ack.reason_code >= 0x80) == (not allowed)

    def reconnect(self, client: Client) -> None:
        """The network breaks, and the client is back at once, in the middle of its exchange."""
        assert client.device is not None
        self.reference.lose(client.slot)
        client.device.drop()
        self.settle()
        present = self.reference.connect(client.slot, False, KEPT_S, None)
        assert present
        self.enter(client.slot, client.version, False, True, client.window, None, 0, True)

    @rule(which=st.integers(0, 3), count=st.integers(1, 5))
    def acknowledge(self, which: int, count: int) -> None:
        self.someone(which).acknowledge(count)
        self.settle()

    # What always holds -------------------------------------------------------------------------------

    @invariant()
    def qos_0_has_reached_who_is_there(self) -> None:
        for client in self.clients.values():
            if client.online:
                owed = self.reference.sessions[client.slot].owed
                assert not [e for e in owed if e.qos == 0 and not e.retain and not e.optional]

    @invariant()
    def sessions_are_those_of_the_reference(self) -> None:
        found = {(session.principal, session.client_id): session for session in self.house.broker.sessions()}
        assert set(found) == set(self.reference.sessions)
        for slot, session in self.reference.sessions.items():
            assert (found[slot].connection is not None) == session.online == self.clients[slot].online
            shared = {f"$share/{name}/{filter}" for name, filter in session.shares}
            assert set(found[slot].subscriptions) == set(session.wishes) | shared

    @invariant()
    def retained_messages_are_those_of_the_reference(self) -> None:
        found = {message.name: int(message.payload) for message in self.house.broker.core.retained}
        assert found == {topic: kept.number for topic, kept in self.reference.retained.items()}

    @invariant()
    def memory_is_accounted_for(self) -> None:
        core = self.house.broker.core
        sessions = list(self.house.broker.sessions())
        assert core.tree.count + core.tree.shared_count == sum(len(s.subscriptions) for s in sessions)
        for session in sessions:
            queue = list(session.queue or ())
            assert session.waiting == len(queue)
            assert session.queue_bytes == sum(delivery.message.size + ENTRY_BYTES for delivery in queue)
            assert queue or session.queue is None
        # At most a keep-alive, an expiry and a will for each session, and one for each retained message.
        assert len(core.deadlines) <= 3 * len(sessions) + core.retained.count
        assert core.holding == {}
        assert len(core.admissions) == 0

    # The end -----------------------------------------------------------------------------------------

    def teardown(self) -> None:
        for slot, session in list(self.reference.sessions.items()):
            if not session.online:
                self.connect_kept(slot)
        self.finish_everything()
        for session in self.reference.sessions.values():
            assert not [entry for entry in session.owed if not entry.optional]
        for job in self.reference.jobs.values():
            assert job.optional or len(job.holders) == len(job.members)
        for client in self.clients.values():
            if client.slot in self.reference.sessions:
                assert not [one for one in client.pending.values() if not one.optional]
        for slot in SLOTS:
            self.reference.connect(slot, True, 0, None)
            self.house.connect(slot[1], principal=slot[0], clean=True).leave()
        core = self.house.broker.core
        assert core.sessions == {}
        assert core.replays == {}
        assert (core.tree.count, core.tree.shared_count) == (0, 0)
        assert core.counters.clients_connected == 0
        assert len(core.deadlines) <= core.retained.count

    def finish_everything(self) -> None:
        for _ in range(1000):
            busy = [client for client in self.clients.values() if client.online and client.in_flight]
            if not busy:
                return
            for client in busy:
                client.acknowledge(100)
            self.settle()
        raise AssertionError("the exchanges never end")


class DurableWorld(World):
    """The same with a disk: everything goes through the journal's gate."""

    durable = True

    @rule(
        which=st.integers(0, 3),
        topic=st.sampled_from(TOPICS),
        qos=st.integers(1, 2),
        retain=st.booleans(),
        breaks=st.booleans(),
        hurries=st.booleans(),
    )
    def publish_while_the_disk_is_busy(
        self, which: int, topic: str, qos: int, retain: bool, breaks: bool, hurries: bool
    ) -> None:
        client = self.someone(which)
        assert client.device is not None
        number = self.reference.number(client.slot)
        allowed = self.reference.publish(number, client.slot, topic, qos, retain, math.inf)
        packet_id = client.packet_id()
        self.house.commits = False
        client.device.send(
            publish(client.version, topic, str(number).encode(), qos=qos, retain=retain, packet_id=packet_id)
        )
        early = self.acks_of(client)
        promised = retain or any(
            session.kept_s and any(entry.number == number and entry.qos for entry in session.owed)
            for session in self.reference.sessions.values()
        )
        if allowed and promised:
            assert early == [], "acknowledged before it was on disk"
        if hurries:
            # What need not wait for the disk may overtake what does.
            number = self.reference.number(client.slot)
            self.reference.publish(number, client.slot, topic, 0, False, math.inf)
            client.device.send(publish(client.version, topic, str(number).encode()))
        self.house.commits = True
        self.settle_with(client, early, qos, packet_id, breaks)

    def acks_of(self, client: Client) -> list[Ack]:
        """The acknowledgements that came; everything else is received."""
        assert client.device is not None
        found = client.device.take()
        for packet in found:
            client.receive(packet)
        sent = [PacketType.PUBACK, PacketType.PUBREC]
        return [p for p in found if isinstance(p, Ack) and p.packet_type in sent]

    def settle_with(self, client: Client, early: list[Ack], qos: int, packet_id: int, breaks: bool) -> None:
        self.house.settle()
        acks = early + self.acks_of(client)
        assert len(acks) == 1
        self.settle()
        if qos == 2 and acks[0].reason_code < 0x80:
            assert client.device is not None
            if breaks and self.reference.sessions[client.slot].kept_s:
                self.reconnect(client)
            self.exchange(client, Ack(PacketType.PUBREL, packet_id), 3, True)


QUICK = settings(max_examples=15, stateful_step_count=40, deadline=None)
LONG = settings(max_examples=300, stateful_step_count=50, deadline=None)


def test_a_broker_without_a_disk_does_what_the_reference_says() -> None:
    run_state_machine_as_test(World, settings=QUICK)


def test_a_broker_with_a_disk_does_what_the_reference_says() -> None:
    run_state_machine_as_test(DurableWorld, settings=QUICK)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("world", [World, DurableWorld])
def test_long_lives_do_what_the_reference_says(world: type[World]) -> None:
    run_state_machine_as_test(world, settings=LONG)
