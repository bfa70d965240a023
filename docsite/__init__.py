"""The site of the docs: pages of the repository and a generated reference, built by Zensical.

``python -m docsite`` writes the pages to ``build/docs``, builds ``build/site`` from them, and ends
with 1 at a warning or a dead link.
"""
