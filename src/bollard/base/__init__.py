"""Floor 0: the words that every other floor uses. Imports nothing of Bollard."""
