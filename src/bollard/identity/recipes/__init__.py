"""Recipes: exactly what to paste or flash for each client, as data, one TOML file a client."""
