"""A page that compares runs: one HTML file made from what their folders hold."""

from robust.report.page import render

__all__ = ["render"]
