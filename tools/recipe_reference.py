"""Writes docs/RECIPES.md from the recipes that `bollard enroll --for` prints.

`--check` writes nothing and ends with 1 if the file on disk differs.
"""

import sys
from pathlib import Path

from bollard.identity.recipes.facts import connection_facts
from bollard.identity.recipes.render import NAMES, Fact, Recipe, recipe

TARGET = Path(__file__).parent.parent / "docs" / "RECIPES.md"

HEAD = """\
# Recipes

<!-- Written by tools/recipe_reference.py from src/bollard/identity/recipes. Edit there. -->

`bollard enroll ID --for CLIENT` enrolls a device or application and prints exactly what to paste, flash or run: its own name, its own secret, the address of this broker, the root to trust. `--certificate` in place of the password gives it a key and a certificate. The text goes to standard output and nothing else does, so it can go into a file: `bollard enroll meter --for paho > meter.py`. `bollard devices rotate ID --for CLIENT` does the same for a device that is enrolled already, with a new credential; the old one ends. What one should know besides goes to standard error.

Before anything is enrolled, the recipe is checked against what the client can do: whether it can use such a credential, shares a key type and a TLS version with this broker, and can reach the address that it would be told. A certificate that is too large for the firmware is refused.

The broker serves an ECDSA P-256 and an RSA 2048 chain side by side, over TLS 1.2 and 1.3; each client takes the one it can check. `server-root.crt` holds the roots of both.

**Run** means that our tests paste this text and see a message go through, with the password and with the certificate. **Reviewed** means that it was written from the client's documentation and not run on its hardware.

In the texts below, `broker.example` is the broker, `plug` the device, and what would be a secret, a key or a certificate is shortened.

"""

PEM = "-----BEGIN CERTIFICATE-----\nMIIB…\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nMIGH…\n-----END PRIVATE KEY-----\n"

SHOWN: dict[str, Fact] = {
    **connection_facts("plug", "plug", "broker.example", 8883),
    "username": "plug",
    "password": "THE-PASSWORD",
    "filter": "devices/plug/#",
    "topic": "devices/plug/state",
    "ca_file": "server-root.crt",
    "cert_file": "plug.crt",
    "key_file": "plug.key",
    "root_pem": PEM,
    "root_ecdsa_pem": PEM,
    "root_rsa_pem": PEM,
    "cert_pem": PEM,
    "key_pem": KEY,
    "cert_der": b"certificate",
    "key_scalar": b"key",
    "connect_packet": b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04plug",
    "tasmota_fingerprint": "AA BB CC DD EE FF 00 11 22 33 44 55 66 77 88 99 AA BB CC DD",
}


def overview() -> list[str]:
    lines = [
        "| `--for` | client | tested | checks the server by | TLS | device keys |",
        "|---|---|---|---|---|---|",
    ]
    for one in map(recipe, NAMES):
        limits = one.limits
        tested = "run" if one.tested else "reviewed"
        tls, keys = ", ".join(sorted(limits.tls)), ", ".join(sorted(limits.client_keys))
        lines.append(f"| `{one.name}` | {one.title} | {tested} | {limits.verifies} | {tls} | {keys} |")
    return [*lines, ""]


def section(one: Recipe) -> list[str]:
    lines = [f"## {one.name}", "", f"{one.title}. {'Run' if one.tested else 'Reviewed, not run'}.", ""]
    notes = dict.fromkeys(note for credential in one.texts for note in one.notes[credential])
    lines += [f"- {note}" for note in notes]
    if one.preset:
        lines.append(f"- Policy preset that fits: `{one.preset}`.")
    lines.append("")
    for credential in one.texts:
        lines += [
            f"With a {credential}:",
            "",
            f"```{one.language}",
            one.text(credential, SHOWN).rstrip(),
            "```",
            "",
        ]
    return lines


def text() -> str:
    lines = overview()
    for name in NAMES:
        lines += section(recipe(name))
    return HEAD + "\n".join(lines)


def main() -> int:
    if "--check" in sys.argv[1:]:
        current = TARGET.read_text("utf-8") if TARGET.exists() else ""
        if current != text():
            sys.stderr.write(f"{TARGET.name} is not up to date: run python tools/recipe_reference.py\n")
            return 1
        return 0
    TARGET.write_text(text(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
