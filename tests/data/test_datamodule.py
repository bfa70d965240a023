"""The data module: what batches hold, how ranks share them, and that a resumed run is the same."""

from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torchvision.transforms.functional import to_tensor

from robust.data import ImageDataModule
from robust.data.datasets import DATASETS
from robust.data.loaders import evaluation_pieces, split
from robust.errors import ConfigError
from robust.types import Batch

# https://github.com/Lightning-AI/pytorch-lightning/issues/21326
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs" / "data").glob("*.yaml"))


def on_rank(datamodule, rank, world, epoch=0):
    """Make ``datamodule`` believe in a trainer at ``epoch``."""
    progress = SimpleNamespace(current=SimpleNamespace(processed=epoch))
    datamodule.trainer = SimpleNamespace(
        global_rank=rank,
        world_size=world,
        overfit_batches=0,
        num_training_batches=float("inf"),
        fit_loop=SimpleNamespace(epoch_progress=progress),
    )
    return datamodule


def indices(loader):
    return [batch.index.tolist() for batch in loader]


# --- arguments


def test_facts_need_no_files(tmp_path):
    facts = {
        name: (data.name, data.shape, data.num_classes)
        for name in ("mnist", "fashion_mnist", "cifar10", "digits")
        for data in [ImageDataModule(name, root=str(tmp_path / "none"))]
    }
    assert facts == {
        "mnist": ("mnist", (1, 28, 28), 10),
        "fashion_mnist": ("fashion_mnist", (1, 28, 28), 10),
        "cifar10": ("cifar10", (3, 32, 32), 10),
        "digits": ("digits", (1, 28, 28), 10),
    }


def test_facts_of_a_file(arrays, tmp_path):
    arrays["y_test"][0] = 6  # the largest label may be in either part
    np.savez(tmp_path / "my set.npz", **arrays)
    data = ImageDataModule(str(tmp_path / "my set.npz"))
    assert (data.name, data.shape, data.num_classes) == ("my set", (1, 8, 8), 7)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"batch_size": 0}, r"`batch_size` to be at least 1, but got 0\."),
        ({"eval_batch_size": -3}, r"`eval_batch_size` to be at least 1, but got -3\."),
        ({"val_fraction": 1.0}, r"`val_fraction` in \[0, 1\), but got 1\.0\."),
        ({"val_fraction": float("nan")}, r"`val_fraction` in \[0, 1\), but got nan\."),
        ({"val_fraction": -0.1}, r"`val_fraction` in \[0, 1\), but got -0\.1\."),
        ({"seed": -1}, r"`seed` to be 0 to 2\*\*32 - 1, but got -1\."),
        ({"dataset": "minst"}, r"but got 'minst'\. Did you mean mnist\?"),
        ({"dataset": "none.npz"}, r"data file at none\.npz, but there is no such file"),
    ],
)
def test_arguments_out_of_range(arguments, match):
    with pytest.raises(ConfigError, match=rf"\AExpected [^\n]*{match}[^\n]*\Z"):
        ImageDataModule(**arguments)


def test_environment_overrides_root(mnist_root, monkeypatch):
    monkeypatch.setenv("ROBUST_DATA_DIR", str(mnist_root))
    data = ImageDataModule(root="nowhere")
    data.prepare_data()
    assert data.test_size == 20


def test_setup_without_files(tmp_path):
    with pytest.raises(ConfigError, match=r"MNIST/raw, but got none .*ROBUST_DATA_DIR"):
        ImageDataModule(root=str(tmp_path)).setup("fit")


def test_setup_reads_once(mnist_root):
    data = ImageDataModule(root=str(mnist_root))
    data.setup("fit")
    for file in mnist_root.rglob("*-ubyte"):
        file.unlink()
    data.setup("test")
    assert data.test_size == 20


