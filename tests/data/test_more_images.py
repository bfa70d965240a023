"""CIFAR-100, SVHN, folders and Python's datasets: small copies train an epoch and are attacked."""

import hashlib
import pickle

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from scipy.io import savemat
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    TensorDataset,
    default_collate,
)
from torchvision.datasets import CIFAR100, SVHN

import robust
from robust.data import ImageDataModule, RandomCrops
from robust.data.datasets import DATASETS
from robust.data.files.workers import in_order
from robust.data.python_data import module_of
from robust.errors import ConfigError
from robust.figures.adversarials import Adversarials, plot_adversarials
from tests.support.image_folders import image, write_folder
from tests.support.tiny import Plain

SETTINGS = {"progress": False, "accelerator": "cpu"}


class Flat(torch.nn.Module):
    """One dense layer."""

    def __init__(self, pixels: int, classes: int) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(pixels, classes))

    def forward(self, x):
        return self.layers(x)


def trained(data, pixels, classes):
    torch.manual_seed(0)
    return robust.fit(Plain(Flat(pixels, classes)), data, max_epochs=1, **SETTINGS)


@pytest.fixture
def cifar100_root(tmp_path, monkeypatch):
    """A root with CIFAR-100's pickles, 8 images each, and the checksums that go with them."""
    folder = tmp_path / CIFAR100.base_folder
    folder.mkdir()

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    def part(seed):
        data = np.random.RandomState(seed).randint(0, 256, (8, 3072)).astype(np.uint8)
        return {"data": data, "fine_labels": [0, 99, 3, 4, 5, 6, 7, 8], "coarse_labels": [1] * 8}

    monkeypatch.setattr(CIFAR100, "train_list", [write("train", part(0))])
    monkeypatch.setattr(CIFAR100, "test_list", [write("test", part(1))])
    _, md5 = write("meta", {"fine_label_names": [str(i) for i in range(100)]})
    monkeypatch.setattr(CIFAR100, "meta", CIFAR100.meta | {"md5": md5})
    return tmp_path


@pytest.fixture
def svhn_root(tmp_path, monkeypatch):
    """A root with SVHN's two files, 8 images each, whose class 10 is the digit 0."""
    for part in ("train", "test"):
        x = np.random.RandomState(len(part)).randint(0, 256, (32, 32, 3, 8)).astype(np.uint8)
        path = tmp_path / f"{part}_32x32.mat"
        savemat(path, {"X": x, "y": np.array([[10, 1, 2, 3, 4, 5, 6, 9]]).T})
        md5 = hashlib.md5(path.read_bytes()).hexdigest()
        monkeypatch.setitem(SVHN.split_list, part, ["", path.name, md5])
    return tmp_path


@pytest.mark.parametrize("name", ["cifar100", "svhn"])
def test_named_sets_train_an_epoch(request, name):
    root = request.getfixturevalue(f"{name}_root")
    DATASETS[name].download(root)  # the files are there: nothing happens
    data = ImageDataModule(name, root=str(root), batch_size=4, crops=RandomCrops())
    classes = DATASETS[name].num_classes
    network = trained(data, 3072, classes)
    kind = CIFAR100(root, train=False) if name == "cifar100" else SVHN(root, "test")
    expected = np.stack([np.asarray(photo) for photo, _ in kind])
    x, y, _ = data.test_samples(0, 8)
    assert np.array_equal((x * 255).round().byte().permute(0, 2, 3, 1), expected)
    assert y.tolist() == [label for _, label in kind]
    assert network(x).shape == (8, classes)


def test_class_names_of_cifar100():
    names = ImageDataModule("cifar100").class_names
    assert (len(set(names)), names[0], names[23], names[99]) == (100, "apple", "cloud", "worm")


