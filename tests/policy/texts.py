"""Policies for tests, from their text."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from bollard.base.toml import Document
from bollard.policy.compile import Policy
from bollard.policy.model import Rules
from bollard.policy.rules import read_rules

FILE = Path("policy.toml")


def rules_of(text: str) -> Rules:
    """The rules of `text`, a policy file without its version."""
    return read_rules(Document(FILE, "version = 1\n" + text))


def policy_of(text: str, templates: Mapping[str, str] | None = None, at: datetime | None = None) -> Policy:
    return Policy(rules_of(text), templates or {}, at)
