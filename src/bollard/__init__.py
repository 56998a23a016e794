"""Bollard: an MQTT broker that is safe on first run, and an assessor for everyone else's MQTT."""

__version__ = "0.1.0"
