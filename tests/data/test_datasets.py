"""Reading of image sets: what comes out, and one clear line for every file that cannot be used."""

import hashlib
import pickle
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torchvision.datasets import CIFAR10, MNIST

from robust.data.datasets import DATASETS, check_name, load_named, load_npz
from robust.errors import ConfigError
from robust.vocabulary import DATA_SETS


def raises(match):
    """Expect a `ConfigError` of a single line."""
    return pytest.raises(ConfigError, match=rf"\A[^\n]*{match}[^\n]*\Z")


def test_every_set_is_named_for_pages_without_torch():
    assert tuple(DATASETS) == DATA_SETS


# --- .npz


def test_npz_holds_what_was_written(npz, arrays):
    train, test = load_npz(npz)
    assert train.x.dtype == torch.uint8
    assert train.x.shape == (44, 1, 8, 8)
    assert train.y.dtype == torch.int64
    np.testing.assert_array_equal(train.x[:, 0], arrays["x_train"])
    np.testing.assert_array_equal(train.y, arrays["y_train"])
    np.testing.assert_array_equal(test.x[:, 0], arrays["x_test"])
    np.testing.assert_array_equal(test.y, arrays["y_test"])


def test_npz_colour_channels_move_first(arrays, tmp_path):
    x = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=[0, 1], x_test=x, y_test=[0, 1])
    train, _ = load_npz(tmp_path / "a.npz")
    assert train.x.shape == (2, 3, 4, 5)
    assert train.x.is_contiguous()
    np.testing.assert_array_equal(train.x[1, 2], x[1, :, :, 2])


def test_npz_labels_of_any_integer_type(arrays, tmp_path):
    arrays["y_train"] = arrays["y_train"].astype(np.uint8)
    np.savez(tmp_path / "a.npz", **arrays)
    assert load_npz(tmp_path / "a.npz").train.y.dtype == torch.int64


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"x_test": None}, r"keys .*a\.npz, but got x_train, y_train, y_test\. Add x_test with"),
        ({"x_train": np.zeros((44, 8, 8))}, r"`x_train` in .*a\.npz to be uint8, but got float64"),
        ({"x_test": np.zeros((10, 64), np.uint8)}, r"3 dimensions .* got shape \(10, 64\)"),
        ({"x_train": np.zeros((44, 3, 8, 8), np.uint8)[:, :, :, :8]}, r"channels last, but got"),
        ({"x_train": np.zeros((43, 8, 8), np.uint8)}, r"got 43 in `x_train` and 44 in `y_train`"),
        ({"x_test": np.zeros((0, 8, 8), np.uint8)}, r"empty array of shape \(0, 8, 8\)"),
        ({"x_test": np.zeros((10, 9, 8), np.uint8)}, r"got \(1, 8, 8\) and \(1, 9, 8\)"),
        ({"y_train": np.arange(44) - 1}, r"labels from 0 on in `y_train` in .*, but got -1"),
        ({"y_test": np.arange(10) / 2}, r"`y_test` in .* integer labels, but got float64"),
        ({"y_test": np.zeros((10, 4), int)}, r"1 dimension, but got shape \(10, 4\)\..* one-hot"),
    ],
)
def test_npz_that_cannot_be_used(arrays, tmp_path, change, match):
    arrays = {key: value for key, value in (arrays | change).items() if value is not None}
    np.savez(tmp_path / "a.npz", **arrays)
    with raises(match):
        load_npz(tmp_path / "a.npz")


def test_npz_missing(tmp_path):
    with raises(r"data file at .*none\.npz, but there is no such file.*digits\.yaml"):
        load_npz(tmp_path / "none.npz")


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_npz_truncated(npz, keep):
    content = npz.read_bytes()
    npz.write_bytes(content[: int(keep * len(content)) if keep < 1 else keep])
    with raises(r"complete \.npz file .*fake\.npz, but it cannot be read \(.+\)"):
        load_npz(npz)


