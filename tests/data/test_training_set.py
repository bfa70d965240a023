"""Transformed training sets: what is trained on, and that files are used, safe and repaired."""

import os
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn

from robust.commands.train import train
from robust.data import ImageDataModule, TrainingSet
from robust.data.loaders import split
from robust.errors import ConfigError
from robust.transforms import FeatureSqueezing, TotalVariation

MODES = ["original", "transformed", "original+transformed"]


class Counted(nn.Module):
    """Turns images to their negatives, and counts them."""

    def __init__(self, shift=0.0):
        super().__init__()
        self.shift = shift
        self._seen = []

    def forward(self, x):
        assert not self.training
        self._seen.append(len(x))
        return 1 - x + self.shift


def data(npz, mode="original+transformed", transform=None, cache=None, **arguments):
    training_set = TrainingSet(transform or Counted(), mode, cache)
    return ImageDataModule(str(npz), training_set=training_set, **arguments)


def epoch(datamodule):
    batches = list(datamodule.train_dataloader())
    x, y, index = (torch.cat([b[i] for b in batches]) for i in range(3))
    order = index.argsort()
    return x[order], y[order], index[order]


def files(npz, name="transformed"):
    return sorted((npz.parent / name).glob("*"))


@pytest.mark.parametrize("mode", MODES)
def test_what_is_trained_on(npz, arrays, mode):
    datamodule = data(npz, mode, batch_size=7, val_fraction=0.2)
    x, y, index = epoch(datamodule)
    kept, held_out = split(44, 0.2, seed=0)
    forms = {"original": [0], "transformed": [1], "original+transformed": [0, 1]}[mode]
    images = torch.from_numpy(arrays["x_train"]).unsqueeze(1)[kept]
    labels = torch.from_numpy(arrays["y_train"])[kept]
    assert torch.equal(x, torch.cat([255 - images if form else images for form in forms]))
    assert torch.equal(y, labels.repeat(len(forms)))
    both = mode == "original+transformed"
    assert torch.equal(index, torch.cat([kept + 44 * form * both for form in forms]))
    (batch,) = datamodule.val_dataloader()
    assert torch.equal(batch.index, held_out)
    assert torch.equal(batch.x, torch.from_numpy(arrays["x_train"]).unsqueeze(1)[held_out])
    assert torch.equal(datamodule.train_images, torch.from_numpy(arrays["x_train"]).unsqueeze(1))
    assert datamodule.test_samples(0, 1).x.shape == (1, 1, 8, 8)
    assert bool(files(npz)) == (mode != "original")


def test_it_is_total_variation_minimization(npz, arrays):
    transform = TotalVariation(iterations=30)
    x, _, _ = epoch(data(npz, "transformed", transform, val_fraction=0.0))
    z = transform(torch.from_numpy(arrays["x_train"]).unsqueeze(1) / 255)
    assert torch.equal(x, (z * 255).round().byte())


def test_a_second_run_reads_the_file(npz):
    first, second = Counted(), Counted()
    x = epoch(data(npz, transform=first))
    assert sum(first._seen) == 44 + 8
    assert len(files(npz)) == 1
    again = epoch(data(npz, transform=second))
    assert sum(second._seen) == 8  # those of the key
    assert torch.equal(x[0], again[0])


def test_what_makes_another_file(npz, arrays):
    epoch(data(npz, transform=Counted()))
    epoch(data(npz, "transformed", transform=Counted()))  # the same images
    assert len(files(npz)) == 1
    epoch(data(npz, transform=Counted(shift=1e-9)))
    assert len(files(npz)) == 2
    epoch(data(npz, transform=TotalVariation(iterations=2)))
    epoch(data(npz, transform=TotalVariation(iterations=2, drop=0.4)))
    epoch(data(npz, transform=TotalVariation(iterations=2, seed=None)))
    assert len(files(npz)) == 5
    arrays["x_train"][-1, 0, 0] ^= 1
    np.savez(npz, **arrays)
    epoch(data(npz, transform=Counted()))
    assert len(files(npz)) == 6


def test_changed_code_makes_another_file(npz, monkeypatch):
    epoch(data(npz))
    monkeypatch.setattr(Counted, "forward", lambda self, x: x / 2)
    x, _, _ = epoch(data(npz, "transformed", val_fraction=0.0))
    assert x.max() < 129
    assert len(files(npz)) == 2


def test_weights_make_another_file(npz):
    for factor in (1.0, 0.5):
        layer = nn.Conv2d(1, 1, 1)
        nn.init.constant_(layer.weight, factor)
        nn.init.zeros_(layer.bias)
        epoch(data(npz, transform=layer))
    assert len(files(npz)) == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other shape", "no zip"])
