"""The stage of evidence has a bar of its own, with its own time."""

import contextlib
from types import SimpleNamespace

from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.callbacks.progress.rich_progress import CustomProgress

from robust.evaluation.blocks import bar_of
from tests.evaluation.evidence.test_stage import data, wide  # noqa: F401
from tests.support.factories import evaluate


def barred():
    """A trainer that shows a finished test."""
    bar = RichProgressBar()
    bar.progress = CustomProgress(disable=True)
    bar.progress.add_task("quick: pgd, image 200", total=1, completed=1)
    return SimpleNamespace(progress_bar_callback=bar), bar.progress


def test_it_has_its_own_name_count_and_time():
    trainer, progress = barred()
    with bar_of(trainer, "a[b]: evidence", 5) as step:
        step()
        step()
        test, own = progress.tasks
        assert (own.completed, own.total, own.finished) == (2, 5, False)
        assert own.start_time > test.start_time
    assert own.description == "a\\[b]: evidence"
    assert test.description == "quick: pgd, image 200"
    assert own.finished


def test_an_error_leaves_no_running_bar():
    trainer, progress = barred()
    with contextlib.suppress(RuntimeError), bar_of(trainer, "evidence", 5):
        raise RuntimeError
    assert progress.tasks[1].stop_time is not None


def test_without_a_bar_there_is_none():
    with bar_of(SimpleNamespace(progress_bar_callback=None), "evidence", 5) as step:
        step()


def test_an_evaluation_counts_its_parts(data, tmp_path, monkeypatch):  # noqa: F811
    seen = []

    @contextlib.contextmanager
    def counted(trainer, text, total):
        seen.append((text, total))
        yield lambda: seen.append("step")

    monkeypatch.setattr("robust.evaluation.callback.bar_of", counted)
    evaluate(data, tmp_path, wide(), evidence="quick")
    assert seen == [("test: evidence", 5), *["step"] * 5]