def test_npz_with_a_changed_byte(npz):
    content = bytearray(npz.read_bytes())
    content[len(content) // 2] ^= 255
    npz.write_bytes(content)
    with raises(r"fake\.npz, but it cannot be read \(.*CRC"):
        load_npz(npz)


def test_npz_that_is_a_bare_array(tmp_path):
    with open(tmp_path / "a.npz", "wb") as file:
        np.save(file, np.zeros(3))
    with raises(r"a\.npz, but it cannot be read"):
        load_npz(tmp_path / "a.npz")


class _Bomb:
    def __reduce__(self):
        return pytest.fail, ("a pickle was run",)


@pytest.mark.parametrize("wrapped", [True, False])
def test_npz_never_runs_a_pickle(arrays, tmp_path, wrapped):
    path = tmp_path / "a.npz"
    if wrapped:
        np.savez(path, **arrays | {"y_test": np.array([_Bomb()], dtype=object)})
    else:
        path.write_bytes(pickle.dumps(_Bomb()))
    with raises(r"a\.npz, but it cannot be read"):
        load_npz(path)


# --- idx


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")]
)
def test_idx_agrees_with_torchvision(mnist_root, name, folder):
    DATASETS[name].download(mnist_root)  # the files are there: nothing happens
    train, test = load_named(name, mnist_root)
    class_ = type(folder, (MNIST,), {})
    for samples, reference in (
        (train, class_(mnist_root)),
        (test, class_(mnist_root, train=False)),
    ):
        assert samples.x.shape[1:] == DATASETS[name].shape
        assert torch.equal(samples.x[:, 0], reference.data)
        assert torch.equal(samples.y, reference.targets)


