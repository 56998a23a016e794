"""Configurations of brokers: one parser for each product, what they mean in effect, and what they become here."""
