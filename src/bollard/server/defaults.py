"""The text of the `bollard.toml` that the first run writes. It teaches by its comments.

Everything that is commented out shows the default, so that removing the `#` alone changes nothing but
what the comment says.
"""

import json

from bollard.identity.unlock import BY_FILE, Unlock
from bollard.server.config import Address

CONFIG_TEMPLATE = """\
# Bollard's configuration. It is read whole before anything starts; a mistake is told with its line.
# Check it after an edit: bollard check --config bollard.toml
# What weakens the broker begins with allow_, is off, and is named at every start.

policy = "policy.toml"              # who may do what; SIGHUP, or saving the file, applies it

# public_name = "broker.example"    # what devices are told to connect to; else an address found at start
# names = ["broker.example"]        # further names and addresses for the server certificates
# sys_interval_s = 10               # $SYS topics; 0 turns them off

[[listener]]
bind = "{bind}"            # TLS

# MQTT over WebSocket, inside TLS, for pages of these origins:
# [[listener]]
# bind = "0.0.0.0:8884"
# transport = "websocket"
# origins = ["https://console.example"]

# Without TLS, for this machine only:
# [[listener]]
# bind = "127.0.0.1:1883"
# allow_plaintext = true
# allow_anonymous = true            # as "anonymous", which has only what policy.toml grants it

# For programs on this machine, by the rights of the file:
# [[listener]]
# bind = "unix:mqtt.sock"

[metrics]
bind = "127.0.0.1:9464"             # Prometheus: http://127.0.0.1:9464/metrics

# Enrollment over HTTPS, for devices that speak EST (RFC 7030):
# [est]
# bind = "0.0.0.0:8443"

[log]
format = "text"                     # or "json"
level = "info"                      # debug, info, warning, error

# Every bound has a default; the reference lists them all with what each of them stops.
# [limits]
# max_packet_bytes = "1MiB"
# max_connections_per_address = 1000
"""


def config_text(bind: Address, unlock: Unlock = BY_FILE) -> str:
    """The commented configuration with one TLS listener on `bind`; `unlock` opens the authorities' keys."""
    text = CONFIG_TEMPLATE.format(bind=bind)
    return text if unlock == BY_FILE else f"{text}\n{as_text(unlock)}"


def as_settings(unlock: Unlock) -> dict[str, str]:
    """The keys of [authorities] that say `unlock`."""
    found = {"unlock": unlock.way}
    if unlock.pass_file is not None:
        found["pass_file"] = str(unlock.pass_file)
    if unlock.token is not None:
        token = unlock.token
        found |= {
            "pkcs11_module": str(token.module),
            "pkcs11_token": token.label,
            "pin_from": token.pin_from,
        }
        if token.pin_file is not None:
            found["pin_file"] = str(token.pin_file)
    return found


def as_text(unlock: Unlock) -> str:
    """[authorities] as one would write it."""
    # A string of JSON is one of TOML: control characters are not in settings.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in as_settings(unlock).items()]
    return "\n".join(["[authorities]", *lines, ""])