@pytest.mark.parametrize("file", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize("keep", [0, 3, 12, -1])
def test_idx_truncated(mnist_root, file, keep):
    path = mnist_root / "MNIST" / "raw" / file
    path.write_bytes(path.read_bytes()[:keep])
    with raises(rf"MNIST/raw/{file}, but it is truncated or damaged \(.+\)\. Delete it"):
        load_named("mnist", mnist_root)


def test_idx_with_another_magic_number(mnist_root):
    path = mnist_root / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    path.write_bytes(b"\x1f\x8b" + path.read_bytes()[2:])
    with raises(r"train-labels-idx1-ubyte, but it is truncated or damaged"):
        load_named("mnist", mnist_root)


def test_idx_labels_of_another_set(mnist_root):
    raw = mnist_root / "MNIST" / "raw"
    (raw / "train-labels-idx1-ubyte").write_bytes((raw / "t10k-labels-idx1-ubyte").read_bytes())
    with raises(r"one label for each image of .*train-images-idx3-ubyte, but got 30 images and 20"):
        load_named("mnist", mnist_root)


def test_idx_label_out_of_range(mnist_root):
    path = mnist_root / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\x0b")
    with raises(r"shape \(1, 28, 28\) and 10 classes, but got \(1, 28, 28\) and 12"):
        load_named("mnist", mnist_root)


def test_idx_file_missing(mnist_root):
    (mnist_root / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    with raises(r"MNIST/raw, but got none .*t10k-labels-idx1-ubyte is not there.*ROBUST_DATA_DIR"):
        load_named("mnist", mnist_root)


# --- CIFAR-10


@pytest.fixture
def cifar_root(tmp_path, monkeypatch):
    """A root with CIFAR-10's pickles, 3 images each, and the checksums that go with them."""
    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    def batch(i):
        data = np.random.RandomState(i).randint(0, 256, (3, 3072)).astype(np.uint8)
        return {"data": data, "labels": [i, 8, 9]}

    files = [write(name, batch(i)) for i, (name, _) in enumerate(CIFAR10.train_list)]
    monkeypatch.setattr(CIFAR10, "train_list", files)
    monkeypatch.setattr(CIFAR10, "test_list", [write("test_batch", batch(5))])
    _, md5 = write("batches.meta", {"label_names": list("abcdefghij")})
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": md5})
    return tmp_path


def test_cifar10_agrees_with_torchvision(cifar_root):
    DATASETS["cifar10"].download(cifar_root)  # the files are there: nothing happens
    train, test = load_named("cifar10", cifar_root)
    assert train.x.shape == (15, 3, 32, 32)
    assert test.y.tolist() == [5, 8, 9]
    reference = CIFAR10(cifar_root).data
    np.testing.assert_array_equal(train.x.permute(0, 2, 3, 1), reference)


def test_cifar10_prefers_the_packed_file(cifar_root):
    x = np.full((2, 32, 32, 3), 7, np.uint8)
    np.savez(cifar_root / "cifar10.npz", x_train=x, y_train=[0, 9], x_test=x, y_test=[1, 2])
    DATASETS["cifar10"].download(cifar_root)
    train, _ = load_named("cifar10", cifar_root)
    assert train.y.tolist() == [0, 9]
    assert train.x.eq(7).all()


def test_cifar10_packed_file_of_another_set(tmp_path, arrays):
    np.savez(tmp_path / "cifar10.npz", **arrays)
    with raises(r"cifar10 in .* shape \(3, 32, 32\) and 10 classes, but got \(1, 8, 8\) and 4"):
        load_named("cifar10", tmp_path)


def test_cifar10_damaged_pickle_is_not_run(cifar_root):
    path = cifar_root / CIFAR10.base_folder / "data_batch_3"
    path.write_bytes(pickle.dumps(_Bomb()))
    with raises(rf"{CIFAR10.base_folder}, but it is truncated or damaged .*checksum\)\. Delete"):
        load_named("cifar10", cifar_root)


def test_cifar10_missing(tmp_path):
    with raises(rf"{CIFAR10.base_folder}, but got none .*no such folder.*ROBUST_DATA_DIR"):
        load_named("cifar10", tmp_path)


# --- download


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_no_network(tmp_path, monkeypatch, name):
    def urlopen(*args, **kwargs):
        raise URLError("no network here")

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    with raises(
        r"downloading failed: <urlopen error no network here>.*ROBUST_DATA_DIR or "
        r"`data\.init_args\.root`.*--data configs/data/digits\.yaml"
    ):
        DATASETS[name].download(tmp_path)


def test_root_that_cannot_be_made(tmp_path):
    (tmp_path / "data").write_text("a file")
    with raises(r"data/MNIST/raw.* downloading failed: .*Not a directory"):
        DATASETS["mnist"].download(tmp_path / "data")


# --- digits


def test_digits_are_the_bilinear_resize(tmp_path):
    train, test = load_named("digits", tmp_path)
    ours = torch.cat([train.x, test.x]).flatten(1).double()
    images = torch.from_numpy(load_digits().images)[:, None] * 255 / 16
    reference = F.interpolate(images, size=28, mode="bilinear").flatten(1)
    # Both have the same 1797 images, in another order: match each to its nearest.
    _, match = torch.cdist(ours, reference).min(dim=1)
    assert match.unique().numel() == 1797
    assert (ours - reference[match]).abs().max() <= 0.5 + 1e-9
    labels = torch.from_numpy(load_digits().target)
    assert torch.equal(torch.cat([train.y, test.y]), labels[match])


def test_digits_split_is_fixed_and_stratified(tmp_path):
    train, test = load_named("digits", tmp_path)
    assert (len(train.x), len(test.x)) == (1437, 360)
    assert {35, 36, 37} >= set(test.y.bincount().tolist())


# --- names


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("FashionMNIST", r"but got 'FashionMNIST'\. Did you mean fashion_mnist\?"),
        ("cifar", r"Did you mean cifar10\?"),
        ("x.npy", r"ends in \.npz, but got 'x\.npy'\. Choose one"),
    ],
)
def test_unknown_name(name, match):
    with raises(match):
        check_name(name)
