"""Noisy copies: how many, which noise, the same after a resume and on every rank, in one batch."""

import tracemalloc
from itertools import chain

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentError, ArgumentParser
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from scipy import stats
from torch.utils._python_dispatch import TorchDispatchMode

from robust.data import GaussianAugmentation, ImageDataModule, RandomCrops
from robust.data.loaders import CopiedBatch, split
from robust.errors import ConfigError
from robust.types import Batch
from tests.data.test_datamodule import Linear, indices, on_rank

# https://github.com/Lightning-AI/pytorch-lightning/issues/21326
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")


def module(npz, batch_size=9, val_fraction=0.1, **augmentation):
    noise = GaussianAugmentation(**{"copies": 3, "sigma": 0.2, **augmentation})
    return ImageDataModule(
        str(npz), batch_size=batch_size, val_fraction=val_fraction, augmentation=noise
    )


def by_copy(data, loader):
    """The images of one epoch by their sample and copy."""
    images = {}
    for batch in loader:
        converted = data.on_after_batch_transfer(batch, 0)
        assert isinstance(converted, Batch)
        assert converted.x.dtype == torch.float32
        keys = zip(batch.index.tolist(), batch.copy.tolist(), strict=True)
        images |= dict(zip(keys, converted.x, strict=True))
    return images


def clean(arrays, index):
    return torch.from_numpy(arrays["x_train"][index] / np.float32(255)).unsqueeze(0)


# --- which samples


def test_an_epoch_holds_each_image_and_its_copies_in_a_shuffle(npz, arrays):
    data = module(npz)
    loader = data.train_dataloader()
    batches = list(loader)
    assert len(batches) == len(loader) == 18  # 40 * 4 of 9 each
    assert all(isinstance(batch, CopiedBatch) for batch in batches)
    for batch in batches:
        np.testing.assert_array_equal(batch.x[:, 0], arrays["x_train"][batch.index.numpy()])
        np.testing.assert_array_equal(batch.y, arrays["y_train"][batch.index.numpy()])
    index, _ = split(44, 0.1, seed=0)
    pairs = [
        (i, c) for b in batches for i, c in zip(b.index.tolist(), b.copy.tolist(), strict=True)
    ]
    assert pairs != sorted(pairs)
    assert sorted(pairs) == [(i, c) for i in index.tolist() for c in range(4)]


@pytest.mark.parametrize("off", [{"copies": 0}, {"sigma": 0.0}, {"copies": 0, "sigma": 0.0}])
def test_nothing_to_add_is_no_augmentation(npz, off):
    plain = ImageDataModule(str(npz), batch_size=9, val_fraction=0.1).train_dataloader()
    data = module(npz, **off)
    loader = data.train_dataloader()
    for _ in range(2):
        for batch, other in zip(loader, plain, strict=True):
            assert isinstance(batch, Batch)
            assert all(torch.equal(a, b) for a, b in zip(batch, other, strict=True))


def test_the_order_without_augmentation_is_numpys_permutation(npz):
    """Runs of earlier versions are resumed."""
    data = ImageDataModule(str(npz), batch_size=100, val_fraction=0.0, seed=5)
    loader = data.train_dataloader()
    for epoch in range(2):
        expected = np.random.RandomState([5, epoch]).permutation(44)
        assert indices(loader) == [expected.tolist()]


def test_validation_and_test_images_are_clean(npz):
    plain, data = ImageDataModule(str(npz), val_fraction=0.1), module(npz)
    for part in ("val_dataloader", "test_dataloader"):
        (batch,), (other,) = getattr(data, part)(), getattr(plain, part)()
        given, expected = (data.on_after_batch_transfer(b, 0) for b in (batch, other))
        assert all(torch.equal(a, b) for a, b in zip(given, expected, strict=True))
    assert torch.equal(data.test_samples(0, 10).x, plain.test_samples(0, 10).x)


# --- which noise