def test_digits_prepare_nothing(tmp_path):
    ImageDataModule("digits", root=str(tmp_path)).prepare_data()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config(path):
    parser = ArgumentParser()
    parser.add_subclass_arguments(LightningDataModule, "data")
    config = parser.parse_args([f"--data={path}"])
    data = parser.instantiate(config).data
    assert isinstance(data, ImageDataModule)
    assert path.stem.startswith(data.name)
    ingredients = path.stem.removeprefix(data.name)
    assert (data.augmentation is not None) == (ingredients == "_gaussian")
    modes = {"_tvm": "transformed", "_original_tvm": "original+transformed"}
    assert (data.crops is not None) == (ingredients in {"_crops", *modes})
    mode = None if data.training_set is None else data.training_set.mode
    assert mode == modes.get(ingredients)


def test_every_named_set_has_a_config():
    toys = {path.stem for path in (ROOT / "configs" / "toy").glob("*.yaml")}
    assert {path.stem for path in CONFIGS} | toys >= set(DATASETS)


# --- batches


def test_loaders_hand_out_bytes_with_their_positions(npz, arrays):
    data = ImageDataModule(str(npz), batch_size=16, eval_batch_size=4, val_fraction=0.25)
    parts = {
        "train": list(data.train_dataloader()),
        "val": list(data.val_dataloader()),
        "test": list(data.test_dataloader()),
    }
    for name, batches in parts.items():
        part = "test" if name == "test" else "train"
        for batch in batches:
            assert isinstance(batch, Batch)
            assert batch.x.dtype == torch.uint8
            assert batch.y.dtype == batch.index.dtype == torch.int64
            np.testing.assert_array_equal(batch.x[:, 0], arrays[f"x_{part}"][batch.index.numpy()])
            np.testing.assert_array_equal(batch.y, arrays[f"y_{part}"][batch.index.numpy()])
    sizes = {name: [len(batch.y) for batch in batches] for name, batches in parts.items()}
    assert sizes == {"train": [16, 17], "val": [3, 4, 4], "test": [3, 3, 4]}


def test_conversion_is_that_of_torchvision(npz):
    data = ImageDataModule(str(npz))
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    batch = Batch(torch.from_numpy(image)[None, None], torch.tensor([3]), torch.tensor([7]))
    converted = data.on_after_batch_transfer(batch, 0)
    assert converted.x.dtype == torch.float32
    assert torch.equal(converted.x[0], to_tensor(image))
    assert (converted.y.item(), converted.index.item()) == (3, 7)
    assert batch.x.dtype == torch.uint8


