"""Every bound of the engine, each named by what it bounds. Defaults are safe; configuration may change them."""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds that the engine keeps. Units are in the names.

    Connection: `max_connect_bytes` holds until a peer is authenticated (attack: a huge length declared
    before CONNECT), `max_packet_bytes` after; `connect_timeout_s` runs from accept to CONNACK (slowloris);
    `keepalive_max_s` is the ceiling of Keep Alive, also for clients that ask for none (slots held by the
    silent); `max_outbox_bytes` is what may wait for a client that does not read.

    Flow: `receive_maximum` bounds unfinished QoS 1 and 2 messages from a client, `max_inflight` those to
    it; `topic_alias_maximum` aliases, each way.

    Kept state: `session_expiry_max_s` caps Session Expiry Interval (session hoarding), `max_will_delay_s` Will Delay
    Interval; `max_sessions` is per principal; `max_subscriptions`, `max_queue_messages` and `max_queue_bytes` are per
    session, the latter also for what was sent and not acknowledged. A principal with many sessions (one that
    multiplies what a session may hold) has `max_principal_subscriptions` and `max_principal_queue_bytes` to divide
    among them, and so have the outputs of its connections, each of which keeps room for one packet;
    `max_retained_messages` and `max_retained_bytes` are for the server, `max_principal_retained` and
    `max_principal_retained_bytes` for one principal (one that fills the store for everybody).

    Topics: `max_topic_levels` and `max_topic_bytes` bound names and filters (deep-topic attacks).

    Offers: `maximum_qos` and `retain_available` are what CONNACK tells clients.
    """

    max_connect_bytes: int = 64 * KIB
    max_packet_bytes: int = MIB
    connect_timeout_s: float = 10.0
    keepalive_max_s: int = 3600
    max_outbox_bytes: int = 4 * MIB
    receive_maximum: int = 1_000
    max_inflight: int = 4_000
    topic_alias_maximum: int = 32
    session_expiry_max_s: int = 7 * 86_400
    max_will_delay_s: int = 86_400
    max_sessions: int = 1_000
    max_subscriptions: int = 1_000
    max_principal_subscriptions: int = 100_000
    max_queue_messages: int = 10_000
    max_queue_bytes: int = 8 * MIB
    max_principal_queue_bytes: int = 512 * MIB
    max_retained_messages: int = 100_000
    max_retained_bytes: int = 256 * MIB
    max_principal_retained: int = 25_000
    max_principal_retained_bytes: int = 64 * MIB
    max_client_id_bytes: int = 256
    max_topic_levels: int = 32
    max_topic_bytes: int = 4_096
    maximum_qos: int = 2
    retain_available: bool = True