def test_copy_zero_is_the_image_and_the_others_are_normal_around_it(npz, arrays):
    data = module(npz, copies=20)
    images = by_copy(data, data.train_dataloader())
    noise = []
    for (index, copy), x in images.items():
        if copy == 0:
            assert torch.equal(x, clean(arrays, index))
        else:
            noise.append((x - clean(arrays, index)).flatten() / 0.2)
    every = torch.cat(noise)
    assert stats.kstest(every.numpy(), "norm").pvalue > 0.01
    assert abs(every.std() - 1) < 0.01
    assert min(x.min() for x in images.values()) < 0  # as published: not clipped
    assert max(x.max() for x in images.values()) > 1
    correlations = torch.corrcoef(torch.stack(noise)) - torch.eye(len(noise))
    assert correlations.abs().max() < 0.75  # of 64 pixels: no copy has another's noise


def test_uniform_noise_fills_its_interval(npz, arrays):
    data = module(npz, copies=20, noise="uniform")
    noise = [
        (x - clean(arrays, index)).flatten() / 0.2
        for (index, copy), x in by_copy(data, data.train_dataloader()).items()
        if copy
    ]
    every = torch.cat(noise).numpy()
    assert stats.kstest(every, "uniform", (-1, 2)).pvalue > 0.01
    assert abs(every).max() < 1 + 1e-5


def test_clipped_noise_is_that_noise_clipped(npz):
    plain, clipped = (module(npz, clip=clip) for clip in (False, True))
    images = by_copy(plain, plain.train_dataloader())
    for key, x in by_copy(clipped, clipped.train_dataloader()).items():
        assert torch.equal(x, images[key].clamp(0, 1))


@pytest.mark.parametrize("fresh", [False, True])
def test_noise_of_two_epochs(npz, fresh):
    data = module(npz, fresh=fresh)
    loader = data.train_dataloader()
    first, second = by_copy(data, loader), by_copy(data, loader)
    for (index, copy), x in first.items():
        assert torch.equal(x, second[index, copy]) == (copy == 0 or not fresh)


def test_noise_follows_the_seed_and_not_the_batch(npz):
    data, larger, other = module(npz), module(npz, batch_size=50), module(npz)
    other.seed = 1
    other.val_fraction = data.val_fraction = larger.val_fraction = 0.0
    images, again, others = (by_copy(d, d.train_dataloader()) for d in (data, larger, other))
    assert images.keys() == again.keys() == others.keys()
    for (index, copy), x in images.items():
        assert torch.equal(x, again[index, copy])
        assert torch.equal(x, others[index, copy]) == (copy == 0)


@pytest.mark.gpu
def test_noise_on_a_gpu_is_that_of_the_cpu(npz):
    data = module(npz)
    batch = next(iter(data.train_dataloader()))
    on_gpu = CopiedBatch(*(tensor.cuda() for tensor in batch[:4]), batch.epoch)
    noisy = data.on_after_batch_transfer(on_gpu, 0).x
    assert noisy.is_cuda
    expected = data.on_after_batch_transfer(batch, 0).x
    torch.testing.assert_close(noisy.cpu(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"copies": -1}, r"`copies` to be at least 0, but got -1\."),
        ({"sigma": -0.1}, r"`sigma` to be at least 0 and finite, but got -0\.1\."),
        ({"sigma": float("nan")}, r"`sigma` to be at least 0 and finite, but got nan\."),
        ({"sigma": float("inf")}, r"`sigma` to be at least 0 and finite, but got inf\."),
    ],
)
def test_arguments_out_of_range(arguments, match):
    with pytest.raises(ConfigError, match=rf"\AExpected {match}"):
        GaussianAugmentation(**arguments)


def test_unknown_noise():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(GaussianAugmentation, "augmentation")
    with pytest.raises(ArgumentError, match=r"(?s)noise.*pink"):
        parser.parse_args(["--augmentation.noise=pink"])


# --- ranks, states, memory


