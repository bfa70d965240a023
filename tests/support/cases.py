"""Cases of a test, of which the default run takes a part."""

from collections.abc import Iterable, Sequence

import pytest


def of_all(cases: Iterable[tuple], default: Sequence[tuple]) -> list:
    """The cases for `pytest.mark.parametrize`; slow are all that are not ``default``."""
    cases = list(cases)
    assert set(default) <= set(cases)
    slow = [case for case in cases if case not in default]
    return [*default, *(pytest.param(*case, marks=pytest.mark.slow) for case in slow)]
