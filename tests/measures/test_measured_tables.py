"""Published numbers of a measurement beside those by the authors' code, right and adaptive."""

import math

import pytest

from robust.measures.measured_tables import MEASURES, measured_cells, published_measures
from robust.measures.robustness import (
    EmpiricalRobustness,
    MinimalPerturbation,
    Robustness,
    Sensitivity,
    TrainingDistance,
)
from robust.results.cells import as_text
from robust.results.metrics import Mean, Rate
from robust.results.published import cells as published


def made(hits, length):
    return MinimalPerturbation(
        accuracy=Rate(hits, 10),
        changed=Rate(10 - hits, 10),
        robustness=EmpiricalRobustness(9.0, 9.0, 10),
        robustness_changed=EmpiricalRobustness(length, 2 * length, 10 - hits),
        distance=TrainingDistance(10 * length, 20 * length, 10 - hits),
    )


RESULTS = {
    "published": Robustness(
        made(2, 0.5), made(6, 0.25), Sensitivity(Mean(0.7, 0.1, 0.3), Mean(0.6, 0.02, 0.2), 10)
    ),
    "adaptive": Robustness(
        made(1, 0.4), made(5, 0.2), Sensitivity(Mean(0.9, 0, 0.9), Mean(0.8, 0, 0.8), 10)
    ),
}


def table(measure, number):
    return {
        "title": "Table 2",
        "view": "published",
        "columns": {"net": {}, "other": {}},
        "rows": {"row": {"measure": measure, "published": {"net": number, "other": 1}}},
    }


@pytest.mark.parametrize(
    ("measure", "number", "cells"),
    [
        ("accuracy", 52, ["52", "60.0", "+8", "agrees", "20.0", "10.0"]),
        ("robustness", 0.2, ["0.2", "0.25", "+0.05", "", "0.5/1", "0.4/0.8"]),
        ("distance", 4, ["4", "5", "+1", "", "10/5", "8/4"]),
        (
            "sensitivity",
            0.5,
            [
                "0.5",
                "0.6 +-0.039, median 0.2",
                "+0.1",
                "differs",
                "0.6 +-0.039, median 0.2/0.7 +-0.2, median 0.3",
                "0.8 +-0, median 0.8/0.9 +-0, median 0.9",
            ],
        ),
        ("distance", None, ["lost", "5", "", "", "10/5", "8/4"]),
    ],
)
def test_what_the_code_measures_is_compared(measure, number, cells):
    grid = published_measures(table(measure, number), {"net": RESULTS})
    assert grid.header[2:] == ["paper", "code", "difference", "agreement", "correct", "adaptive"]
    found = [as_text(cell).replace("\n", "/") for cell in grid.rows[0][2:]]
    if measure == "accuracy":  # without the intervals
        found = [cell.split("/")[0] for cell in found]
    assert found == cells
    assert grid.rows[1] == ["row", "other", "1", "not run", "", "", "", ""]
    assert grid.notes[0] == "n = 10 test images."


def test_numbers_are_in_the_unit_of_the_table():
    (cell,) = measured_cells(table("accuracy", 52), {"net": RESULTS})
    assert cell[:3] == ("row", "net", 52)
    assert (cell.ours.value, cell.beside.value, cell.n) == (60, 10, 10)
    assert (round(cell.ours.low, 1), round(cell.ours.high, 1)) == (31.3, 83.2)
    (cell,) = measured_cells(table("sensitivity", 0.5), {"net": RESULTS})
    assert cell.ours == pytest.approx((0.6, 0.5608, 0.6392), abs=1e-4)
    (cell,) = measured_cells(table("distance", 4), {"net": {"adaptive": RESULTS["adaptive"]}})
    assert (cell.ours, cell.beside.value, math.isnan(cell.beside.low)) == (None, 8, True)


def test_a_view_that_was_left_out():
    result = {"published": RESULTS["published"]}
    grid = published_measures(table("distance", 4), {"net": result})
    assert [as_text(cell) for cell in grid.rows[0][6:]] == ["10\n5", ""]
    grid = published_measures(table("distance", 4), {"net": {"adaptive": RESULTS["adaptive"]}})
    assert [as_text(cell) for cell in grid.rows[0][2:]] == ["4", "not run", "", "", "", "8\n4"]


def test_without_a_misclassified_image_there_is_no_distance():
    nowhere = made(10, 1.0)._replace(distance=TrainingDistance(math.nan, math.nan, 0))
    result = {"published": RESULTS["published"]._replace(published=nowhere)}
    grid = published_measures(table("distance", 4), {"net": result})
    assert [as_text(cell) for cell in grid.rows[0][3:5]] == ["none", ""]


def test_a_table_may_name_every_measure():
    assert tuple(MEASURES) == published.MEASURES