@pytest.mark.gpu
def test_conversion_is_the_same_on_a_gpu(npz):
    data = ImageDataModule(str(npz))
    x = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    batch = Batch(x, torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    on_gpu = Batch(*(tensor.cuda() for tensor in batch))
    converted = data.on_after_batch_transfer(on_gpu, 0).x
    assert converted.is_cuda
    assert torch.equal(converted.cpu(), data.on_after_batch_transfer(batch, 0).x)


def test_batches_may_be_overwritten(npz):
    data = ImageDataModule(str(npz))
    before = data.fingerprint(10)
    for batch in data.test_dataloader():
        batch.x.zero_()
        batch.y.zero_()
        batch.index.zero_()
    data.test_samples(0, 10).x.zero_()
    assert data.fingerprint(10) == before
    assert indices(data.test_dataloader()) == [list(range(10))]


@pytest.mark.parametrize(("start", "stop"), [(0, 10), (3, 7), (9, 10), (4, 4)])
def test_test_samples(npz, arrays, start, stop):
    batch = ImageDataModule(str(npz)).test_samples(start, stop)
    assert batch.x.shape == (stop - start, 1, 8, 8)
    assert batch.x.dtype == torch.float32
    expected = (arrays["x_test"][start:stop] / np.float32(255)).astype(np.float32)
    np.testing.assert_array_equal(batch.x[:, 0], expected)
    np.testing.assert_array_equal(batch.y, arrays["y_test"][start:stop])
    assert batch.index.tolist() == list(range(start, stop))


@pytest.mark.parametrize(("start", "stop"), [(0, 11), (-1, 3), (5, 4)])
def test_test_samples_out_of_range(npz, start, stop):
    data = ImageDataModule(str(npz))
    with pytest.raises(ConfigError, match=rf"10 test samples of fake, but got {start} to {stop}\."):
        data.test_samples(start, stop)


def test_fingerprint_sees_images_labels_and_length(arrays, tmp_path):
    def fingerprint(stop=8, **change):
        np.savez(tmp_path / "a.npz", **arrays | change)
        return ImageDataModule(str(tmp_path / "a.npz")).fingerprint(stop)

    x, y = arrays["x_test"].copy(), arrays["y_test"].copy()
    same = fingerprint()
    assert len(same) == 16
    assert fingerprint(x_train=arrays["x_train"] + 1) == same
    x[8], y[8] = 0, 3
    assert fingerprint(x_test=x, y_test=y) == same
    assert fingerprint(stop=9, x_test=x, y_test=y) != fingerprint(stop=9)
    x[7, 0, 0] ^= 1
    assert fingerprint(x_test=x) != same
    y[7] = 0
    assert fingerprint(y_test=y) != same
    assert fingerprint(stop=7) != same
    transposed = arrays["x_test"].reshape(10, 4, 16), arrays["x_train"].reshape(44, 4, 16)
    assert fingerprint(x_test=transposed[0], x_train=transposed[1]) != same


def test_fingerprint_of_digits_is_golden():
    # Recorded results carry it: the resize and the split must not change.
    assert ImageDataModule("digits").fingerprint(360) == "b70ccecdc10ab12e"


# --- split and order


@pytest.mark.parametrize(
    ("n", "fraction", "held_out"), [(100, 0.05, 5), (100, 0.0, 0), (3, 0.01, 1), (3, 0.99, 2)]
)
def test_split(n, fraction, held_out):
    train, val = split(n, fraction, seed=3)
    assert len(val) == held_out
    assert sorted([*train.tolist(), *val.tolist()]) == list(range(n))
    assert torch.equal(train, train.sort().values)
    assert torch.equal(val, val.sort().values)


def test_split_follows_the_seed():
    assert torch.equal(split(100, 0.2, seed=1)[1], split(100, 0.2, seed=1)[1])
    assert not torch.equal(split(100, 0.2, seed=1)[1], split(100, 0.2, seed=2)[1])


def test_no_validation(npz):
    data = ImageDataModule(str(npz), val_fraction=0.0)
    assert data.val_dataloader() == []
    assert sorted(chain(*indices(data.train_dataloader()))) == list(range(44))


def test_order_differs_between_epochs_and_seeds_and_is_reproducible(npz):
    def epochs(seed):
        loader = ImageDataModule(str(npz), batch_size=10, seed=seed).train_dataloader()
        return [indices(loader) for _ in range(3)]

    first = epochs(0)
    assert first == epochs(0)
    assert first[0] != first[1] != first[2] != first[0]
    assert first[0] != epochs(1)[0]
    orders = [list(chain(*epoch)) for epoch in first]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2])
    assert orders[0] != sorted(orders[0])


def test_order_begins_with_the_trainers_epoch(npz):
    alone = ImageDataModule(str(npz)).train_dataloader()
    epochs = [indices(alone) for _ in range(4)]
    loader = on_rank(ImageDataModule(str(npz)), 0, 1, epoch=2).train_dataloader()
    assert [indices(loader), indices(loader)] == epochs[2:]


@pytest.mark.parametrize("taken", [1, 3, 5])
def test_state_goes_on_with_the_next_batch(npz, taken):
    def loader():
        return ImageDataModule(str(npz), batch_size=9).train_dataloader()

    epochs = [indices(one) for one in [loader()] for _ in range(3)]
    interrupted = loader()
    indices(interrupted)
    iterator = iter(interrupted)
    seen = [next(iterator).index.tolist() for _ in range(taken)]
    assert seen == epochs[1][:taken]
    resumed = loader()
    resumed.load_state_dict(interrupted.state_dict())
    iter(resumed)  # not read: must not count
    rest = indices(resumed)
    assert rest == (epochs[1][taken:] or epochs[2])
    assert len(resumed) == 5


