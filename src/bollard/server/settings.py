"""The table of configuration keys: one row says what a key is called, takes, bounds and is for.

`load.py` reads files by it and the configuration reference is printed from it, so the three cannot
differ. Defaults of limits stand in the classes that hold them and are looked up there.
"""

from dataclasses import dataclass, fields

from bollard.engine.limits import Limits
from bollard.net.gate import TransportLimits


@dataclass(frozen=True, slots=True)
class Setting:
    """One key. `kind` names a reader in `load.py`; `default` is how the reference shows it.

    `low` and `high` bound numbers (inclusive); `choices` are all values of a choice.
    """

    key: str
    kind: str
    help: str
    default: str = ""
    low: float = 0
    high: float = float("inf")
    choices: tuple[str, ...] = ()


ROOT = (
    Setting(
        "state_dir", "path", "Where authorities, registry and control socket live.", "the file's own folder"
    ),
    Setting("policy", "path", "Who may do what; a relative path starts at this file.", '"policy.toml"'),
    Setting("public_name", "host", "Name or address that devices are told to connect to.", "found at start"),
    Setting("names", "hosts", "Further names and addresses for the server certificates.", "[]"),
    Setting(
        "sys_interval_s",
        "duration",
        "How often the `$SYS` topics are published; 0 turns them off.",
        "10",
        high=86_400,
    ),
    Setting(
        "response_information",
        "text",
        "MQTT 5.0: what CONNACK gives a client that asks where to take answers; `${id}` is its identity.",
        '""',
    ),
    Setting(
        "server_reference",
        "text",
        "MQTT 5.0: send every client away to this server, `host[:port]`, with 0x9C.",
        '""',
    ),
    Setting(
        "allow_human_passwords",
        "flag",
        "Let passwords count that people chose (`bollard devices password`), or that were imported.",
        "false",
    ),
    Setting("listener", "tables", "One `[[listener]]` for each address.", "one, TLS, on 0.0.0.0:8883"),
    Setting("limits", "table", "Bounds, each on by default."),
    Setting("metrics", "table", "Prometheus."),
    Setting("est", "table", "Enrollment over HTTPS (EST, RFC 7030)."),
    Setting("log", "table", "What is written to standard error."),
    Setting("store", "table", "Kept sessions, what they are owed, and retained messages."),
    Setting("audit", "table", "The audit log: what changed, and what was denied."),
    Setting("authorities", "table", "The passphrase of the authorities' keys."),
)

LISTENER = (
    Setting("bind", "address", 'Where to listen: `"ADDRESS:PORT"` or `"unix:PATH"`.', "required"),
    Setting(
        "transport",
        "choice",
        "What is spoken inside TLS: MQTT itself (`tls`), or MQTT over WebSocket.",
        '"tls"',
        choices=("tls", "websocket"),
    ),
    Setting("origins", "texts", "WebSocket: the origins whose pages may connect.", "[]"),
    Setting(
        "psk",
        "flag",
        "TLS with pre-shared keys (`bollard devices psk`) in place of certificates. Python 3.13 or newer.",
        "false",
    ),
    Setting(
        "allow_plaintext", "flag", "Speak without TLS. Refused off loopback without the next key.", "false"
    ),
    Setting("allow_plaintext_from", "networks", "Networks beside loopback that may speak plaintext.", "[]"),
    Setting(
        "allow_anonymous", "flag", "Take clients without credentials as the principal `anonymous`.", "false"
    ),
)

METRICS = (
    Setting(
        "bind",
        "address",
        "Where `/metrics` is served, on loopback. The file that the first run writes has "
        "`127.0.0.1:9464`; without the key it is off.",
        "off",
    ),
    Setting("allow_remote", "flag", "Serve metrics, which need no password, off loopback too.", "false"),
)

EST = (Setting("bind", "address", "Where EST is served, with the certificates of the TLS listeners.", "off"),)

