"""Which samples are attacked: the test set in order, or training images in a random one."""

import numpy as np
import pytest
import torch

from robust.data import ImageDataModule
from robust.errors import ConfigError
from robust.evaluation.attacked_images import AttackedImages
from robust.results.records import read_evaluation
from tests.support.factories import evaluate, header


@pytest.fixture
def data(tmp_path):
    """30 training and 12 test images; the brightest row of each is its class."""
    random = np.random.RandomState(0)
    arrays = {}
    for part, n in (("train", 30), ("test", 12)):
        y = np.arange(n) % 3
        x = random.randint(0, 100, (n, 4, 4))
        x[np.arange(n), y] += 120
        arrays |= {f"x_{part}": x.astype(np.uint8), f"y_{part}": y}
    np.savez(tmp_path / "x.npz", **arrays)
    return ImageDataModule(str(tmp_path / "x.npz"))


class TestAttackedImages:
    def test_the_test_set_is_in_order(self, data):
        images = AttackedImages(data, "test", 0)
        assert images.size == 12
        assert images.fingerprint() == data.fingerprint(12)
        for ours, theirs in zip(images.samples(3, 7), data.test_samples(3, 7), strict=True):
            assert torch.equal(ours, theirs)

    def test_training_images_are_all_there_once(self, data):
        images = AttackedImages(data, "train", 0)
        batch = images.samples(0, 30)
        assert batch.index.tolist() == list(range(30))
        pixels = (batch.x * 255).round().byte()
        places = [(data.train_images == x).flatten(1).all(dim=1).nonzero().item() for x in pixels]
        assert sorted(places) == list(range(30))
        assert places != sorted(places)
        assert torch.equal(batch.y, data.train_labels[places])

    def test_a_range_is_part_of_all(self, data):
        images = AttackedImages(data, "train", 0)
        part, everything = images.samples(10, 20), images.samples(0, 30)
        assert torch.equal(part.x, everything.x[10:20])
        assert torch.equal(part.index, torch.arange(10, 20))

    def test_the_order_follows_from_the_seed(self, data):
        first, same, other = (AttackedImages(data, "train", seed) for seed in (0, 0, 1))
        assert torch.equal(first.samples(0, 30).x, same.samples(0, 30).x)
        assert not torch.equal(first.samples(0, 30).x, other.samples(0, 30).x)
        assert first.fingerprint() == same.fingerprint() != other.fingerprint()
        assert first.fingerprint() != AttackedImages(data, "test", 0).fingerprint()

    @pytest.mark.parametrize(("start", "stop"), [(-1, 2), (3, 2), (0, 31)])
    def test_ranges_outside(self, start, stop, data):
        with pytest.raises(ConfigError, match="within the 30 training samples of x, but got"):
            AttackedImages(data, "train", 0).samples(start, stop)

    def test_seeds_outside(self, data):
        with pytest.raises(ConfigError, match=r"`seed` to be 0 to 2\*\*32 - 1, but got -1"):
            AttackedImages(data, "train", -1)


class TestEvaluation:
    def test_attacks_the_training_images_of_the_order(self, data, tmp_path):
        result, _ = evaluate(data, tmp_path, split="train", limit=20, seed=4)
        rows = result.select("deployed", "pgd")
        assert [row.index for row in rows] == list(range(20))
        labels = AttackedImages(data, "train", 4).samples(0, 20).y
        assert [row.label for row in rows] == labels.tolist()
        assert result.header.split == "train"

    def test_takes_all_without_a_limit(self, data, tmp_path):
        result, _ = evaluate(data, tmp_path, split="train", limit=None)
        assert len(result.select("deployed", "pgd")) == 30

    def test_keeps_the_records_apart(self, data, tmp_path):
        for arguments in ({}, {"split": "train"}, {"split": "train", "seed": 1}):
            evaluate(data, tmp_path, limit=5, **arguments)
        paths = sorted((tmp_path / "records").glob("*.csv"))
        assert len(paths) == 3
        splits = [read_evaluation(path).header.split for path in paths]
        assert sorted(splits) == ["test", "train", "train"]

    def test_names_of_records_of_the_test_set_stay(self):
        assert "split" not in header().plain()
