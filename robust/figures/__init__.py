"""Figures of images, records and runs are PNG files."""
