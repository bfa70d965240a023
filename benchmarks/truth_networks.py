"""The defenses of `truth.py`: those of ``configs/`` for MNIST, trained shortly and kept.

Their networks are small, so that all attacks of all libraries end within minutes.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from torch import nn

from robust.commands.train import train
from robust.loading.trained_run import TrainedRun
from robust.loading.trust import trusting

CONFIGS = Path(__file__).parents[1] / "configs"
BINARIZED = ("feature_squeezing", "iboi", "ibol")
_PERCEPTRONS = ("cdr", "iboi", "ibol", "inoi")
_TRAINED_BY_ATTACKS = ("adversarial_training", "trades")
ORDER = (
    *("squeezed", "distillation", "wnll", "codewords", "brelu_gda", "label_smoothing"),
    *("adversarial_training", "trades", "ibol", "iboi", "cdr", "feature_squeezing", "tvm"),
)
"""Defenses that are measured first."""


class SmallCNN(nn.Sequential):
    """It has two convolutions and two linear layers, as the small one of Wong and Kolter 2018.

    Args:
        num_classes: Number of outputs.
        activation: Builds the three activations.
    """

    def __init__(
        self, num_classes: int = 10, activation: Callable[[], nn.Module] = nn.ReLU
    ) -> None:
        super().__init__(
            *(nn.Conv2d(1, 16, 4, 2, 1), activation(), nn.Conv2d(16, 32, 4, 2, 1), activation()),
            *(nn.Flatten(), nn.Linear(32 * 7 * 7, 100), activation()),
            nn.Linear(100, num_classes),
        )


def names() -> list[str]:
    """Return the defenses whose config is of MNIST, in the order in which they are measured."""
    found = {p.stem for p in CONFIGS.glob("*.yaml") if "data/mnist" in p.read_text()}
    return [*(name for name in ORDER if name in found), *sorted(found - {*ORDER})]


def trained(name: str, kept: Path, batches: int) -> TrainedRun:
    """Return a defense after two short epochs; it is trained once.

    Args:
        name: Of its config.
        kept: Folder of the runs.
        batches: Of an epoch.
    """
    folder = kept / name / "a"
    with trusting([SmallCNN.__module__]):
        if not (folder / "trained").exists():
            _train(name, kept, batches)
            (folder / "trained").touch()
        return TrainedRun.load(folder)


def _train(name: str, kept: Path, batches: int) -> None:
    shutil.rmtree(kept / name, ignore_errors=True)
    status = train(
        [
            *("fit", "--config", str(CONFIGS / f"{name}.yaml"), "--evaluation.limit=2"),
            *("--trainer.max_epochs=2", f"--trainer.limit_train_batches={batches}"),
            *("--trainer.limit_val_batches=4", "--trainer.enable_progress_bar=false"),
            *(f"--run.root={kept}", f"--run.name={name}", "--run.id=a", *_changes(name)),
            *("--trust", SmallCNN.__module__),
        ]
    )
    if status:
        sys.exit(status)


def _changes(name: str) -> list[str]:
    """Return what is not as in the config."""
    changes = []
    if name not in _PERCEPTRONS:
        changes.append(f"--model.network={SmallCNN.__module__}.SmallCNN")
    if "brelu" in name:
        changes.append("--model.network.activation=robust.networks.BReLU")
    if name == "wnll":
        changes += ["--model.linear_epochs=1", "--model.wnll_epochs=1"]
    if name == "adversarial_training":
        changes += ["--model.attack.eps=0.2", "--model.attack.alpha=0.05"]
        changes += ["--model.attack.steps=7", "--model.optimizer.lr=0.001"]
        changes.append("--model.clean_share=0.5")  # without it, all images become one class
    if name == "trades":
        changes += ["--model.eps=0.2", "--model.alpha=0.05", "--model.steps=7"]
    return changes


def usual_eps(name: str, norm: str) -> float:
    """Return an eps at which some images of the defense are left, as far as attacks can tell."""
    if norm == "L2":
        return 1.5
    return 0.2 if name in (*BINARIZED, *_TRAINED_BY_ATTACKS) else 0.1
