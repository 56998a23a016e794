"""Floor 2: one client, its network half and its durable half."""
