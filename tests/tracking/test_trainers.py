"""The trainer of commands and Python: what its progress bar shows."""

import io

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import CSVLogger

from robust.tracking.progress import progress_bar


@pytest.mark.usefixtures("quiet")
def test_the_progress_bar_shows_no_part_of_an_id(tmp_path, monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr("sys.stderr", shown)
    trainer = Trainer(
        max_steps=1,
        limit_val_batches=0,
        logger=CSVLogger(tmp_path, name="a", version="first"),
        callbacks=[bar := progress_bar()],
        default_root_dir=tmp_path,
        enable_checkpointing=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    trainer.fit(model := BoringModel())
    assert "v_num" in super(type(bar), bar).get_metrics(trainer, model)  # Lightning still has it
    assert "v_num" not in bar.get_metrics(trainer, model)
    assert "Epoch 1" in shown.getvalue()
    assert "v_num" not in shown.getvalue()
