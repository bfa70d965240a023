"""Calls from Python do what the commands do."""