LOG = (
    Setting(
        "format", "choice", "Lines for people, or one JSON object a line.", '"text"', choices=("text", "json")
    ),
    Setting(
        "level",
        "choice",
        "The least that is written.",
        '"info"',
        choices=("debug", "info", "warning", "error"),
    ),
)

STORE = (
    Setting(
        "allow_relaxed_durability",
        "flag",
        "Acknowledge before the disk has confirmed: a power failure may lose the last seconds.",
        "false",
    ),
    Setting(
        "max_store_bytes", "size", "The largest that `sessions.db` may grow; 0 is no bound.", "0", high=2**40
    ),
)

AUDIT = (
    Setting(
        "max_log_bytes",
        "size",
        "How much of the audit log is kept; then its oldest part goes.",
        '"64MiB"',
        low=65_536,
        high=2**40,
    ),
)

AUTHORITIES = (
    Setting(
        "unlock",
        "choice",
        "What opens the keys: a passphrase in a file or in the systemd credential `bollard-ca`, a person who is "
        "asked at the start, or a PKCS#11 token that holds them. `bollard authority unlock` moves from one to "
        "another; `credential` is set here by hand.",
        '"file"',
        choices=("file", "credential", "prompt", "pkcs11"),
    ),
    Setting("pass_file", "path", "With `file`: the file with the passphrase.", "`ca.pass` in `state_dir`"),
    Setting("pkcs11_module", "path", "With `pkcs11`: the shared library of the token.", "none"),
    Setting("pkcs11_token", "text", "With `pkcs11`: the label of the token.", "none"),
    Setting(
        "pin_from",
        "choice",
        "With `pkcs11`: where the PIN is: a person who is asked at the start, a file, or the systemd credential "
        "`bollard-pin`.",
        '"prompt"',
        choices=("prompt", "file", "credential"),
    ),
    Setting("pin_file", "path", 'With `pin_from = "file"`: the file with the PIN, 0600.', "none"),
)

MAX_U16 = 65_535
MAX_PACKET_BYTES = 268_435_460

