"""One way to ask for an operation: of the running broker, or else of its state directory itself."""

import os
import time

from bollard.base.errors import LocalError
from bollard.server.config import Config
from bollard.server.control_socket import ask_socket
from bollard.server.requests import Request, Result
from bollard.server.state import StateDirectory, keep_memory_off_disk

#: How long a broker that is starting, or another command, is waited for.
PATIENCE_S = 10.0


def ask(config: Config, request: Request) -> Result:
    """Have `request` done. Raises LocalError with what was wrong and what to do."""
    state = StateDirectory(config.state_dir)
    end = time.monotonic() + PATIENCE_S
    while True:
        answer = ask_socket(state.control_socket, request)
        if answer is not None:
            return answer
        # Only now: with a running broker, as nearly always, a command need not load all of it.
        from bollard.server.actor import ACTOR
        from bollard.server.audit import AuditTrail
        from bollard.server.control import Control
        from bollard.server.identities import open_identities, say_on_stderr
        from bollard.server.learning import Learning
        from bollard.store.database import StateLock

        try:
            lock = StateLock(state.root).__enter__()
        except LocalError:
            # In use, yet nobody answers: a broker between lock and socket, or another command.
            if time.monotonic() >= end:
                raise
            time.sleep(0.1)
            continue
        keep_memory_off_disk()
        try:
            size = config.audit.max_log_bytes
            actor = ACTOR.set(f"uid {os.getuid()}")
            try:
                with (
                    AuditTrail(state.audit, size, say_on_stderr, long_lived=False) as trail,
                    open_identities(
                        state, changed=trail.identity_changed, unlock=config.unlock
                    ) as identities,
                ):
                    learning = Learning(state.learning, trail.record)
                    control = Control(config, identities.registry, identities.authorities, learning=learning)
                    return trail.after_writing(control.handle)(request)
            finally:
                ACTOR.reset(actor)
        finally:
            lock.__exit__(None, None, None)
