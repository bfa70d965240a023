"""Small networks on scikit-learn's digits, trained in seconds, and how robust they are."""

from functools import cache

import torch
from lightning.pytorch import Trainer, seed_everything
from torch import nn

from robust.attacks import PGD, craft
from robust.data import ImageDataModule
from robust.defenses import Standard


def dense():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))


def fast(parameters):
    """Return the usual optimizer with ten times its steps: two epochs do for eight."""
    return torch.optim.Adam(parameters, lr=1e-2)


def trained(defense=Standard, epochs=2, **arguments):
    """A defense after a few epochs from the same start."""
    seed_everything(0, verbose=False)
    model = defense(dense(), optimizer=fast, **arguments)
    Trainer(
        max_epochs=epochs,
        limit_val_batches=0,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(model, datamodule=ImageDataModule("digits", batch_size=64))
    return model.eval()


def accuracies(model, eps=0.1):
    """Of 200 test images: clean, and under PGD through the adaptive view."""
    data = ImageDataModule("digits")
    x, y, _ = data.test_samples(0, 200)
    x_adv = craft(lambda view: PGD(view, eps, steps=10), model.adaptive_view(), x, y).x_adv
    with torch.no_grad():
        return [(model(z).argmax(dim=1) == y).float().mean().item() for z in (x, x_adv)]


@cache
def undefended():
    """Return the `accuracies` of a network that was trained without any defense."""
    return accuracies(trained(Standard))
