"""What to do about it, by topic: a sentence for the owner, one for who does it, and the words of each product.

Shared by all checks of the same cause. Names of options are those of the products' own documentation; a product
that has no such setting has no entry.
"""

from typing import NamedTuple


class Remedy(NamedTuple):
    """`owner`: what an owner asks for. `sentence`: what a professional does. `products`: where, in each product."""

    owner: str
    sentence: str
    products: dict[str, str]


REMEDIES: dict[str, Remedy] = {
    "network": Remedy(
        "Close the server off from the Internet, so that only your own devices can reach it.",
        "Let the broker listen only where its devices are: bind it to that network, and let a firewall or a VPN "
        "keep everybody else out.",
        {
            "mosquitto": "listener 8883 192.0.2.10 (the address of the inner network)",
            "emqx": 'listeners.ssl.default.bind = "192.0.2.10:8883"',
            "nanomq": 'listeners.ssl.bind = "192.0.2.10:8883"',
            "hivemq": "<tls-tcp-listener><bind-address>192.0.2.10</bind-address>",
            "vernemq": "listener.ssl.default = 192.0.2.10:8883",
            "rabbitmq": "mqtt.listeners.ssl.1 = 192.0.2.10:8883",
            "amqtt": "listeners: default: bind: 192.0.2.10:8883",
            "bollard": 'bind = "192.0.2.10:8883" under [[listener]]',
        },
    ),
    "tls": Remedy(
        "Set up an encrypted way in, together with any new passwords, move every device to it, and close the "
        "old way last, once all have moved.",
        "Open a way in that is encrypted (TLS), move every device to it, then close the one that is not.",
        {
            "mosquitto": "listener 8883, with certfile and keyfile; remove the listener on 1883",
            "emqx": "listeners.ssl.default.ssl_options with certfile and keyfile; listeners.tcp.default.enable = false",
            "nanomq": "listeners.ssl with certfile and keyfile; remove listeners.tcp",
            "hivemq": "a <tls-tcp-listener> with a keystore; remove the <tcp-listener>",
            "vernemq": "listener.ssl.default with certfile and keyfile; remove listener.tcp.default",
            "rabbitmq": "mqtt.listeners.ssl.default = 8883 with ssl_options.*; mqtt.listeners.tcp = none",
            "amqtt": "listeners: default: ssl: on, with certfile and keyfile",
            "bollard": "take allow_plaintext out of the [[listener]]: TLS is what is left",
        },
    ),
    "authenticate": Remedy(
        "Give every device and app a name and password of its own (or a proof-of-identity file; your "
        "technician chooses), and let nobody else in.",
        "Give every device and application its own name and secret or certificate, and let nobody else in.",
        {
            "mosquitto": "allow_anonymous false, and password_file made with mosquitto_passwd",
            "emqx": "an entry in authentication (built_in_database); without one, everybody is let in",
            "nanomq": "auth.allow_anonymous = false, and auth.password",
            "hivemq": "remove the allow-all extension; install one that authenticates",
            "vernemq": "allow_anonymous = off, and vmq-passwd",
            "rabbitmq": "mqtt.allow_anonymous = false (or anonymous_login_user = none)",
            "amqtt": "leave AnonymousAuthPlugin out, or set allow_anonymous: false; add FileAuthPlugin",
            "bollard": "take allow_anonymous out of the [[listener]]; bollard enroll NAME for each device",
        },
    ),
    "throttle": Remedy(
        "Make the server slow down after a few wrong passwords, and answer every wrong guess in the same way.",
        "Answer every failed login alike, slow down after a few, and lock out an address that goes on.",
        {
            "mosquitto": "nothing built in: a firewall rule fed by the log (fail2ban), or certificates instead of passwords",
            "emqx": "flapping_detect.enable = true (from 6.3: by_clientid, by_username, by_peerhost); or certificates",
            "rabbitmq": "a proxy or firewall with a limit of connections an address",
            "bollard": "on by default; leave the limits of failed attempts as they are",
        },
    ),
    "acl": Remedy(
        "Your technician lists with you what each device needs to send and receive; the server then allows "
        "just that.",
        "Write down for each device what it has to send and to receive (its topics), allow just that, and deny the rest.",
        {
            "mosquitto": "acl_file with a pattern for each device, such as: pattern readwrite devices/%u/#",
            "emqx": "authorization.no_match = deny, and rules with ${username} or ${clientid}",
            "nanomq": "auth.no_match = deny, and rules in acl.conf",
            "hivemq": "an authorizer in an extension (file RBAC): topic permissions with ${{username}}",
            "vernemq": "vmq.acl with: pattern readwrite devices/%u/#",
            "rabbitmq": "rabbitmqctl set_topic_permissions for each user",
            "amqtt": "TopicAccessControlListPlugin with publish-acl, subscribe-acl and receive-acl",
            "bollard": "policy.toml: the template device is such a rule; bollard why NAME publish TOPIC explains it",
        },
    ),
    "admin-topics": Remedy(
        "Let only the person who looks after the server see what it tells about itself.",
        "Let only administrators see what the server tells about itself (the topics under $SYS and $CONTROL).",
        {
            "mosquitto": "no topic or pattern in acl_file that covers $SYS/# or $CONTROL/#; or sys_interval 0",
            "emqx": '{deny, all, subscribe, ["$SYS/#"]}. in acl.conf, before any rule that allows',
            "nanomq": '{"permit": "deny", "topics": ["$SYS/#"]} first in the rules',
            "vernemq": "no rule in vmq.acl that covers $SYS/#",
            "amqtt": "leave $SYS out of subscribe-acl, or leave BrokerSysPlugin out",
            "bollard": "denied unless policy.toml grants it",
        },
    ),
    "data": Remedy(
        "Keep passwords and personal data out of the messages, or encrypt them first; delete those that the server "
        "has stored.",
        "Keep secrets and personal data out of messages, or encrypt them before they are sent; clear what the server has "
        "kept of them.",
        {
            "mosquitto": "mosquitto_pub -r -n -t TOPIC clears a retained message",
            "bollard": "bollard pub TOPIC --retain with an empty message clears a retained one",
        },
    ),
    "sessions": Remedy(
        "Tie each device's name to its own password (or proof-of-identity file), so that no other can take "
        "its place.",
        "Tie the name under which a device connects (its client id) to its password or certificate, so that nobody can "
        "take its place.",
        {
            "mosquitto": "use_username_as_clientid true",
            "emqx": "mqtt.clientid_override = \"concat([username, '-', clientid])\", or an authenticator that compares both",
            "vernemq": "a plugin for auth_on_register that compares user name and client id",
            "rabbitmq": "mqtt.ssl_cert_client_id_from = distinguished_name (4.0), for clients with certificates",
            "bollard": "always so: a session belongs to identity and client id together",
        },
    ),
    "revocation": Remedy(
        "When somebody's access ends, delete what they left on the server as well.",
        "When somebody's access ends, end their connections, sessions, wills and retained messages with it.",
        {
            "mosquitto": "restart after removing a user, and delete its persistent sessions",
            "emqx": "ban the client and kick it: POST /api/v5/banned, DELETE /api/v5/clients/ID",
            "rabbitmq": "rabbitmqctl close_all_user_connections USER revoked",
            "bollard": "bollard devices revoke NAME",
        },
    ),
    "limits": Remedy(
        "Set limits in the server, so that one device or intruder cannot use up what all need.",
        "Set limits in the server, so that one device or intruder cannot use up what all need.",
        {
            "mosquitto": "max_keepalive, max_packet_size, max_connections, max_queued_bytes, persistent_client_expiration",
            "emqx": "mqtt.max_packet_size, mqtt.server_keepalive, mqtt.session_expiry_interval, mqtt.max_topic_alias",
            "nanomq": "mqtt.max_packet_size, mqtt.keepalive_multiplier, mqtt.property_size",
            "hivemq": "<mqtt><keep-alive><max-keep-alive>, <packets><max-packet-size>, <session-expiry><max-interval>",
            "vernemq": "max_message_size, persistent_client_expiration, max_online_messages, topic_max_depth",
            "rabbitmq": "mqtt.max_session_expiry_interval_seconds, mqtt.max_packet_size_authenticated, mqtt.topic_alias_maximum",
            "amqtt": "max-connections for each listener; timeout-disconnect-delay",
            "bollard": "on by default, under [limits]",
        },
    ),
    "versions": Remedy(
        "Find out which devices use the outdated version, update or replace them, and then switch it off in "
        "the server.",
        "Refuse MQTT 3.1, and update or replace the devices that speak nothing newer.",
        {
            "mosquitto": "accept_protocol_versions 4, 5 for each listener (2.1)",
            "vernemq": "listener.ssl.allowed_protocol_versions = 4,5, and so for each other kind of listener",
            "bollard": "always so",
        },
    ),
    "parser": Remedy(
        "Update the server's software: it takes garbled messages that it should refuse.",
        "Update the server software: it accepts garbled messages that it should refuse.",
        {"mosquitto": "2.0.22 or later", "emqx": "a supported release; mqtt.strict_mode = true"},
    ),
    "update": Remedy(
        "Install the current version of the server's software, and see that updates are installed from now on.",
        "Install the vendor's current release and subscribe to its security announcements.",
        {
            "mosquitto": "the distribution's updates, or a current release from mosquitto.org",
            "emqx": "a release that is still supported",
            "bollard": "pip install --upgrade bollard",
        },
    ),
    "origin": Remedy(
        "Let web pages talk to the server only if they are your own.",
        "Let browsers connect only from the web pages that you run yourself.",
        {
            "mosquitto": "websockets_origin (2.1), or a reverse proxy that checks the Origin",
            "emqx": "listeners.wss.default.websocket.check_origin_enable = true, and check_origins",
            "bollard": 'origins = ["https://console.example"] under [[listener]]',
        },
    ),
    "close": Remedy(
        "Let the control panel and the inner entrances of the server be reached only by those who look after it.",
        "Let administration and cluster ports answer only on the machine itself or in their own network.",
        {
            "emqx": 'dashboard.listeners.http.bind = "127.0.0.1:18083"',
            "nanomq": 'http_server.ip_addr = "127.0.0.1", or no http_server',
            "vernemq": "listener.http.default = 127.0.0.1:8888",
            "rabbitmq": "management.tcp.ip = 127.0.0.1; ERL_EPMD_ADDRESS=127.0.0.1",
        },
    ),
    "tls-strength": Remedy(
        "Switch off the old and weak kinds of encryption in the server, and switch on the current ones.",
        "Allow only current encryption: TLS 1.2 and 1.3, with forward secrecy and authenticated ciphers.",
        {
            "mosquitto": "tls_version tlsv1.2 (the lowest), ciphers ECDHE+AESGCM:ECDHE+CHACHA20",
            "emqx": 'listeners.ssl.default.ssl_options.versions = ["tlsv1.3", "tlsv1.2"], and ciphers',
            "hivemq": "<protocols><protocol>TLSv1.3</protocol>…, <cipher-suites>",
            "vernemq": "listener.ssl.tls_version = tlsv1.2, listener.ssl.ciphers",
            "rabbitmq": "ssl_options.versions.1 = tlsv1.3, ssl_options.versions.2 = tlsv1.2, ssl_options.ciphers.*",
            "bollard": "always so",
        },
    ),
    "certificate": Remedy(
        "Get the server a new identity card: from an issuer that your devices know, with the right name, a strong "
        "key, and automatic renewal.",
        "Issue a new server certificate: from an authority that the devices know, with the server's name in it (as a "
        "subjectAltName), a strong key, and a renewal that happens by itself.",
        {
            "mosquitto": "certfile, keyfile; reload with SIGHUP",
            "emqx": "listeners.ssl.default.ssl_options.certfile and keyfile",
            "hivemq": "the keystore of the <tls-tcp-listener>",
            "vernemq": "listener.ssl.certfile, listener.ssl.keyfile",
            "rabbitmq": "ssl_options.certfile, ssl_options.keyfile",
            "amqtt": "certfile and keyfile of the listener",
            "bollard": "names in bollard.toml say what the certificate covers; it renews itself",
        },
    ),
    "mtls": Remedy(
        "Let the server check the identity card of every device before it lets it in.",
        "Require a client certificate of your own authority, and check its chain and dates.",
        {
            "mosquitto": "require_certificate true, cafile (your device authority), use_identity_as_username true",
            "emqx": "ssl_options.verify = verify_peer, fail_if_no_peer_cert = true, cacertfile",
            "nanomq": "listeners.ssl.verify_peer = true, fail_if_no_peer_cert = true",
            "hivemq": "<client-authentication-mode>REQUIRED</client-authentication-mode> and a truststore",
            "vernemq": "listener.ssl.require_certificate = on, listener.ssl.use_identity_as_username = on",
            "rabbitmq": "ssl_options.verify = verify_peer, ssl_options.fail_if_no_peer_cert = true",
            "bollard": "bollard enroll NAME --certificate",
        },
    ),
    "post-quantum": Remedy(
        "Nothing urgent: with one of the next updates, ask for encryption that withstands the computers of the "
        "future.",
        "Update the encryption library to one with hybrid key exchange (OpenSSL 3.5 or later), where it is on by default.",
        {},
    ),
    "exposed-credentials": Remedy(
        "Take every password that was seen as known to strangers: encrypt the device's connection first, then give "
        "it a new password.",
        "Take every password and token that was seen as known to strangers: move the device to an encrypted connection "
        "(TLS) first, then give it a new one.",
        {
            "mosquitto": "mosquitto_passwd FILE NAME, then SIGHUP; close the listener without TLS",
            "emqx": "PUT /api/v5/authentication/password_based:built_in_database/users/NAME",
            "rabbitmq": "rabbitmqctl change_password NAME NEW",
            "bollard": "bollard devices rotate NAME",
        },
    ),
    "own-credentials": Remedy(
        "Give each device a password (or proof-of-identity file) of its own, so that one of them can be shut "
        "out alone.",
        "Give each device a name and a secret or certificate of its own, so that one of them can be shut out alone.",
        {
            "mosquitto": "one line of mosquitto_passwd for each device",
            "bollard": "bollard enroll NAME for each device",
        },
    ),
    "register": Remedy(
        "Compare the list with what you own; find out what each unknown device is, or take it off the network.",
        "Compare the list with what you own; find out what each unknown device is, or take it off the network.",
        {"bollard": "bollard devices lists those that have an identity"},
    ),
    "no-fallback": Remedy(
        "Ask for a setting or an update that makes the device try again later with encryption, and never go on "
        "without.",
        "Let the device try again with TLS, later and later, and never without; close the ways in that are not encrypted.",
        {
            "mosquitto": "remove the listener on 1883",
            "bollard": "there is no way in without TLS unless you allow one",
        },
    ),
    "verify-server": Remedy(
        "Ask for a setting or an update that makes the device check the server's identity card each time: its "
        "issuer, name and dates.",
        "Let the device check the server's certificate each time: its authority, its name and its dates.",
        {"bollard": "bollard enroll NAME --for RECIPE prints such settings for many kinds of devices"},
    ),
    "watch": Remedy(
        "Find out who it was; block whoever guesses, and give the devices different names.",
        "Find out who it was; block an address that guesses, and give devices that share a client id different ones.",
        {
            "mosquitto": "a firewall rule fed by the log (fail2ban)",
            "emqx": "flapping_detect.enable = true",
            "bollard": "on by default; bollard log shows who was refused and why",
        },
    ),
    "segment": Remedy(
        "Put such devices into a network of their own, and ask their maker what is sent there and why.",
        "Put such devices into a network of their own, let them reach only the servers that they need, and ask the maker "
        "what is sent there.",
        {},
    ),
    "modes": Remedy(
        "Let nobody but the server read and change its files.",
        "Give the directory and all in it to the user that the broker runs as, and to nobody else.",
        {"bollard": "chown -R bollard: STATE; chmod -R go= STATE"},
    ),
    "renewal": Remedy(
        "Keep the server running, so that it renews its identity cards by itself, and replace the one that it "
        "cannot renew.",
        "Let the broker run, so that it renews its certificates; replace an authority while the old one still holds.",
        {"bollard": "bollard authority show; bollard authority rotate"},
    ),
    "store": Remedy(
        "Restart the server, which saves what can be read, then have the disk and the memory of the computer "
        "checked.",
        "Restart the broker: it saves what can be read. Then look for the cause: the disk, the memory, the power.",
        {"bollard": "bollard store check; bollard store restore BACKUP"},
    ),
    "backup": Remedy(
        "Have a copy made every day on another computer, and try once whether it can be restored.",
        "Copy the store every day to another machine, and try once whether the copy can be restored.",
        {"bollard": "bollard store backup FILE, from a timer; bollard doctor --backup FILE judges it"},
    ),
    "policy": Remedy(
        "Read the remarks in the part for professionals, and repair or remove the rules that they are about.",
        "Read each remark, and repair or remove the rule that it is about.",
        {"bollard": "bollard policy check; bollard why NAME publish TOPIC"},
    ),
    "options": Remedy(
        "Switch the protection on again, or write down why it is off and until when.",
        "Take the option out again, or accept the risk with a reason and an end.",
        {"bollard": "remove the line that begins with allow_ from bollard.toml"},
    ),
    "recovery": Remedy(
        "Print the recovery sheet, put it in a safe place, and delete it from this computer.",
        "Print the recovery sheet (ca/server-root-recovery.txt in the state directory), or move it to a medium in a safe "
        "place, and delete it here.",
        {"bollard": "ca/server-root-recovery.txt in the state directory"},
    ),
    "authority-keys": Remedy(
        "Finish the move of the server's secret keys to the lock that you chose, and destroy what still opens them.",
        "Stop the broker and run `bollard authority unlock` with the way that the configuration says: it moves and "
        "wipes what is left. Destroy older copies of what is named.",
        {"bollard": "unlock in [authorities]; ca.pass, ca.sealed and ca/*.key in the state directory"},
    ),
    "record": Remedy(
        "Find out who has been on this computer, and change nothing there until then.",
        "Find out who has been on this machine. Keep the files as they are, and the log's head on another machine.",
        {"bollard": "bollard log verify; bollard log head"},
    ),
    "user": Remedy(
        "Let the server run as a user of its own, with no further rights on the computer.",
        "Run the broker as a user of its own, without rights.",
        {"bollard": "User=bollard and StateDirectory=bollard in the systemd unit"},
    ),
    "compiled": Remedy(
        "Have it installed again in its faster form, if speed matters to you.",
        "Install the package where a C compiler is, or a wheel that is compiled.",
        {"bollard": "pip install --force-reinstall bollard, without BOLLARD_PURE"},
    ),
}
