"""Floor 1: bytes to packets and back, both protocol versions. No state, no I/O."""
