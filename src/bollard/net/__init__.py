"""Floor 4: asyncio, TLS and WebSocket under the engine."""