@pytest.mark.parametrize("name", ["cifar100", "svhn"])
def test_a_damaged_file_is_told(request, name):
    root = request.getfixturevalue(f"{name}_root")
    path = next(root.rglob("train*"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ConfigError, match=r"truncated or damaged"):
        ImageDataModule(name, root=str(root)).setup()


def test_a_folder_trains_with_crops_the_same_each_time(tmp_path):
    root = write_folder(tmp_path / "mine")

    def weights(workers):
        crops = RandomCrops(2)
        data = ImageDataModule(
            f"imagefolder:{root}", batch_size=4, crops=crops, size=8, workers=workers
        )
        return trained(data, 3 * 8 * 8, 2).state_dict()

    first, again = weights(0), weights(2)
    assert all(torch.equal(first[key], again[key]) for key in first)


def test_a_damaged_image_is_found_before_the_training(tmp_path):
    root = write_folder(tmp_path / "mine")
    (root / "test/bee/003.png").write_bytes(b"")
    data = ImageDataModule(f"imagefolder:{root}", workers=0)
    network = Plain(Flat(360, 2))
    before = [weight.clone() for weight in network.parameters()]
    with pytest.raises(ConfigError, match=r"bee/003\.png.*it is empty"):
        robust.fit(network, data, max_epochs=1, **SETTINGS)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


# --- Python's datasets


class Pairs(Dataset):
    """Images of PIL with their labels."""

    classes = ("ant", "bee", "cow")

    def __len__(self):
        return 12

    def __getitem__(self, i):
        if i >= 12:
            raise IndexError(i)
        return image(i % 2, i), i % 2


class Stream(IterableDataset):
    def __iter__(self):
        x, y = tensors()
        return iter(zip(x, y, strict=True))


def tensors():
    photos = [torch.from_numpy(np.array(photo)) for photo, _ in Pairs()]
    return torch.stack(photos).permute(0, 3, 1, 2) / 255, torch.arange(12) % 2


SOURCES = {
    "a Dataset": lambda: Pairs(),
    "tensors": lambda: TensorDataset(*tensors()),
    "a DataLoader": lambda: DataLoader(TensorDataset(*tensors()), 5),
    "one that shuffles": lambda: DataLoader(TensorDataset(*tensors()), 5, shuffle=True),
    "one that collates": lambda: DataLoader(
        TensorDataset(*tensors()), 5, collate_fn=lambda items: default_collate(items)
    ),
    "a stream": lambda: DataLoader(Stream(), 5),
    "arrays": lambda: tuple(part.numpy() for part in tensors()),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_gives_the_same_samples(kind):
    data = module_of(SOURCES[kind]())
    x, y = tensors()
    found = data.test_samples(0, 12)
    assert torch.equal(found.x, x)
    assert torch.equal(found.y, y)


def test_a_limit_counts_from_the_first():
    for make in SOURCES.values():
        assert module_of(make(), 7).test_size in (7, 12)
    assert module_of(Pairs(), 7).test_size == 7


def test_a_dataset_trains_and_is_attacked():
    network = trained(Pairs(), 360, 3)
    result = robust.evaluate(
        network, DataLoader(Pairs(), 5), "quick", limit=6, attacks=["fgsm"], eps=0.1, **SETTINGS
    )
    assert result.robust_accuracy("adaptive").n == 6


def test_a_run_of_a_dataset_cannot_be_saved(tmp_path):
    with pytest.raises(ConfigError, match="a file can name to save a run, but got a Pair"):
        robust.fit(Plain(Flat(360, 3)), Pairs(), 1, save=tmp_path / "run", **SETTINGS)
    assert not (tmp_path / "run").exists()


class Of(Dataset):
    def __init__(self, *items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


SMALL = torch.zeros(3, 4, 4)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Of(), r"images in the Of, but it is empty"),
        (lambda: Of(SMALL), r"a pair of image and label as item 0 of the Dataset, but got Tensor"),
        (lambda: Of((SMALL - 1, 0)), r"item 0 of the Dataset, but: Expected pixels"),
        (lambda: Of(("x", 0)), r"Expected an image of PIL"),
        (lambda: Of((SMALL, 0.5)), r"an integer from 0 on as the label of item 0"),
        (lambda: Of((SMALL, 0), (SMALL[:1], 0)), r"item 1 has \(1, 4, 4\) and item 0 \(3, 4, 4\)"),
        (lambda: Stream(), r"Stream is read in order alone\. Give a DataLoader"),
        (lambda: DataLoader(Of(*[{"x": SMALL}] * 2)), r"a pair of image and label as item 0"),
    ],
)
def test_a_dataset_that_cannot_be_used(make, match):
    with pytest.raises(ConfigError, match=match) as error:
        module_of(make())
    assert len(str(error.value)) <= 300


def test_pixels_between_levels_are_rounded_with_a_note(capsys):
    data = module_of(Of((SMALL + 0.3001, 0)))
    assert data.test_samples(0, 1).x.unique().item() == pytest.approx(77 / 255)
    assert "rounded to the nearest" in capsys.readouterr().err


# --- workers


def test_results_come_in_order():
    assert list(in_order(lambda i: torch.tensor([i]) * 2, [3, 1, 2], 2)) == [6, 2, 4]


def test_an_error_keeps_its_line():
    def refuse(i):
        raise ConfigError(f"Expected {i}.")

    with pytest.raises(ConfigError, match=r"\AExpected 1\.\Z"):
        list(in_order(refuse, [1, 2], 2))


# --- figures


def test_figures_show_class_names(monkeypatch, tmp_path):
    titles = []

    def set_title(axes, title, **how):
        titles.append(title)

    monkeypatch.setattr(Axes, "set_title", set_title)
    row = Adversarials("a", SMALL[None], torch.tensor([1]))
    plot_adversarials(
        SMALL[None], torch.tensor([0]), [row], tmp_path / "a.png", names=("ant", "bee")
    )
    assert titles == ["ant", "says bee"]
