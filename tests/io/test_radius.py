"""A radius is shown as people write it."""

import pytest

from robust.io.radius import at_budget, level_ticks, radius, with_radius


@pytest.mark.parametrize(
    ("eps", "text"),
    [
        (8 / 255, "8/255"),
        (0.031373, "8/255"),
        (1 / 255, "1/255"),
        (4.5 / 255, "4.5/255"),
        (128 / 255, "128/255"),
        (51 / 255, "0.2"),
        (0.3, "0.3"),
        (0.03137, "0.03137"),
        (1.5, "1.5"),
        (12.0, "12"),
        (0.0, "0"),
        (1 / 3, "85/255"),
        (0.123456, "0.1235"),
        (float("inf"), "unbounded"),
    ],
)
def test_radii(eps, text):
    assert radius(eps) == text


@pytest.mark.parametrize(
    ("largest", "texts"),
    [
        (8 / 255, ["0", "2/255", "4/255", "6/255", "8/255"]),
        (0.031373, ["0", "2/255", "4/255", "6/255", "8/255"]),
        (4 / 255, ["0", "1/255", "2/255", "3/255", "4/255"]),
        (5.5 / 255, ["0", "2/255", "4/255"]),
        (128 / 255, ["0", "32/255", "64/255", "96/255", "128/255"]),
        (0.3, []),
        (0.0, []),
        (12.0, []),
        (float("inf"), []),
    ],
)
def test_an_axis_up_to_grey_levels_has_ticks_in_them(largest, texts):
    assert [radius(tick) for tick in level_ticks(largest)] == texts


@pytest.mark.parametrize(
    ("budget", "text"),
    [
        ("Linf 0.03137", "Linf 8/255"),
        ("Linf 0.03137 in a patch of 5x5", "Linf 8/255 in a patch of 5x5"),
        ("Linf 0.2", "Linf 0.2"),
        ("L2 0.502", "L2 128/255"),
        ("L2 unbounded", "L2 unbounded"),
        ("Linf 8/255", "Linf 8/255"),
        ("Linf 0.05", "Linf 0.05"),
    ],
)
def test_threat_models(budget, text):
    assert with_radius(budget) == text


def test_what_an_earlier_version_kept_is_found():
    assert at_budget({"Linf 0.2": 1, "Linf 0.03137": 2}, "Linf 8/255") == 2
    assert at_budget({"Linf 0.03137": 1, "Linf 8/255": 2}, "Linf 8/255") == 2
    assert at_budget({"Linf 0.03137": 1}, "Linf 0.03137") == 1  # somebody gave just that
    assert at_budget({"Linf 0.2": 1}, "Linf 8/255") is None
