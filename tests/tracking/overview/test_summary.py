"""The summary of a run in W&B is short, and a table has all numbers of a test."""

from robust.results.metrics import summarize
from robust.tracking.overview.summary import SUMMARY_LIMIT, ShortSummary
from tests.support.factories import evaluation, info

VIEWS = ("deployed", "published", "adaptive")
TRAINING = {
    "epoch": 1,
    "train/loss": 0.5,
    "train/seconds": 3.0,
    "val/loss": 0.5,
    "val/clean_acc": 1,
}


def logged():
    """What a test of three attacks through three views logs."""
    attacks = {name: info() for name in ("fgsm", "pgd", "square")}
    misclassified = {(view, name): 3 for view in VIEWS for name in attacks}
    return summarize(evaluation(attacks, misclassified))


def test_summary_has_the_worst_case_and_not_each_attack():
    numbers = {**logged(), "test/clean_acc": 0.9}
    assert len(numbers) > 60
    short = ShortSummary()
    hidden = set(short.hidden(numbers))
    assert numbers.keys() - hidden == {
        "test/clean_acc",
        *(f"test/worst_robust_acc/{view}" for view in VIEWS),
        "test/worst_robust_acc/adaptive_low",
        "test/worst_robust_acc/adaptive_high",
    }
    assert short.hidden(numbers) == []  # each is told once


def test_summary_is_never_longer_than_its_limit():
    short = ShortSummary()
    many = {f"val/x{i}": 0.5 for i in range(40)}
    hidden = [*short.hidden(TRAINING), *short.hidden(many), *short.hidden(logged())]
    # With W&B's own four keys, the verdict, its reason, and two tables.
    assert len(TRAINING | many | logged()) - len(hidden) + 8 == SUMMARY_LIMIT


def test_table_has_every_number_with_its_bounds():
    numbers, short = logged(), ShortSummary()
    short.hidden(TRAINING | numbers)
    rows = {row.metric: row for row in short.table()}
    assert {key for key in numbers if not key.endswith(("_low", "_high"))} == rows.keys()
    key = "test/success/adaptive/pgd"
    assert rows[key][1:] == (numbers[key], numbers[f"{key}_low"], numbers[f"{key}_high"], None)


def test_names_that_end_like_a_bound_are_in_the_table():
    short = ShortSummary()
    short.hidden({"test/success/adaptive/pgd_low": 0.5})
    assert [row.metric for row in short.table()] == ["test/success/adaptive/pgd_low"]
