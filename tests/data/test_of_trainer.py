"""The data of a trainer are an `ImageDataModule`, or one line says what to pass."""

import pytest
from lightning.pytorch import Trainer
from torch import nn

from robust.data import ImageDataModule
from robust.data.of_trainer import image_module, required_image_module
from robust.defenses import WNLL
from robust.errors import ConfigError


def trainer_of(data):
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.datamodule = data
    return trainer


def test_the_data_of_images(npz):
    data = ImageDataModule(str(npz))
    trainer = trainer_of(data)
    assert image_module(trainer) is data
    assert required_image_module(trainer, "test samples") is data


@pytest.mark.parametrize(("other", "got"), [(None, "NoneType"), ("digits", "str")])
def test_other_data(other, got):
    trainer = trainer_of(other)
    assert image_module(trainer) is None
    message = f"ImageDataModule to take test samples from, but got {got}. Pass one"
    with pytest.raises(ConfigError, match=message):
        required_image_module(trainer, "test samples")


def test_a_template_needs_images():
    def network(width):
        return nn.Sequential(nn.Flatten(), nn.Linear(4, width))

    defense = WNLL(network, num_classes=3, template_size=30)
    defense._trainer = trainer_of(None)
    with pytest.raises(ConfigError, match="to take a template from, but got NoneType"):
        defense.on_fit_start()
