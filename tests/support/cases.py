"""Cases of a test, of which the default run takes a part."""

from collections import Counter
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


def mark_slow(items: Iterable[pytest.Item]) -> None:
    """Mark the cases slow that ``@pytest.mark.sampled(every=n)`` leaves to the slow run.

    The default run takes the first case of a test and each n-th one after it. Of two
    ``parametrize`` these hold each value if n and the number of inner values share no divisor.
    """
    places: Counter[str] = Counter()
    for item in items:
        sampled = item.get_closest_marker("sampled")
        if sampled is not None:
            test = item.nodeid.split("[")[0]
            if places[test] % sampled.kwargs["every"]:
                item.add_marker(pytest.mark.slow)
            places[test] += 1