@pytest.mark.parametrize("world", [2, 3, 7])
def test_ranks_share_the_copies(npz, world):
    def loader(rank, world):
        return on_rank(module(npz, batch_size=4), rank, world, epoch=1).train_dataloader()

    data = module(npz)
    alone = by_copy(data, loader(0, 1))
    shares = [by_copy(data, loader(rank, world)) for rank in range(world)]
    # A last batch of one, as of 53 copies, is part of the one before.
    batches = -(-(160 // world) // 4) - (160 // world % 4 == 1)
    assert {len(loader(rank, world)) for rank in range(world)} == {batches}
    assert {len(share) for share in shares} == {160 // world}
    assert len(set(chain(*shares))) == 160 // world * world
    for share in shares:
        assert all(torch.equal(x, alone[key]) for key, x in share.items())


def test_state_of_another_number_of_copies(npz):
    loader = module(npz).train_dataloader()
    next(iter(loader))
    with pytest.raises(ConfigError, match=r"epoch of 18 batches after batch 1, but got one of 14"):
        module(npz, copies=2).train_dataloader().load_state_dict(loader.state_dict())


class Largest(TorchDispatchMode):
    """Notes the bytes of the largest tensor that an operation of torch makes."""

    bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **kwargs or {})
        if isinstance(made, torch.Tensor):
            self.bytes = max(self.bytes, made.nbytes)
        return made


def test_an_epoch_is_never_in_memory(tmp_path):
    n, copies = 4000, 50
    x = np.zeros((n, 28, 28), dtype=np.uint8)
    y = np.zeros(n, dtype=np.int64)
    np.savez(tmp_path / "x.npz", x_train=x, y_train=y, x_test=x[:2], y_test=y[:2])
    data = module(tmp_path / "x.npz", batch_size=128, copies=copies)
    loader = data.train_dataloader()
    tracemalloc.start()
    iterator = iter(loader)
    with Largest() as largest:
        for _ in range(5):
            data.on_after_batch_transfer(next(iterator), 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    order = 4 * n * (1 + copies)  # int32
    assert peak < order + 2**20
    assert 0 < largest.bytes <= x.nbytes  # a view of the set itself counts


# --- under Lightning


class Noisy(Linear):
    """Records the sum of each batch too."""

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.seen[-1] += (batch.x.double().sum().item(),)
        return loss


def fit(data, folder=None, resume=None, **arguments):
    callbacks = [ModelCheckpoint(folder, "{step}", save_top_k=-1, every_n_train_steps=5)]
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=folder is not None,
        callbacks=callbacks if folder else [],
        **arguments,
    )
    model = Noisy()
    trainer.fit(model, datamodule=data, ckpt_path=resume, weights_only=True)
    return model


# The resumed run saves nothing: a ModelCheckpoint would warn of the folder that it shares.
@pytest.mark.sampled(every=2)
@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`:UserWarning")
@pytest.mark.parametrize("fresh", [False, True])
def test_resumed_run_is_bitwise_the_uninterrupted_one(npz, tmp_path, fresh):
    uninterrupted = fit(module(npz, fresh=fresh), tmp_path / "run", max_epochs=2)
    assert len(uninterrupted.seen) == 36
    for step in (5, 20):
        path = tmp_path / "run" / f"step={step}.ckpt"
        resumed = fit(module(npz, fresh=fresh), resume=path, max_epochs=2)
        assert [row[2:] for row in resumed.seen] == [row[2:] for row in uninterrupted.seen[step:]]
        for name, weight in uninterrupted.state_dict().items():
            assert torch.equal(weight, resumed.state_dict()[name]), (step, name)


@pytest.mark.parametrize("fresh", [False, True])
def test_overfit_batches_repeat_with_their_noise(npz, fresh):
    seen = fit(module(npz, fresh=fresh), max_epochs=3, overfit_batches=2).seen
    assert [row[1:] for row in seen[:2]] == [row[1:] for row in seen[2:4]]
    assert len(seen) == 6
    first, _ = split(44, 0.1, seed=0)
    assert seen[0][2] == first.repeat_interleave(4)[: len(seen[0][2])].tolist()


# --- random crops


def cropped(npz, **settings):
    crops = RandomCrops(**{"padding": 2, **settings})
    return ImageDataModule(str(npz), batch_size=9, val_fraction=0.1, crops=crops)


def by_sample(loader):
    return {i: x for b in loader for i, x in zip(b.index.tolist(), b.x, strict=True)}


def windows(image, padding):
    """Every crop of the framed image."""
    framed = np.pad(image, padding)
    side = len(image)
    return [
        framed[i : i + side, j : j + side]
        for i in range(2 * padding + 1)
        for j in range(2 * padding + 1)
    ]


@pytest.mark.parametrize("flip", [False, True])
def test_crops_are_windows_of_the_framed_image(npz, arrays, flip):
    data = cropped(npz, flip=flip)
    loader, found = data.train_dataloader(), set()
    for _ in range(20):
        for index, x in by_sample(loader).items():
            assert x.dtype == torch.uint8
            image = arrays["x_train"][index]
            crops = windows(image, 2)
            mirrored = [window[:, ::-1] for window in crops] if flip else []
            same = (np.array(crops + mirrored) == x[0].numpy()).all(axis=(1, 2))
            places = same.nonzero()[0].tolist()
            assert places, index
            found.update(places)
    assert found == set(range(50 if flip else 25))


def test_crops_follow_seed_epoch_and_sample_alone(npz):
    data, larger = cropped(npz), cropped(npz)
    larger.batch_size = 50
    loader = data.train_dataloader()
    first, second = by_sample(loader), by_sample(loader)
    again = by_sample(larger.train_dataloader())
    assert all(torch.equal(x, again[i]) for i, x in first.items())
    assert any(not torch.equal(x, second[i]) for i, x in first.items())
    other = cropped(npz)
    other.seed = 1
    other.val_fraction = larger.val_fraction = 0.0
    images = by_sample(larger.train_dataloader())
    assert any(
        not torch.equal(x, images[i]) for i, x in by_sample(other.train_dataloader()).items()
    )


def test_a_crop_without_frame_and_mirror_is_the_image(npz):
    plain = by_sample(ImageDataModule(str(npz), val_fraction=0.1).train_dataloader())
    same = by_sample(cropped(npz, padding=0, flip=False).train_dataloader())
    assert all(torch.equal(x, same[i]) for i, x in plain.items())


def test_what_is_evaluated_is_complete(npz, arrays):
    data = cropped(npz)
    for part in ("val_dataloader", "test_dataloader"):
        other = getattr(ImageDataModule(str(npz), val_fraction=0.1), part)()
        for a, b in zip(getattr(data, part)(), other, strict=True):
            assert torch.equal(a.x, b.x)
    samples, _ = data.trained_samples()
    assert np.array_equal(samples.x[:, 0], arrays["x_train"])


def test_each_noisy_copy_is_a_crop_of_its_own(npz):
    noise = GaussianAugmentation(copies=3, sigma=0.2)
    data = ImageDataModule(
        str(npz), batch_size=9, val_fraction=0.1, augmentation=noise, crops=RandomCrops(2)
    )
    raw = {
        (i, c): x
        for b in data.train_dataloader()
        for i, c, x in zip(b.index.tolist(), b.copy.tolist(), b.x, strict=True)
    }
    assert any(not torch.equal(x, raw[i, 0]) for (i, _), x in raw.items())
    images = by_copy(data, data.train_dataloader())
    for (index, copy), x in images.items():
        given = raw[index, copy].float() / 255
        assert torch.equal(x, given) == (copy == 0)


def test_crops_out_of_range(npz):
    with pytest.raises(ConfigError, match=r"\AExpected `padding` to be at least 0, but got -1\."):
        RandomCrops(-1)
    with pytest.raises(ConfigError, match=r"less than the sides of images of 8x8 .* but got 8\."):
        cropped(npz, padding=8)
