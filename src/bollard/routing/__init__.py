"""Floor 2: who gets a message."""