def test_epoch_left_halfway_is_over(npz):
    loader, uninterrupted = (
        ImageDataModule(str(npz), batch_size=9).train_dataloader() for _ in range(2)
    )
    epochs = [indices(uninterrupted), indices(uninterrupted)]
    assert next(iter(loader)).index.tolist() == epochs[0][0]
    assert indices(loader) == epochs[1]


def test_state_of_another_batch_size(npz):
    loader = ImageDataModule(str(npz), batch_size=9).train_dataloader()
    next(iter(loader))
    other = ImageDataModule(str(npz), batch_size=5).train_dataloader()
    with pytest.raises(
        ConfigError, match=r"epoch of 5 batches after batch 1, but got one of 9\. .*`batch_size`"
    ):
        other.load_state_dict(loader.state_dict())
    indices(loader)
    other.load_state_dict(loader.state_dict())  # a finished epoch leaves nothing to go on with
    assert len(indices(other)) == 9


# --- ranks


@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize("batch_size", [1, 2, 7, 500])
@pytest.mark.parametrize("n", [8, 9, 13, 64, 997])
def test_evaluation_pieces(n, batch_size, world):
    ranks = [evaluation_pieces(n, batch_size, rank, world) for rank in range(world)]
    assert len({len(pieces) for pieces in ranks}) == 1
    taken = [list(range(n)[piece]) for pieces in zip(*ranks, strict=True) for piece in pieces]
    assert list(chain(*taken)) == list(range(n))
    sizes = [len(piece) for piece in taken]
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= batch_size + (batch_size == 1 and world > 1)


def test_evaluation_pieces_with_fewer_samples_than_ranks():
    ranks = [evaluation_pieces(3, 10, rank, 5) for rank in range(5)]
    assert [len(pieces) for pieces in ranks] == [1] * 5
    assert sorted(chain(*(range(3)[pieces[0]] for pieces in ranks))) == [0, 1, 2]


@pytest.mark.parametrize("part", ["val", "test"])
def test_evaluation_loaders_share(npz, part):
    def loader(rank, world):
        data = ImageDataModule(str(npz), eval_batch_size=2, val_fraction=0.3)
        return getattr(on_rank(data, rank, world), f"{part}_dataloader")()

    (alone,) = [list(chain(*indices(loader(0, 1))))]
    shares = [indices(loader(rank, 3)) for rank in range(3)]
    assert [len(share) for share in shares] == [len(loader(0, 3))] * 3
    assert sorted(chain(*chain(*shares))) == alone


@pytest.mark.parametrize("batch_size", [1, 4, 7, 100])
@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_training_loaders_share(npz, world, batch_size):
    def loader(rank):
        data = ImageDataModule(str(npz), batch_size=batch_size)
        return on_rank(data, rank, world, epoch=1).train_dataloader()

    train, _ = split(44, 0.05, seed=0)
    shares = [indices(loader(rank)) for rank in range(world)]
    assert len({tuple(len(batch) for batch in share) for share in shares}) == 1
    assert [len(share) for share in shares] == [len(loader(0))] * world
    taken = list(chain(*chain(*shares)))
    assert len(taken) == len(set(taken)) == len(train) // world * world
    assert set(taken) <= set(train.tolist())


def test_training_needs_a_sample_for_each_rank(npz):
    data = on_rank(ImageDataModule(str(npz), val_fraction=0.9), 0, 5)
    with pytest.raises(ConfigError, match=r"one training sample per device, but got 4 for 5"):
        data.train_dataloader()


# --- under Lightning


