"""Recall of an image: the representatives, the distances, the views, checkpoints."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from robust.commands.train import train
from robust.data import ImageDataModule
from robust.defenses import Recall
from robust.defenses.recall import representatives_of
from robust.errors import ConfigError
from robust.evaluation.masking_signs import has_zero_gradient
from robust.loading.restore import restore
from robust.networks import MLP
from robust.transforms import Binarize
from tests.support.digits import fast
from tests.support.tiny import arguments

SHAPE = (1, 4, 4)
LABELS = [2, 0, 2, 1, 0, 1, 2, 0]


class Pixels(nn.Module):
    """The image itself, flattened, times ``scale``."""

    def __init__(self, length):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        return self.scale * x.flatten(1)


def mixed(length):
    """A random network on 1x4x4 images with a layer of curvature."""
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, length))


def write(path, labels=LABELS, pixels=None):
    if pixels is None:
        pixels = np.random.RandomState(0).randint(0, 256, (len(labels), 4, 4))
    arrays = {f"x_{part}": pixels.astype(np.uint8) for part in ("train", "test")}
    np.savez(path, **arrays, y_train=np.array(labels), y_test=np.array(labels))
    return ImageDataModule(str(path), batch_size=4, val_fraction=0.2)


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "x.npz")


def recall(network=mixed, data=None, num_classes=3, **settings):
    torch.manual_seed(0)
    model = Recall(network, SHAPE, num_classes=num_classes, **settings).eval()
    if data is not None:
        model.choose(data)
    return model


def fit(model, data, epochs=1):
    Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(model.train(), datamodule=data)
    return model.eval()


class TestRepresentatives:
    def chosen(self, choice, data, num_classes=3):
        place = representatives_of(choice, data.train_images, data.train_labels, num_classes)
        return place.tolist()

    def test_the_first_of_each_class_is_the_default(self, data):
        assert self.chosen("first", data) == [1, 3, 0]
        model = recall(data=data)
        assert torch.equal(
            model.representatives, data.train_images[[1, 3, 0]].flatten(1).float() / 255
        )

    def test_a_medoid_is_nearest_to_the_others_of_its_class(self, data):
        images, labels = data.train_images.flatten(1).double(), data.train_labels
        for label, place in enumerate(self.chosen("medoid", data)):
            own = (labels == label).nonzero().flatten()
            errors = torch.cdist(images[own], images[own]).square().sum(dim=1)
            assert place == own[errors.argmin()]

    def test_any_indices(self, data):
        assert self.chosen([4, 5, 6], data) == [4, 5, 6]

    @pytest.mark.parametrize(
        ("choice", "message"),
        [
            ([1, 3, 8], r"indices of training images, 0 to 7, .* but got 8 for class 2"),
            ([-1, 3, 0], "but got -1 for class 0"),
            ([3, 1, 0], "training image of class 0 .* but 3 is of class 1"),
        ],
    )
    def test_wrong_indices(self, choice, message, data):
        with pytest.raises(ConfigError, match=message):
            self.chosen(choice, data)

    @pytest.mark.parametrize("choice", ["first", "medoid"])
    def test_a_class_without_an_image(self, choice, data):
        with pytest.raises(ConfigError, match="class 3 to represent it, but there is none"):
            self.chosen(choice, data, num_classes=4)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"representatives": [0, 1]}, "each of the 3 classes in `representatives`, but got 2"),
            ({"num_classes": 1}, "`num_classes` to be at least 2, but got 1"),
        ],
    )
    def test_bad_arguments(self, settings, message):
        with pytest.raises(ConfigError, match=message):
            recall(**settings)

    def test_a_bad_shape(self):
        with pytest.raises(ConfigError, match=r"`shape` to be \(C, H, W\)"):
            Recall(mixed, (1, 0, 4))

    def test_go_through_the_transform_and_must_differ_behind_it(self, tmp_path, data):
        model = recall(data=data, transform=Binarize())
        expected = (data.train_images[[1, 3, 0]] > 127).flatten(1).float()
        assert torch.equal(model.representatives, expected)
        grey = np.arange(3).repeat(16).reshape(3, 4, 4)
        alike = write(tmp_path / "alike.npz", [0, 1, 2], grey)
        recall(data=alike)
        with pytest.raises(ConfigError, match=r"differ, but training images \[0, 1, 2\] do not"):
            recall(data=alike, transform=Binarize())


@pytest.mark.parametrize("transform", [None, Binarize()], ids=["INOI", "IBOI"])
class TestScores:
    def test_are_minus_squared_distances(self, transform, data):
        model = recall(data=data, transform=transform)
        x = torch.rand(20, *SHAPE)
        recalled = model.recalled(x).flatten(1).double()
        exact = -torch.cdist(recalled, model.representatives.double()).square()
        torch.testing.assert_close(model(x).double(), exact, rtol=1e-5, atol=1e-5)

    def test_a_representative_recalled_as_itself_is_of_its_class(self, transform, data):
        model = recall(Pixels, data, transform=transform)
        x = data.train_samples(torch.tensor([1, 3, 0])).x
        assert model(x).argmax(dim=1).tolist() == [0, 1, 2]
        torch.testing.assert_close(model(x).diagonal(), torch.zeros(3), rtol=0, atol=1e-5)
        assert model.training_loss(x, torch.arange(3)).item() == pytest.approx(0, abs=1e-12)

    def test_the_adaptive_view_predicts_alike_and_has_a_gradient(self, transform, data):
        model = recall(data=data, transform=transform)
        x, view = torch.rand(20, *SHAPE), model.adaptive_view()
        y = model(x).argmax(dim=1)
        assert torch.equal(view(x).argmax(dim=1), y)
        assert not has_zero_gradient(view, x, y).any()

    def test_the_published_view_is_without_the_transform_alone(self, transform, data):
        model = recall(Pixels, data, transform=transform)
        view, x = model.published_view(), torch.rand(20, *SHAPE)
        exact = -torch.cdist(x.flatten(1), model.representatives).square()
        torch.testing.assert_close(view(x), exact, rtol=1e-4, atol=1e-4)
        assert (view is model) == (transform is None)

    def test_the_loss_falls(self, transform, data):
        model = recall(data=data, transform=transform)
        x, y, _ = data.test_samples(0, 8)
        before = model.training_loss(x, y).item()
        assert fit(model, data, epochs=30).training_loss(x, y).item() < 0.7 * before


def test_a_fit_chooses_once(data, tmp_path):
    model = fit(recall(), data)
    chosen = model.representatives.clone()
    assert torch.equal(chosen, data.train_images[[1, 3, 0]].flatten(1).float() / 255)
    other = write(tmp_path / "other.npz", pixels=np.zeros((8, 4, 4)))
    Trainer(accelerator="cpu", logger=False, enable_progress_bar=False).test(
        model, datamodule=other, verbose=False
    )
    assert torch.equal(model.representatives, chosen)


def test_learns_the_digits():
    torch.manual_seed(0)
    model = Recall(lambda d: MLP(d, hidden=64), transform=Binarize(), optimizer=fast)
    fit(model, ImageDataModule("digits", batch_size=32), epochs=4)
    x, y, _ = ImageDataModule("digits").test_samples(0, 360)
    assert (model(x).argmax(dim=1) == y).float().mean() > 0.85


def test_colour_images():
    data = torch.Generator().manual_seed(0)
    model = Recall(lambda d: MLP(d, in_features=3072, hidden=8), (3, 32, 32))
    model.representatives.copy_(torch.rand(10, 3072, generator=data))
    x = torch.rand(2, 3, 32, 32)
    assert model.recalled(x).shape == x.shape
    assert model(x).shape == (2, 10)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shape": (1, 28, 28)}, "recall the 1x4x4 images of x, but got 1x28x28"),
        ({"num_classes": 4}, "each of the 3 classes of x, but got 4"),
        ({"network": lambda d: mixed(9)}, "network of 16 outputs, .* but Sequential has 9"),
    ],
)
def test_what_does_not_fit_the_data(settings, message, data):
    arguments = {"network": mixed, "shape": SHAPE, "num_classes": 3} | settings
    with pytest.raises(ConfigError, match=message):
        fit(Recall(**arguments), data)


def test_data_of_another_kind():
    loader = DataLoader(TensorDataset(torch.rand(4, *SHAPE)))
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    with pytest.raises(ConfigError, match="ImageDataModule to take representatives from, but got"):
        trainer.test(recall(), loader)


class TestCheckpoints:
    @pytest.fixture
    def trained(self, tmp_path, monkeypatch):
        monkeypatch.setattr("sys.argv", ["train.py"])
        monkeypatch.setenv("WANDB_MODE", "disabled")
        pixels = np.random.RandomState(0).randint(0, 256, (40, 28, 28)).astype(np.uint8)
        labels = np.arange(40) % 10
        np.savez(tmp_path / "x.npz", x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
        (tmp_path / "none.yaml").write_text("suite: none\nattacks: null\n")

        def run(*flags, epochs=1):
            made = arguments(
                tmp_path / "x.npz", tmp_path / "runs", tmp_path / "none.yaml", "Recall"
            )
            return train([*made, f"--trainer.max_epochs={epochs}", *flags])

        return run

    def test_hold_the_representatives(self, trained, tmp_path):
        assert trained("--model.representatives=medoid") == 0
        (path,) = (tmp_path / "runs").glob("*/*/checkpoints/last.ckpt")
        model, data = restore(path)
        assert model.choice == "medoid"
        expected = recall_of(data, "medoid")
        assert torch.equal(model.representatives, expected)
        assert not torch.equal(model.representatives, recall_of(data, "first"))

    def test_of_others_are_refused(self, trained, tmp_path, capsys):
        assert trained() == 0
        (path,) = (tmp_path / "runs").glob("*/*/checkpoints/last.ckpt")
        flags = [f"--ckpt_path={path}", "--model.representatives=medoid"]
        capsys.readouterr()
        assert trained(*flags, epochs=2) == 2
        assert "checkpoint of the representatives 'medoid'" in capsys.readouterr().err


def recall_of(data, choice):
    data.setup()
    place = representatives_of(choice, data.train_images, data.train_labels, 10)
    return data.train_samples(place).x.flatten(1)
