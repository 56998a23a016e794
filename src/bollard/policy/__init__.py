"""Floor 2: who may."""
