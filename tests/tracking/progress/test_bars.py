"""The bar of a training counts epochs from 1, and takes one line of a usual terminal."""

import io
import re

import pytest
import torch
from rich.console import Console

from robust.tracking.progress import progress_bar
from robust.tracking.trainers import trainer_of

LOGGED = {"train/loss": 2.3025851, "val/clean_acc": 0.123456, "val/loss": 12.3, "v_num": "ab12"}


@pytest.fixture
def bar(tmp_path):
    trainer = trainer_of(tmp_path, progress=False, max_epochs=20, accelerator="cpu")
    bar = progress_bar()
    bar._trainer = trainer
    return bar


def test_epochs_count_from_one(bar):
    assert bar._get_train_description(0).strip() == "Epoch 1 of 20"
    assert bar._get_train_description(19) == "Epoch 20 of 20"
    bar._trainer.fit_loop.max_epochs = -1
    assert bar._get_train_description(4).strip() == "Epoch 5"


def test_a_training_fits_one_line(bar, monkeypatch):
    from lightning.pytorch.callbacks.progress import rich_progress

    monkeypatch.setattr(
        rich_progress.RichProgressBar,
        "get_metrics",
        lambda *_: {name: torch.tensor(n) if name != "v_num" else n for name, n in LOGGED.items()},
    )
    text = io.StringIO()
    console = Console(file=text, width=80, force_terminal=True, color_system=None)
    trainer = bar._trainer
    columns = bar.configure_columns(trainer)
    metrics = rich_progress.MetricsTextColumn(trainer, "", " ", ".3f")
    metrics.update({n: float(v) for n, v in bar.get_metrics(trainer, None).items()})
    monkeypatch.setattr(type(metrics), "render", _rendered)
    progress = rich_progress.CustomProgress(*columns, metrics, console=console)
    task = progress.add_task(bar._get_train_description(9), total=1875, completed=900)
    console.print(progress.make_tasks_table([progress.tasks[task]]))
    (line,) = text.getvalue().splitlines()
    assert re.match(r"Epoch 10 of 20 .* 900/1875 .* loss: 2.303 val acc: 0.123", line)
    assert "..." not in line
    assert "…" not in line
    assert "it/s" not in line


def _rendered(self, task):
    from rich.text import Text

    return Text(self._text_delimiter.join(self._generate_metrics_texts()))
