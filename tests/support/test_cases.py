"""The default run takes a part of the cases of some tests."""

from types import SimpleNamespace

import pytest

from tests.support import cases


def item(nodeid, every):
    marks = []
    sampled = SimpleNamespace(kwargs={"every": every}) if every else None
    return SimpleNamespace(
        nodeid=nodeid,
        marks=marks,
        add_marker=marks.append,
        get_closest_marker={"sampled": sampled}.get,
    )


@pytest.mark.parametrize(
    ("names", "every", "default"),
    [
        ("0 1 2 3 4 5 6", 3, "0 3 6"),
        ("0 1 2", 5, "0"),
        ("a-0 a-1 b-0 b-1", 3, "a-0 b-1"),
        ("0 1 2", None, "0 1 2"),
    ],
)
def test_every_nth_case_runs_by_default(names, every, default):
    items = [
        item(f"test_it.py::test_{test}[{name}]", every) for test in "ab" for name in names.split()
    ]
    cases.mark_slow(items)
    left = [one.nodeid for one in items if not one.marks]
    assert left == [f"test_it.py::test_{test}[{name}]" for test in "ab" for name in default.split()]
    assert {mark.name for one in items for mark in one.marks} <= {"slow"}


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("case", [0, 1, 2])
def test_it_is_done_before_markers_choose(case, request):
    marked = request.node.get_closest_marker("slow") is not None
    assert marked == (case == 1)
    assert not marked or "not slow" not in request.config.getoption("-m")
