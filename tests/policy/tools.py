"""The tool with random policies, which is no part of the package, as a module for tests."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

PATH = Path(__file__).parents[2] / "tools" / "policy_cases.py"


def policy_cases() -> ModuleType:
    """tools/policy_cases.py, loaded once."""
    if "policy_cases" not in sys.modules:
        spec = importlib.util.spec_from_file_location("policy_cases", PATH)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["policy_cases"] = module
        spec.loader.exec_module(module)
    return sys.modules["policy_cases"]
