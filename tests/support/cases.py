"""Cases of a test, of which the default run takes a part."""

from collections.abc import Iterable, Sequence

import pytest


def of_all(cases: Iterable[tuple], default: Sequence[tuple]) -> list:
    """The cases for `pytest.mark.parametrize`; slow are all that are not ``default``."""
    cases = list(cases)
    assert set(default) <= set(cases)
    slow = [case for case in cases if case not in default]
    return [*default, *(pytest.param(*case, marks=pytest.mark.slow) for case in slow)]


def crossed(first: Iterable, second: Iterable, every: int) -> list:
    """All pairs for `pytest.mark.parametrize`; slow are all but one of so many.

    The default ones have each value of both at least once.
    """
    first, second = list(first), list(second)
    assert 1 <= every <= min(len(first), len(second))
    return [
        pytest.param(a, b, marks=[pytest.mark.slow] if (i - j) % every else [])
        for i, a in enumerate(first)
        for j, b in enumerate(second)
    ]
