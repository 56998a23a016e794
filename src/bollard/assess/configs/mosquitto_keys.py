"""The directives of mosquitto.conf: what each takes, whom it belongs to, since when, and what it is by default.

Data only. How lines become settings is in mosquitto.py.
"""

from dataclasses import dataclass

#: Versions whose defaults are known, oldest first.
VERSIONS = ("2.0", "2.1")

HIDDEN = "(hidden)"


@dataclass(frozen=True, slots=True)
class Directive:
    """`kind` is flag, integer, text, word, words, or duration. `scope` says whose it is: the broker's (general),
    a listener's, a bridge's, or security: a listener's under per_listener_settings and else the broker's.

    `many` may be repeated, all of them count; of others the last one does.
    """

    kind: str
    scope: str
    since: str = "2.0"
    many: bool = False
    secret: bool = False


def _rows(scope: str, kind: str, names: str, **more: object) -> dict[str, Directive]:
    return {name: Directive(kind, scope, **more) for name in names.split()}  # type: ignore[arg-type]  # by name


DIRECTIVES: dict[str, Directive] = {
    **_rows(
        "general",
        "flag",
        "allow_duplicate_messages autosave_on_changes check_retain_source connection_messages log_timestamp "
        "per_listener_settings persistence retained_persistence queue_qos0_messages retain_available "
        "set_tcp_nodelay upgrade_outgoing_qos",
    ),
    **_rows(
        "general",
        "integer",
        "autosave_interval max_inflight_bytes max_inflight_messages max_keepalive max_packet_size max_queued_bytes "
        "max_queued_messages memory_limit message_size_limit sys_interval websockets_log_level "
        "websockets_headers_size log_facility retry_interval",
    ),
    **_rows(
        "general",
        "integer",
        "global_max_clients global_max_connections retain_expiry_interval packet_buffer_size packet_max_auth "
        "packet_max_connect packet_max_sub packet_max_simple",
        since="2.1",
    ),
    **_rows("general", "flag", "enable_control_api", since="2.1"),
    **_rows(
        "general",
        "text",
        "clientid_prefixes log_timestamp_format persistence_file persistence_location pid_file user",
    ),
    **_rows("general", "duration", "persistent_client_expiration"),
    **_rows("general", "words", "log_dest log_type", many=True),
    **_rows("general", "text", "include_dir", many=True),
    **_rows("security", "flag", "allow_anonymous allow_zero_length_clientid"),
    **_rows("security", "text", "acl_file password_file psk_file auto_id_prefix"),
    **_rows(
        "listener",
        "flag",
        "require_certificate use_identity_as_username use_subject_as_username use_username_as_clientid",
    ),
    **_rows(
        "listener",
        "flag",
        "listener_allow_anonymous disable_client_cert_date_checks proxy_protocol_v2_require_tls",
        since="2.1",
    ),
    **_rows("listener", "integer", "max_connections max_qos maximum_qos max_topic_alias port"),
    **_rows("listener", "integer", "max_topic_alias_broker enable_proxy_protocol", since="2.1"),
    **_rows(
        "listener",
        "text",
        "bind_address bind_interface cafile capath certfile ciphers ciphers_tls1.3 crlfile dhparamfile http_dir "
        "keyfile mount_point psk_hint tls_engine tls_keyform tls_version",
    ),
    **_rows("listener", "text", "tls_engine_kpass_sha1", secret=True),
    **_rows("listener", "text", "accept_protocol_versions listener_auto_id_prefix", since="2.1"),
    **_rows("listener", "text", "websockets_origin", since="2.1", many=True),
    **_rows("listener", "word", "protocol socket_domain"),
    **_rows("listener", "words", "listener", many=True),
    **_rows("bridge", "words", "connection", many=True),
    **_rows("bridge", "words", "topic", many=True),
    **_rows("bridge", "words", "address addresses restart_timeout bridge_tcp_keepalive"),
    **_rows(
        "bridge",
        "flag",
        "bridge_attempt_unsubscribe bridge_insecure bridge_outgoing_retain bridge_require_ocsp cleansession "
        "local_cleansession notifications notifications_local_only round_robin try_private",
    ),
    **_rows("bridge", "flag", "bridge_tls_use_os_certs", since="2.1"),
    **_rows(
        "bridge",
        "integer",
        "bridge_max_packet_size bridge_max_topic_alias bridge_tcp_user_timeout idle_timeout keepalive_interval "
        "threshold",
    ),
    **_rows("bridge", "integer", "bridge_receive_maximum bridge_session_expiry_interval", since="2.1"),
    **_rows(
        "bridge",
        "text",
        "bridge_alpn bridge_bind_address bridge_cafile bridge_capath bridge_certfile bridge_identity "
        "bridge_keyfile bridge_protocol_version bridge_tls_version clientid local_clientid local_username "
        "notification_topic remote_clientid remote_username username",
    ),
    **_rows("bridge", "text", "bridge_ciphers bridge_ciphers_tls1.3", since="2.1"),
    **_rows("bridge", "word", "bridge_reload_type start_type"),
    **_rows("bridge", "text", "bridge_psk local_password password remote_password", secret=True),
    **_rows("plugin", "text", "auth_plugin plugin", many=True),
    **_rows("plugin", "text", "global_plugin", since="2.1", many=True),
    **_rows("plugin", "words", "plugin_load plugin_use", since="2.1", many=True),
    **_rows("plugin", "flag", "auth_plugin_deny_special_chars"),
}

#: What is in effect where nothing is written, where that matters here; by version if it changed.
DEFAULTS: dict[str, str | dict[str, str]] = {
    "allow_zero_length_clientid": "true",
    "check_retain_source": "true",
    "connection_messages": "true",
    "max_connections": "-1",
    "max_inflight_messages": "20",
    "max_keepalive": {"2.0": "65535", "2.1": "0"},
    "max_packet_size": {"2.0": "0", "2.1": "2000000"},
    "max_qos": "2",
    "max_queued_bytes": "0",
    "max_queued_messages": "1000",
    "max_topic_alias": "10",
    "memory_limit": "0",
    "message_size_limit": "0",
    "persistence": "false",
    "protocol": "mqtt",
    "retain_available": "true",
    "sys_interval": "10",
    "tls_version": "tlsv1.2",
    "user": "mosquitto",
}

#: Other spellings of the same directive.
SAME = {"maximum_qos": "max_qos", "addresses": "address", "password": "remote_password"}


def default(key: str, version: str) -> str:
    """The default of `key` in `version`, "" for none that is known."""
    directive = DIRECTIVES.get(key)
    found = DEFAULTS.get(key, "false" if directive and directive.kind == "flag" else "")
    return found if isinstance(found, str) else found[version]
