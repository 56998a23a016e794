"""What reads recorded traffic: frames, TCP streams, the MQTT and the TLS in them, and what they tell. No network."""
