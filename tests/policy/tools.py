"""The tool with random policies, which is no part of the package, as a module for tests."""

from types import ModuleType

from server.tools import load_tool


def policy_cases() -> ModuleType:
    """tools/policy_cases.py, loaded once."""
    return load_tool("policy_cases")
