"""The data of a trainer are an `ImageDataModule`, or one line says what to pass."""

from types import SimpleNamespace

import pytest
from torch import nn

from robust.data import ImageDataModule
from robust.data.of_trainer import image_module, required_image_module
from robust.defenses import WNLL
from robust.errors import ConfigError


def test_the_data_of_images(npz):
    data = ImageDataModule(str(npz))
    trainer = SimpleNamespace(datamodule=data)
    assert image_module(trainer) is data
    assert required_image_module(trainer, "test samples") is data


@pytest.mark.parametrize(
    ("trainer", "got"),
    [(SimpleNamespace(), "NoneType"), (SimpleNamespace(datamodule="digits"), "str")],
)
def test_other_data(trainer, got):
    assert image_module(trainer) is None
    message = f"ImageDataModule to take test samples from, but got {got}. Pass one"
    with pytest.raises(ConfigError, match=message):
        required_image_module(trainer, "test samples")


def test_a_template_needs_images(monkeypatch):
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3))
    defense = WNLL(network, num_classes=3, template_size=6)
    monkeypatch.setattr(WNLL, "trainer", SimpleNamespace(datamodule=None), raising=True)
    with pytest.raises(ConfigError, match="to take a template from, but got NoneType"):
        defense.on_fit_start()
