"""A page compares runs: one HTML file made from the content of their folders."""

from robust.report.page import render

__all__ = ["render"]
