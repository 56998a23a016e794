"""The line protocol of README.md, for the peers written in Python."""

import asyncio
import os
import ssl
import sys

HOST = os.environ.get("PEER_HOST", "")
PORT = int(os.environ.get("PEER_PORT", "0"))
CA_FILE = os.environ.get("PEER_CA", "")
USERNAME = os.environ.get("PEER_USERNAME", "")
PASSWORD = os.environ.get("PEER_PASSWORD", "")
KEPT_S = 3600


def say(*fields: object) -> None:
    """One line out; called from any thread."""
    sys.stdout.write("\t".join(map(str, fields)) + "\n")
    sys.stdout.flush()


def say_message(topic: str, payload: bytes, qos: int, retain: object) -> None:
    say("message", topic, payload.decode(), qos, int(bool(retain)))


def hear() -> list[str]:
    """The fields of the next command, [] at the end."""
    line = sys.stdin.readline()
    return line.rstrip("\n").split("\t") if line else []


async def hear_later() -> list[str]:
    """As `hear`, without holding up the loop."""
    return await asyncio.get_running_loop().run_in_executor(None, hear)


def context() -> ssl.SSLContext:
    """Trusts the shipped root and nothing else, and checks the name."""
    return ssl.create_default_context(cafile=CA_FILE)
