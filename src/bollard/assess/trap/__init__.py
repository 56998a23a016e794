"""The trap: endpoints with one defect each, the conversation that a device has there, and what comes of it."""
