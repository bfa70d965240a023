"""Figures of images, records and runs, each a PNG file."""
