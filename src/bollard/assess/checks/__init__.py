"""What judges: pure functions from evidence to a verdict, and the texts that explain it. No I/O."""
