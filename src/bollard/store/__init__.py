"""Floor 4: SQLite."""
