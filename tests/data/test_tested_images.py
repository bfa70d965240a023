"""A test passes no image that is not attacked."""

import numpy as np
import pytest
import torch

import robust
from robust.commands.main import main
from robust.data.arrays import data_of
from robust.data.loaders import Share
from tests.support.bars import Bars, bars


@pytest.fixture
def data():
    return data_of(*bars(count=40))


@pytest.fixture
def tested(monkeypatch):
    """Indices of the images that a test passes."""
    seen = []
    step = robust.Pretrained.test_step

    def noted(self, batch, batch_idx):
        seen.extend(batch.index.tolist())
        return step(self, batch, batch_idx)

    monkeypatch.setattr(robust.Pretrained, "test_step", noted)
    return seen


def indices(data):
    return [int(i) for batch in data.test_dataloader() for i in batch.index]


def test_python_passes_the_attacked_images_alone(data, tested):
    suite = robust.Suite("t", {"fgsm": robust.attacks.FGSM}, limit=5)
    result = robust.evaluate(robust.Pretrained(Bars()), data, suite, progress=False)
    assert result.evaluation.rows["index"].max() == 4
    assert tested == [0, 1, 2, 3, 4]
    assert len(indices(data)) == 40


@pytest.mark.usefixtures("quiet")
def test_the_command_passes_the_attacked_images_alone(tested, tmp_path, monkeypatch):
    x, y = bars(count=40)
    array = (x * 255).round().byte().permute(0, 2, 3, 1).numpy()
    np.savez(tmp_path / "bars.npz", x_train=array, y_train=y, x_test=array, y_test=y)
    sizes = {"in_features": 64, "num_classes": 4}
    torch.save(robust.MLP(**sizes).state_dict(), tmp_path / "w.pt")
    monkeypatch.chdir(tmp_path)
    flags = [f"--network.{key}={value}" for key, value in sizes.items()]
    words = ["w.pt", "--network=robust.networks.MLP", *flags, "--data=bars.npz", "--attacks=fgsm"]
    assert main(["evaluate", *words, "-n", "7"]) == 0
    assert tested == [0, 1, 2, 3, 4, 5, 6]


def test_a_limited_test_ends_with_its_images(data):
    with data.test_limited(3):
        assert indices(data) == [0, 1, 2]
    with data.test_limited(None):
        assert len(indices(data)) == 40
    with data.test_limited(99):
        assert len(indices(data)) == 40


def test_each_process_has_an_image(data, monkeypatch):
    monkeypatch.setattr(data, "_share", lambda: Share(1, 4))
    with data.test_limited(1):
        assert len(indices(data)) == 1
