"""Floor 6: HTTP. What it does is decided by lower floors; here requests become calls and answers bytes."""
