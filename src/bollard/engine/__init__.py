"""Floor 3: the broker without I/O, clock, randomness, threads or logging."""
