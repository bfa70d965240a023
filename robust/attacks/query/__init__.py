"""Attacks that ask for predictions only."""