#: What each limit stops, and the bounds of the limit itself.
LIMITS = (
    Setting("max_connections", "integer", "Exhausting file descriptors and memory.", low=1, high=1_000_000),
    Setting("max_connections_per_address", "integer", "One host taking every place.", low=1, high=1_000_000),
    Setting(
        "connection_rate_per_address",
        "integer",
        "A host that connects without end, a second.",
        low=1,
        high=10**6,
    ),
    Setting("connection_burst_per_address", "integer", "The same, at once.", low=1, high=10**7),
    Setting(
        "max_guesses",
        "integer",
        "Guessing: wrong credentials of one address for one identity before delays.",
        low=1,
        high=1000,
    ),
    Setting(
        "max_guesses_per_address", "integer", "The same for all identities together.", low=1, high=100_000
    ),
    Setting("guess_delay_max_s", "duration", "Guessing: what the delays grow to.", low=1, high=3600),
    Setting(
        "connection_rate_per_client",
        "integer",
        "Flapping: an identity that connects again and again with one client identifier, a second.",
        low=1,
        high=10**6,
    ),
    Setting("connection_burst_per_client", "integer", "The same, at once.", low=1, high=10**6),
    Setting(
        "connection_rate_per_identity", "integer", "The same with any client identifier.", low=1, high=10**6
    ),
    Setting("connection_burst_per_identity", "integer", "The same, at once.", low=1, high=10**6),
    Setting("flapping_pause_max_s", "duration", "Flapping: what the pauses grow to.", low=1, high=3600),
    Setting(
        "packet_rate_per_identity",
        "integer",
        "An identity that floods the broker: packets a second; above, it is read more slowly. A WebSocket frame "
        "counts as 64.",
        low=1,
        high=10**9,
    ),
    Setting("byte_rate_per_identity", "size", "The same in bytes.", low=64, high=2**40),
    Setting("packet_rate_per_address", "integer", "The same for one host.", low=1, high=10**9),
    Setting("byte_rate_per_address", "size", "The same for one host, in bytes.", low=64, high=2**40),
    Setting(
        "traffic_burst_s", "duration", "Seconds of these rates that may come at once.", low=0.1, high=3600
    ),
    Setting("max_handshakes", "integer", "Connections held open by strangers.", low=1, high=1_000_000),
    Setting(
        "max_handshake_bytes", "size", "What strangers have sent of their CONNECTs, together.", low=65_536
    ),
    Setting("handshake_timeout_s", "duration", "Peers that stall inside the handshake.", low=0.05, high=300),
    Setting("close_timeout_s", "duration", "Peers that never take our last bytes.", low=0.05, high=300),
    Setting("connect_timeout_s", "duration", "Peers that connect and then say nothing.", low=0.05, high=300),
    Setting(
        "max_connect_bytes", "size", "Large packets before anybody is authenticated.", low=64, high=2**20
    ),
    Setting("max_packet_bytes", "size", "One packet that fills the memory.", low=64, high=MAX_PACKET_BYTES),
    Setting("keepalive_max_s", "duration", "Dead connections that are never noticed.", low=1, high=MAX_U16),
    Setting(
        "session_expiry_max_s", "duration", "Sessions kept for clients that never return.", high=2**32 - 2
    ),
    Setting(
        "receive_maximum", "integer", "Unfinished QoS 1 and 2 messages from one client.", low=1, high=MAX_U16
    ),
    Setting("max_inflight", "integer", "Unacknowledged messages to one client.", low=1, high=MAX_U16),
    Setting("max_queue_messages", "integer", "A queue that grows while a client is away.", low=1, high=10**9),
    Setting(
        "max_queue_bytes",
        "size",
        "The same, in bytes: topic, payload, properties, and 384 for each message.",
        low=1024,
        high=2**40,
    ),
    Setting(
        "max_principal_queue_bytes",
        "size",
        "The same for all sessions of one principal together.",
        low=1024,
        high=2**50,
    ),
    Setting(
        "max_outbox_bytes",
        "size",
        "A slow reader that makes the broker hold its output. The connections of one principal divide "
        "`max_principal_queue_bytes` among them, but each has room for one packet.",
        low=1024,
        high=2**40,
    ),
    Setting(
        "topic_alias_maximum", "integer", "Aliases that a client makes the broker remember.", high=MAX_U16
    ),
    Setting("max_client_id_bytes", "size", "Long names, kept with every session.", low=23, high=MAX_U16),
    Setting("max_topic_levels", "integer", "Topics whose depth makes matching slow.", low=1, high=1024),
    Setting("max_topic_bytes", "size", "Long topics, held in every index.", low=1, high=MAX_U16),
    Setting(
        "max_subscriptions", "integer", "One session that fills the subscription tree.", low=1, high=10**7
    ),
    Setting(
        "max_principal_subscriptions",
        "integer",
        "One principal that does so with many sessions.",
        low=1,
        high=10**9,
    ),
    Setting("max_sessions", "integer", "One principal that opens sessions without end.", low=1, high=10**7),
    Setting("max_retained_messages", "integer", "Filling the retained store.", high=10**9),
    Setting("max_retained_bytes", "size", "The same, in bytes.", high=2**40),
    Setting("max_principal_retained", "integer", "One principal that fills the retained store.", high=10**9),
    Setting("max_principal_retained_bytes", "size", "The same, in bytes.", high=2**40),
    Setting("max_will_delay_s", "duration", "Wills kept for longer than anybody waits.", high=2**32 - 1),
    Setting("maximum_qos", "integer", "The highest quality of service that is offered.", high=2),
    Setting("retain_available", "flag", "Whether messages may be retained at all."),
)


def limit_default(key: str) -> object:
    """The default of a key of `[limits]`, from the class that holds it."""
    for holder in (Limits, TransportLimits):
        for entry in fields(holder):
            if entry.name == key:
                return entry.default
    raise KeyError(key)
