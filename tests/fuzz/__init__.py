"""Damaged and odd inputs of every kind, and what a command may do with them: `make fuzz`."""
