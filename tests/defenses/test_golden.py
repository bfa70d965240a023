"""First losses at seed 0 on digits. A change is a line in CHANGELOG, under Numbers."""

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from torch import nn

from robust.data import ImageDataModule
from robust.defenses import Distillation, Squeezed, Standard

GOLDEN = {
    "standard": [2.357869, 2.21966, 2.288698, 2.084159, 1.8505],
    "distillation": [2.323471, 2.266465, 2.304892, 2.330335, 2.312555],
    "squeezed-sigmoid": [2.306571, 2.30159, 2.312437, 2.29622, 2.295003],
    "squeezed-tanh": [2.323097, 2.26724, 2.305552, 2.190205, 2.209706],
}
SETTINGS = {
    "standard": (Standard, {}),
    "distillation": (Distillation, {"temperature": 2.0, "teacher_epochs": 1}),
    "squeezed-sigmoid": (Squeezed, {"activation": "sigmoid", "temperature": 2.0}),
    "squeezed-tanh": (Squeezed, {"activation": "tanh", "temperature": 2.0}),
}


class Losses(Callback):
    def __init__(self):
        self.values = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.values.append(outputs["loss"].item())


@pytest.mark.parametrize("name", GOLDEN)
def test_first_losses(name):
    seed_everything(0, verbose=False)
    losses = Losses()
    trainer = Trainer(
        max_epochs=2,
        limit_train_batches=5 if name != "distillation" else 3,
        limit_val_batches=0,
        accelerator="cpu",
        logger=False,
        callbacks=[losses],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    defense, arguments = SETTINGS[name]
    # A linear network in large steps: its losses move at each step, and are the same everywhere.
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    arguments = {"optimizer": lambda p: torch.optim.SGD(p, lr=0.1), **arguments}
    trainer.fit(defense(network, **arguments), datamodule=ImageDataModule("digits", batch_size=32))
    assert losses.values[:5] == pytest.approx(GOLDEN[name], rel=1e-4)