class Linear(LightningModule):
    """Records what it was given."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(64, 4)
        self.seen = []
        self.validated = []

    def training_step(self, batch, batch_idx):
        assert isinstance(batch, Batch)
        assert batch.x.dtype == torch.float32
        self.seen.append((self.current_epoch, batch_idx, batch.index.tolist()))
        return F.cross_entropy(self.layer(batch.x.flatten(1)), batch.y)

    def validation_step(self, batch, batch_idx):
        assert batch.x.max() <= 1
        self.validated += batch.index.tolist()
        self.log("val/loss", 1.0 + batch.x.mean())

    def test_step(self, batch, batch_idx):
        self.validated += batch.index.tolist()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)


def fit(npz, folder, resume=None, checkpoint=None, **arguments):
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=checkpoint is not None,
        callbacks=[ModelCheckpoint(folder, save_top_k=-1, **checkpoint)] if checkpoint else [],
        num_sanity_val_steps=1,
        **arguments,
    )
    model = Linear()
    data = ImageDataModule(str(npz), batch_size=9, val_fraction=0.1)
    trainer.fit(model, datamodule=data, ckpt_path=resume, weights_only=True)
    return model


# The resumed run saves nothing: a ModelCheckpoint would warn of the folder that it shares.
@pytest.mark.sampled(every=4)
@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`:UserWarning")
@pytest.mark.parametrize(
    "length",
    [
        {"max_epochs": 2},
        {"max_epochs": 2, "limit_train_batches": 3},
        {"max_epochs": 2, "val_check_interval": 2},
        # Not with `val_check_interval`: Lightning 2.6 resumes `max_steps` at the end of an epoch
        # with a spurious epoch, of one batch in that case.
        {"max_steps": 8},
        {"max_steps": 8, "limit_train_batches": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "checkpoint",
    [
        {"every_n_train_steps": 2, "filename": "{epoch}-{step}"},
        {"every_n_epochs": 1, "filename": "{epoch}-{step}-train", "save_on_train_epoch_end": True},
        {"every_n_epochs": 1, "filename": "{epoch}-{step}-val", "save_on_train_epoch_end": False},
    ],
    ids=["every other step", "epoch end", "validation end"],
)
def test_resumed_run_is_bitwise_the_uninterrupted_one(npz, tmp_path, checkpoint, length):
    folder = tmp_path / "run"
    uninterrupted = fit(npz, folder, checkpoint=checkpoint, **length)
    steps = {
        path: torch.load(path, weights_only=True)["global_step"] for path in folder.glob("*.ckpt")
    }
    assert min(steps.values()) < len(uninterrupted.seen)
    for path, step in steps.items():
        resumed = fit(npz, folder, resume=path, **length)
        given = [index for _, _, index in resumed.seen]
        assert given == [index for _, _, index in uninterrupted.seen[step:]], path.name
        for name, weight in uninterrupted.state_dict().items():
            assert torch.equal(weight, resumed.state_dict()[name]), (path.name, name)


def test_epochs_advance_under_lightning(npz, tmp_path):
    seen = fit(npz, tmp_path, max_epochs=3).seen
    loader = ImageDataModule(str(npz), batch_size=9, val_fraction=0.1).train_dataloader()
    assert [index for _, _, index in seen] == [*indices(loader), *indices(loader), *indices(loader)]
    assert [epoch for epoch, _, _ in seen] == [0] * 5 + [1] * 5 + [2] * 5


def test_limited_epochs_advance_under_lightning(npz, tmp_path):
    seen = fit(npz, tmp_path, max_epochs=2, limit_train_batches=2).seen
    loader = ImageDataModule(str(npz), batch_size=9, val_fraction=0.1).train_dataloader()
    assert [index for _, _, index in seen] == indices(loader)[:2] + indices(loader)[:2]


def test_overfit_batches_repeat(npz, tmp_path):
    seen = fit(npz, tmp_path, max_epochs=3, overfit_batches=2).seen
    assert [index for _, _, index in seen[:2]] == [index for _, _, index in seen[2:4]]
    assert len(seen) == 6


def test_training_without_validation_set(npz, tmp_path):
    model = Linear()
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        max_epochs=1,
    )
    data = ImageDataModule(str(npz), val_fraction=0.0)
    trainer.fit(model, datamodule=data)
    assert model.validated == []
    assert len(model.seen[0][2]) == 44
    trainer.test(model, datamodule=data)
    assert model.validated == list(range(10))
