"""Tools of the repository that are no part of the package, as modules for tests."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

TOOLS = Path(__file__).parents[2] / "tools"


def load_tool(name: str) -> ModuleType:
    """tools/`name`.py, loaded once."""
    known = f"bollard_tool_{name}"
    if str(TOOLS) not in sys.path:
        sys.path.append(str(TOOLS))  # behind the tests, of which some are named like a tool
    if known not in sys.modules:
        spec = importlib.util.spec_from_file_location(known, TOOLS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[known] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[known]
