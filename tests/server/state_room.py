"""A state directory with authorities, as the first run makes it."""

from pathlib import Path

from bollard.server.config import Address, Config
from bollard.server.load import load_config
from bollard.server.state import prepare


def new_state(folder: Path) -> Config:
    """The configuration of a fresh state directory in `folder`."""
    prepare(folder, Address("127.0.0.1", 8883))
    return load_config(folder / "bollard.toml")
