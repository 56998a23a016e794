"""Floor 5: configuration and composition."""
