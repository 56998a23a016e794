"""Feeds the readers of brokers' configurations what no administrator would write.

Seeds are small configurations of each product; they are cut, repeated, mixed and spoiled. An audit may say that it
did not understand; it may neither raise anything but its own errors nor take long.

    python fuzz/fuzz_configs.py --seconds 60 --product all
"""

import argparse
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

from bollard.assess.configs.audit import audit
from bollard.base.errors import BollardError

SEEDS: dict[str, tuple[str, ...]] = {
    "mosquitto": (
        "listener 8883\ncertfile s.crt\nkeyfile s.key\nallow_anonymous false\npassword_file p\nacl_file a\n",
        "per_listener_settings true\nlistener 1883\nplugin x.so\nplugin_opt_config_file d.json\ninclude_dir .\n",
    ),
    "emqx": (
        'authentication = [{mechanism = password_based, backend = built_in_database}]\nlisteners.ssl.default {bind = "0.0.0.0:8883"\nssl_options {verify = verify_peer, versions = ["tlsv1.3"]}}\n',
        'include "x.conf"\nauthorization {no_match = deny, sources = [{type = file, path = acl.conf}]}\n${x}\n',
    ),
    "nanomq": (
        'listeners.tcp {bind = "0.0.0.0:1883"}\nauth {allow_anonymous = false, no_match = deny}\n',
        "auth.http_auth.enable=true\nlisteners.ssl.bind=0.0.0.0:8883\n",
    ),
    "hivemq": (
        '<?xml version="1.0"?>\n<hivemq><listeners><tcp-listener><port>1883</port><bind-address>0.0.0.0</bind-address>'
        "</tcp-listener></listeners><mqtt><packets><max-packet-size>9</max-packet-size></packets></mqtt></hivemq>\n",
    ),
    "vernemq": ("allow_anonymous = off\nlistener.ssl.default = 0.0.0.0:8883\nlistener.ssl.cafile = /c\n",),
    "rabbitmq": (
        "mqtt.listeners.ssl.default = 8883\nssl_options.verify = verify_peer\nmqtt.allow_anonymous = false\n",
    ),
    "amqtt": (
        "listeners:\n  default:\n    type: tcp\n    bind: 0.0.0.0:8883\n    ssl: on\nplugins:\n"
        "  amqtt.plugins.authentication.FileAuthPlugin:\n    password_file: p\n",
    ),
    "bollard": (
        'state_dir = "s"\npolicy = "p"\n[[listener]]\nbind = "0.0.0.0:8883"\n[limits]\nmax_sessions = 5\n',
    ),
}
SPICE = (
    *(
        "{",
        "}",
        "[",
        "]",
        '"',
        '"""',
        "=",
        ":",
        "\n",
        "#",
        "\t",
        " ",
        "\\",
        "<",
        ">",
        "&amp;",
        "${",
        "include ",
    ),
    *(
        "\0",
        "\ufeff",
        "é",
        "\U0001f600",
        "9" * 40,
        "-1",
        "1e999",
        "a." * 50,
        "[" * 200,
        "<a>" * 50,
        "- " * 50,
    ),
)
#: One audit that takes longer than this is a finding.
SLOW_S = 2.0


def spoil(text: str, chance: random.Random) -> str:
    """`text` after a few changes."""
    for _ in range(chance.randrange(1, 6)):
        at, to = sorted(chance.randrange(len(text) + 1) for _ in range(2))
        match chance.randrange(5):
            case 0:
                text = text[:at] + text[to:]
            case 1:
                text = text[:to] + text[at:to] * chance.randrange(1, 4) + text[to:]
            case 2:
                text = text[:at] + chance.choice(SPICE) + text[at:]
            case 3:
                text = text[:at] + chance.choice(SPICE) + text[to:]
            case _:
                text = text[:at] + chr(chance.randrange(1, 0x250)) + text[at + 1 :]
        text = text[:20_000]
    return text


def try_one(path: Path, product: str, text: str) -> str:
    """What was wrong with the audit of `text`; "" if nothing."""
    path.write_text(text, "utf-8", errors="surrogateescape")
    began = time.monotonic()
    try:
        audit([path], product)
    except BollardError:
        return ""
    except Exception:
        return traceback.format_exc()
    took_s = time.monotonic() - began
    return f"it took {took_s:.1f} s" if took_s > SLOW_S else ""


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the readers of configurations.")
    parser.add_argument("--seconds", type=float, default=60, help="how long, for all products together")
    parser.add_argument("--product", choices=["all", *SEEDS], default="all")
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    options = parser.parse_args()
    seed = options.seed or random.SystemRandom().randrange(1, 1 << 31)
    chance = random.Random(seed)
    products = list(SEEDS) if options.product == "all" else [options.product]
    count = 0
    end = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory(prefix="bollard-fuzz-") as folder:
        while time.monotonic() < end:
            product = products[count % len(products)]
            text = spoil(chance.choice(SEEDS[product]), chance)
            fault = try_one(Path(folder) / "broker.conf", product, text)
            count += 1
            if fault:
                print(f"seed {seed}, {product}, {text!r}\n{fault}")
                return 1
    print(f"{count} configurations, seed {seed}: nothing raised, none took longer than {SLOW_S:g} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
