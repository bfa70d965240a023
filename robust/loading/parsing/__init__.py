"""Command lines and files are parsed under our rules."""
