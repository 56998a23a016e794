"""What tells: one file a format, each a pure function from a `Report` to text."""