def test_a_damaged_file_is_written_again(npz, damage):
    x, _, _ = epoch(data(npz))
    (file,) = files(npz)
    intact = file.read_bytes()
    if damage == "cut":
        file.write_bytes(intact[:-200])
    elif damage == "flipped":
        middle = len(intact) // 2
        file.write_bytes(intact[:middle] + bytes([intact[middle] ^ 1]) + intact[middle + 1 :])
    elif damage == "other shape":
        np.savez(file, x=np.zeros((44, 1, 8, 7), dtype=np.uint8))
    else:
        file.write_bytes(b"" if damage == "empty" else b"no zip")
    repaired, _, _ = epoch(data(npz))
    assert torch.equal(repaired, x)
    assert files(npz) == [file]
    assert file.read_bytes() == intact


def test_many_may_write_at_once(npz):
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: epoch(data(npz))[0], range(4)))
    assert all(torch.equal(x, made[0]) for x in made)
    assert [file.suffix for file in files(npz)] == [".npz"]


def test_named_sets_keep_it_in_their_root(mnist_root):
    epoch(ImageDataModule(root=str(mnist_root), training_set=TrainingSet(Counted())))
    assert len(list((mnist_root / "transformed").iterdir())) == 1


def test_a_folder_of_its_own(npz, tmp_path):
    epoch(data(npz, cache=str(tmp_path / "own" / "folder")))
    assert not files(npz)
    assert len(files(npz, "own/folder")) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(npz, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(ConfigError, match=r"transformed images to \S+/closed, but got"):
        epoch(data(npz, cache=str(tmp_path / "closed")))


def test_a_folder_that_is_a_file(npz, tmp_path):
    (tmp_path / "file").write_text("")
    transform = Counted()
    with pytest.raises(ConfigError) as error:
        epoch(data(npz, transform=transform, cache=str(tmp_path / "file")))
    assert re.fullmatch(r"Expected [^\n]*, but got: [^\n]*cache`\.", str(error.value))
    assert sum(transform._seen) == 8  # said so before the work


def test_a_disk_that_fills_up(npz, monkeypatch):
    def full(stream, **arrays):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("robust.data.training_set.np.savez", full)
    with pytest.raises(ConfigError, match="but got: No space left on device"):
        epoch(data(npz))
    assert not files(npz)


@pytest.mark.parametrize(
    ("forward", "match"),
    [
        (lambda self, x: x[..., 1:], r"shape \(1, 8, 8\) from Counted, but got \(1, 8, 7\)\."),
        (lambda self, x: x / 0, r"finite pixels from Counted"),
    ],
)
def test_a_transform_that_does_not_fit(npz, forward, match, monkeypatch):
    monkeypatch.setattr(Counted, "forward", forward)
    with pytest.raises(ConfigError, match=match):
        epoch(data(npz))


def test_random_transforms_leave_the_random_state(npz):
    state = torch.get_rng_state()
    epoch(data(npz, transform=TotalVariation(iterations=2, seed=None)))
    assert torch.equal(torch.get_rng_state(), state)


class Fitted(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 4)
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen += batch.index.tolist()
        return self.layer(batch.x.flatten(1)).square().mean()

    def validation_step(self, batch, batch_idx):
        pass

    def test_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
def test_made_for_training_alone(npz):
    def trainer():
        return Trainer(
            accelerator="cpu",
            max_epochs=1,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
        )

    transform = Counted()
    datamodule = data(npz, transform=transform, val_fraction=0.0)
    trainer().test(Fitted(), datamodule=datamodule, verbose=False)
    assert not transform._seen
    model = Fitted()
    trainer().fit(model, datamodule=datamodule)
    assert sorted(model.seen) == list(range(88))


def test_from_the_command_line(npz, arrays, tmp_path, quiet, capsys):
    random = np.random.RandomState(0)
    for part in ("train", "test"):
        n = len(arrays[f"y_{part}"])
        arrays[f"x_{part}"] = random.randint(0, 256, (n, 28, 28)).astype(np.uint8)
    np.savez(npz, **arrays)
    arguments = [
        "fit",
        "--model=robust.defenses.Standard",
        "--model.network=tests.support.tiny.TinyNetwork",
        "--model.network.num_classes=4",
        "--data=ImageDataModule",
        f"--data.dataset={npz}",
        "--data.training_set=robust.data.TrainingSet",
        "--data.training_set.mode=original+transformed",
        "--data.training_set.transform=robust.transforms.FeatureSqueezing",
        "--data.training_set.transform.bits=1",
        f"--run.root={tmp_path / 'runs'}",
        "--trainer.max_epochs=1",
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
    ]
    assert train(arguments) == 0, capsys.readouterr().err
    (file,) = files(npz)
    assert file.name.startswith(FeatureSqueezing.__name__)
    bad = [*arguments, f"--data.training_set.cache={npz}"]
    assert train(bad) != 0
    error = capsys.readouterr().err.strip()
    assert "Expected to write transformed images" in error
    assert "Traceback" not in error
