"""Time left comes from measured speed alone; what nobody knows is said to be unknown."""

import pytest

from robust.tracking.progress import Parts, Steps
from robust.tracking.progress.status import duration


class Clock:
    """A clock that goes only when it is told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def parts(clock, **totals):
    return Parts("quick", totals, unit="images", clock=clock)


def test_before_anything_was_measured_no_time_is_promised(clock):
    work = parts(clock, pgd=20)
    clock.now = 5
    assert work.status().words == ("0:00:05 gone", "time left not known yet")
    with work.part("pgd", 10):
        clock.now = 300
        assert work.status().words == ("0:05:00 gone", "time left not known yet")
        assert work.status().done == 0


def test_each_part_has_its_own_speed(clock):
    work = parts(clock, pgd=20, square=20)
    with work.part("pgd", 10):
        clock.now = 10
    assert work.status().words[1] == "over 0:00:10 left"  # of square nothing is known
    with work.part("square", 10):
        clock.now = 110
    assert work.status().words[1] == "0:01:50 left"
    with work.part("pgd", 10):
        clock.now = 115
        assert work.status().words[1] == "0:01:45 left"
        assert work.status().done == 25


def test_what_takes_longer_than_before_is_not_said_to_end(clock):
    work = parts(clock, pgd=20)
    with work.part("pgd", 10):
        clock.now = 10
    with work.part("pgd", 10):
        clock.now = 21
        assert work.status().words[1] == "time left not known yet"
        assert work.status().done == 19.5


def test_a_bound_on_passes_bounds_the_time(clock):
    work = parts(clock, square=10)
    with work.part("square", 10, beating=5, most=100):
        work.beat(5)
        clock.now = 2
        assert work.status().words[1] == "at most 0:03:18 left"
        work.beat(120)
        assert work.status().words[1] == "at most 0:00:06 left"
        assert work.status().detail == "25 of at most 100 passes an image"
        assert work.status().done == 2.5


def test_a_bound_holds_for_what_comes_after_it(clock):
    work = parts(clock, pgd=30)
    with work.part("pgd", 10, beating=5, most=20):
        work.beat(50)
        clock.now = 5  # a tenth of a second a pass: 50 more here, and 20 images of at most 20
        assert work.status().words[1] == "at most 0:00:45 left"


def test_more_passes_than_the_bound_promise_nothing(clock):
    work = parts(clock, pgd=10)
    with work.part("pgd", 10, most=20):
        work.beat(201)
        clock.now = 5
        assert work.status().words[1] == "time left not known yet"
        assert work.status().detail == "20 passes an image"
        assert work.status().done == 9.5


def test_a_bound_of_one_part_does_not_bound_the_others(clock):
    work = parts(clock, square=10, boundary=10)
    with work.part("square", 10, most=100):
        work.beat(100)
        clock.now = 1
        assert work.status().words[1:] == ("time left not known yet", "this at most 0:00:09")


def test_what_is_on_record_is_done_and_says_nothing_of_the_speed(clock):
    work = Parts("quick", {"pgd": 20}, {"pgd": 10}, clock=clock)
    assert work.status().counted == "10 of 20 images"
    assert work.status().words[1] == "time left not known yet"


def test_an_error_counts_nothing(clock):
    work = parts(clock, pgd=10)
    clock.now = 10
    with pytest.raises(RuntimeError), work.part("pgd", 10):
        raise RuntimeError
    assert work.status().done == 0
    assert work.status().title == "quick"


def test_one_line_has_all_of_it(clock):
    work = parts(clock, pgd=20)
    work.note = "robust so far 50.0 % of 10"
    with work.part("pgd", 10):
        work.beat(30)
        clock.now = 3
        assert work.status().line == (
            "quick: pgd: 0 of 20 images, 0:00:03 gone, time left not known yet, "
            "robust so far 50.0 % of 10, 3 passes an image"
        )


def test_steps_promise_no_time(clock):
    steps = Steps("evidence", 2, clock=clock)
    steps.begin("attack unit test")
    steps.beat(7)
    clock.now = 61
    assert steps.status().line == (
        "evidence: attack unit test: 0 of 2 parts, 0:01:01 gone, 7 forward passes"
    )
    steps.begin("gradients")
    assert steps.status().line == "evidence: gradients: 1 of 2 parts, 0:01:01 gone"
    assert Steps("certify", clock=clock).status().line == "certify, 0:00:00 gone"


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0:00:00"), (59.6, "0:01:00"), (3_725, "1:02:05")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
