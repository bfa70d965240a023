"""What a config gives a trainer, and fails only when it is called, ends a training in one line."""

import pytest
import torch
from torch import nn

from robust.commands.train import train
from tests.support.tiny import NO_ATTACKS, arguments

CALLBACK = "lightning.pytorch.callbacks.LambdaCallback"
RELU = "torch.nn.functional.relu"


class FailsAtSize(nn.Module):
    """For 1x28x28 images; of so many it fails, in one mode."""

    def __init__(self, size: int, training: bool, num_classes: int = 10) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, num_classes))
        self.size, self.in_training = size, training

    def forward(self, x):
        if len(x) == self.size and self.training == self.in_training:
            raise ValueError("not so many, please")
        return self.layers(x)


def ended(capsys, npz, suite, runs, *changes):
    """The one line on standard error."""
    words = arguments(npz, runs, suite, "Standard", epochs=1)
    assert train([*words, NO_ATTACKS, *changes]) == 2
    (line,) = [e for e in capsys.readouterr().err.splitlines() if not e.startswith("note: ")]
    assert len(line) <= 300
    return line


@pytest.mark.parametrize("hook", ["on_train_start", "on_train_epoch_end", "on_test_end"])
def test_a_function_of_a_callback(capsys, npz, suite, tmp_path, quiet, hook):
    given = f"--trainer.callbacks={{class_path: {CALLBACK}, init_args: {{{hook}: {RELU}}}}}"
    line = ended(capsys, npz, suite, tmp_path / "runs", given)
    assert line.startswith("error: Expected LambdaCallback of `trainer.callbacks` to work, but its")
    assert f"its {hook} failed (TypeError: relu_()" in line
    # Before the first step nothing is worth a folder; later what is there stays.
    assert (tmp_path / "runs").exists() == (hook != "on_train_start")


def test_a_callback_that_refuses_its_arguments(capsys, npz, suite, tmp_path, quiet):
    kind = "lightning.pytorch.callbacks.StochasticWeightAveraging"
    given = f"--trainer.callbacks={{class_path: {kind}, init_args: {{swa_lrs: -1.0}}}}"
    line = ended(capsys, npz, suite, tmp_path / "runs", given)
    assert "StochasticWeightAveraging to be built from its `init_args`, but it raised" in line
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_a_logger_cannot_make(capsys, npz, suite, tmp_path, quiet):
    kind = "lightning.pytorch.loggers.CSVLogger"
    given = f"--trainer.logger={{class_path: {kind}, init_args: {{save_dir: /proc/nope}}}}"
    line = ended(capsys, npz, suite, tmp_path / "runs", given)
    assert "Expected CSVLogger of `trainer.logger` to work" in line
    assert "/proc/nope" in line


def test_a_logger(capsys, npz, suite, tmp_path, quiet, monkeypatch):
    def failing(self, *args, **kwargs):
        raise KeyError("epoch")

    from lightning.pytorch.loggers import CSVLogger

    monkeypatch.setattr(CSVLogger, "log_metrics", failing)
    kind = "lightning.pytorch.loggers.CSVLogger"
    given = f"--trainer.logger={{class_path: {kind}, init_args: {{save_dir: {tmp_path}}}}}"
    line = ended(capsys, npz, suite, tmp_path / "runs", given)
    assert "Expected CSVLogger of `trainer.logger` to work" in line
    assert "(KeyError: 'epoch')" in line


@pytest.mark.parametrize(("size", "training", "mode"), [(16, True, "train"), (30, False, "eval")])
def test_a_network_that_fails_at_one_size(
    capsys, npz, suite, tmp_path, quiet, size, training, mode
):
    network = "tests.tracking.test_failures.FailsAtSize"
    given = [f"--model.network={network}", f"--model.network.size={size}"]
    given += [f"--model.network.training={training}", "--data.eval_batch_size=30"]
    line = ended(capsys, npz, suite, tmp_path / "runs", *given)
    assert f"batches of any size, but of {size} images in {mode} mode it fails (ValueError" in line
    # That it fails in eval mode is seen after the last step, and what was trained stays.
    assert (tmp_path / "runs").exists() == (mode == "eval")


def test_a_defect_of_ours_keeps_its_traceback(npz, suite, tmp_path, quiet, monkeypatch):
    from robust.defenses import Standard

    def failing(self, x, y):
        raise IndexError("ours")

    monkeypatch.setattr(Standard, "training_loss", failing)
    given = f"--trainer.callbacks={{class_path: {CALLBACK}}}"
    with pytest.raises(IndexError, match="ours"):
        train([*arguments(npz, tmp_path / "runs", suite, "Standard"), NO_ATTACKS, given])


def test_python_says_it_too(npz):
    import robust

    images = torch.zeros(30, 1, 28, 28), torch.arange(30) % 10
    network = FailsAtSize(30, training=False)
    with pytest.raises(robust.errors.ConfigError, match="FailsAtSize to take batches of any size"):
        robust.evaluate(network, images, attacks=["fgsm"], eps=0.1, progress=False)
