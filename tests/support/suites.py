"""The suites of `configs/`, each read once a process: to parse one takes a third of a second."""

from functools import cache

from robust.loading.suites import read_suite


@cache
def suite_of(path):
    """An evaluation to look at, not to change."""
    return read_suite(path)
