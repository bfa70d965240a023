"""A network and settings so small that a training with its evaluation takes a second."""

import time
from pathlib import Path

import torch.nn.functional as F
from torch import nn

from robust.defenses import Defense

ROOT = Path(__file__).parents[2]
SUITE = """
suite: tiny
threat_model: {norm: Linf, eps: 0.3}
attacks:
  fgsm: {class_path: torchattacks.FGSM, init_args: {eps: 0.3}}
  pgd: {class_path: robust.attacks.PGD, init_args: {eps: 0.3, steps: 3}}
  square: {class_path: torchattacks.Square, init_args: {eps: 0.3, n_queries: 5}}
block: 8
"""


NO_ATTACKS = "--evaluation.attacks=null"
"""For a training whose test is not what is asked about: it is a third of the time."""


class TinyNetwork(nn.Module):
    """One dense layer for 1x28x28 images; waits before each batch, to be killed in time."""

    def __init__(self, num_classes: int = 10, seconds: float = 0) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, num_classes))
        self.seconds = seconds

    def forward(self, x):
        if self.training:
            time.sleep(self.seconds)
        return self.layers(x)


class Plain(Defense):
    """A defense that is its own adaptive view, as none of ours is."""

    def training_loss(self, x, y):
        return F.cross_entropy(self(x), y)

    def adaptive_view(self):
        return self


def arguments(data, runs, suite, defense="Squeezed", command="fit", epochs=2):
    """What follows `train.py`: a tiny training."""
    return [
        command,
        f"--model=robust.defenses.{defense}",
        "--model.network=tests.support.tiny.TinyNetwork",
        "--data=robust.data.ImageDataModule",
        f"--data.dataset={data}",
        "--data.batch_size=16",
        f"--evaluation={suite}",
        f"--run.root={runs}",
        f"--run.name={defense.lower()}",
        f"--trainer.max_epochs={epochs}",
        "--trainer.enable_progress_bar=false",
        "--trainer.accelerator=cpu",
    ]
