"""Folders and lists of image files: what comes out, and one line for each that cannot be used."""

import os

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import CenterCrop, Compose, PILToTensor, Resize

from robust.data import ImageDataModule
from robust.errors import ConfigError
from tests.support.image_folders import image, write_folder


def raises(match):
    """Expect a `ConfigError` of a single line of at most 300 characters."""
    return pytest.raises(ConfigError, match=rf"(?=\A[^\n]{{,300}}\Z)[^\n]*{match}")


def opened(root, **arguments):
    return ImageDataModule(f"imagefolder:{root}", **{"workers": 0, "batch_size": 4, **arguments})


def read(data):
    return data.test_samples(0, data.test_size).x


def test_pixels_labels_and_names_are_those_of_torchvision(tmp_path):
    root = write_folder(tmp_path / "mine", parts=[""], classes=["b", "a10", "a2"])
    data = opened(root, size=8, crop=6)
    transform = Compose([Resize(8), CenterCrop(6), PILToTensor()])
    expected = ImageFolder(root, transform)
    assert list(data.class_names) == expected.classes
    assert (data.shape, data.num_classes, data.name) == ((3, 6, 6), 3, "mine")
    x, y, index = data.test_samples(0, data.test_size)
    assert torch.equal((x * 255).round().byte(), torch.stack([pixels for pixels, _ in expected]))
    assert y.tolist() == expected.targets
    assert index.tolist() == list(range(len(expected)))


@pytest.mark.parametrize("name", ["test", "val", "valid"])
def test_train_and_test_are_two_parts(tmp_path, name):
    data = opened(write_folder(tmp_path / "mine", parts=("train", name)), val_fraction=0.25)
    assert (data.test_size, len(data.train_labels), data.shape) == (12, 12, (3, 10, 12))
    batches = list(data.train_dataloader())
    assert sorted(i for batch in batches for i in batch.index.tolist()) == sorted(
        set(range(12)) - set(data.val_samples(12).index.tolist())
    )


def test_workers_give_the_same_batches(tmp_path):
    root = write_folder(tmp_path / "mine")
    alone, ahead = (opened(root, workers=workers, eval_batch_size=4) for workers in (0, 2))
    for loader in ("train_dataloader", "test_dataloader"):
        pairs = zip(getattr(alone, loader)(), getattr(ahead, loader)(), strict=True)
        assert all(torch.equal(a, b) for pair in pairs for a, b in zip(*pair, strict=True))


def test_an_error_of_a_worker_is_one_line(tmp_path):
    root = write_folder(tmp_path / "mine")
    (root / "test/bee/003.png").write_bytes(b"")
    with raises(r"bee/003\.png, but it cannot be used \(it is empty\).*--skip-broken"):
        list(opened(root, workers=2, eval_batch_size=4).test_dataloader())


# --- fingerprints


def test_bytes_and_labels_count_and_names_do_not(tmp_path):
    a = opened(write_folder(tmp_path / "a", parts=[""]))
    b = opened(write_folder(tmp_path / "b", parts=[""], classes=["x", "y"]))
    assert a.fingerprint(12) == b.fingerprint(12) != a.fingerprint(11)
    assert opened(tmp_path / "a", size=8).fingerprint(12) != a.fingerprint(12)
    image(1, 99).save(tmp_path / "b/y/005.png")
    changed = opened(tmp_path / "b")
    assert changed.fingerprint(12) != a.fingerprint(12)
    assert changed.fingerprint(11) == a.fingerprint(11)
    other = opened(write_folder(tmp_path / "c", parts=[""], classes=["ant"], n=12))
    assert other.fingerprint(6) == a.fingerprint(6)  # the same six images of class 0


# --- odd images


def saved(root, name, photo, **how):
    (root / "a").mkdir(parents=True, exist_ok=True)
    photo.save(root / "a" / name, **how)
    return root


def test_animations_give_their_first_frame(tmp_path):
    frames = [image(0, i, mode="L") for i in range(3)]
    root = saved(tmp_path, "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert (
        read(opened(root))[0, 0].mul(255).round().byte().tolist() == np.asarray(frames[0]).tolist()
    )


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_of_16_bits_the_upper_8_count(tmp_path, suffix):
    values = np.arange(0, 60000, 1000, dtype=np.uint16).reshape(6, 10)
    root = saved(tmp_path, f"a.{suffix}", Image.fromarray(values))
    assert read(opened(root))[0, 0].mul(255).round().byte().tolist() == (values >> 8).tolist()


def test_16_bits_of_a_pgm(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/a.pgm").write_bytes(b"P5 2 1 65535\n" + bytes([1, 255, 254, 0]))
    assert read(opened(tmp_path)).mul(255).round().flatten().tolist() == [1, 254]


def test_alpha_is_left_out(tmp_path):
    photo = image(0, 0)
    with_alpha = photo.copy()
    with_alpha.putalpha(0)
    root = saved(tmp_path, "a.png", with_alpha)
    assert read(opened(root))[0].mul(255).round().byte().permute(1, 2, 0).tolist() == (
        np.asarray(photo).tolist()
    )


@pytest.mark.parametrize("mode", ["P", "CMYK", "1", "LA", "YCbCr"])
def test_every_mode_becomes_grey_or_rgb(tmp_path, mode):
    # Pillow before 13 writes a TIFF of YCbCr that it cannot read.
    suffix = {"CMYK": "tif", "YCbCr": "jpg"}.get(mode, "png")
    data = opened(saved(tmp_path, f"a.{suffix}", image(0, 0).convert(mode)))
    grey = mode in ("1", "LA")
    assert data.shape == (1 if grey else 3, 10, 12)
    assert len(read(data).unique()) > 1


def test_the_orientation_of_a_camera_is_not_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    assert opened(saved(tmp_path, "a.jpg", image(0, 0), exif=exif)).shape == (3, 10, 12)


def test_grey_images_among_coloured_ones_are_repeated(tmp_path):
    root = write_folder(tmp_path / "mine", parts=[""])
    image(0, 0, mode="L").save(root / "ant/000.png")
    x = read(opened(root))
    assert torch.equal(x[0, 0], x[0, 1])
    assert not torch.equal(x[1, 0], x[1, 1])


def test_channels_are_as_asked_for(tmp_path):
    root = write_folder(tmp_path / "grey", parts=[""], mode="L")
    assert opened(root).shape[0] == 1
    assert opened(root, channels=3).shape[0] == 3
    coloured = write_folder(tmp_path / "coloured", parts=[""])
    with raises(r"it is in colour, unlike the others; set `channels` to 3"):
        read(opened(coloured, channels=1))


# --- what cannot be used


def truncated(path):
    path.write_bytes(path.read_bytes()[:-30])


DAMAGED = {
    "truncated": (truncated, r"truncated|Truncated"),
    "empty": (lambda path: path.write_bytes(b""), "it is empty"),
    "text": (lambda path: path.write_text("hello"), "it is none of JPEG, PNG"),
    "a link to nothing": (lambda path: (path.unlink(), path.symlink_to("none")), "No such file"),
    "a link to itself": (lambda path: (path.unlink(), path.symlink_to(path)), "symbolic links"),
    "a pipe": (lambda path: (path.unlink(), os.mkfifo(path)), "."),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_image_is_named_and_left_out_if_asked_for(tmp_path, capsys, kind):
    root = write_folder(tmp_path / "mine")
    spoil, match = DAMAGED[kind]
    spoil(root / "test/bee/003.png")
    with raises(rf"bee/003\.png, but it cannot be used \([^\n]*(?:{match})"):
        read(opened(root))
    data = opened(root, skip_broken=True)
    assert data.test_size == 11
    assert "left out of 12 images: bee/003.png" in capsys.readouterr().err
    assert data.test_samples(9, 10).y.item() == 1
    assert torch.equal(read(data)[9], read(opened(write_folder(tmp_path / "good")))[10])


def link_back(root):
    (root / "test/bee/again").symlink_to(root / "test")


def alike(root):
    write_folder(root, parts=("test",), classes=("Ant",))


def other_size(root):
    image(0, 0, size=(9, 9)).save(root / "test/ant/001.png")


def flat(root):
    for path in list((root / "test").rglob("*.png")):
        path.rename(root / f"{path.parent.name}{path.name}")
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_dir():
            for file in path.glob("*.png"):
                file.unlink()
            path.rmdir()


def emptied(root):
    for path in (root / "test").rglob("*.png"):
        path.unlink()


FOLDERS = {
    "a loop": (link_back, r"bee/again leads back to a folder above"),
    "names that differ by case": (alike, r"differ by more than case, but test has Ant and ant"),
    "another size": (other_size, r"ant/001\.png has 9x9 pixels and others have 12x10.*--size 224"),
    "no class folder": (flat, r"a folder for each class in .*but got images"),
    "empty": (emptied, r"Expected images in .*test/CLASS, but there are none"),
    "a class of its own": (
        lambda root: write_folder(root, parts=("test",), classes=("cow",)),
        r"in train, too, but cow is not",
    ),
    "train alone": (
        lambda root: [p.unlink() if p.is_file() else p.rmdir() for p in
                      sorted(root.glob("test/**/*"), reverse=True)] + [(root / "test").rmdir()],
        r"has train alone",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_that_cannot_be_used(tmp_path, kind):
    root = write_folder(tmp_path / "mine")
    spoil, match = FOLDERS[kind]
    spoil(root)
    with raises(match):
        read(opened(root))


def test_no_folder(tmp_path):
    with raises(r"a folder of images at .*none, but there is none"):
        opened(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with raises(r"but got a file. Name the folder"):
        opened(tmp_path / "file")


def test_what_is_no_image_is_ignored_with_a_note(tmp_path, capsys):
    root = write_folder(tmp_path / "mine")
    for name in ("notes.txt", ".DS_Store", "Thumbs.db"):
        (root / "test/ant" / name).write_text("no image")
    assert opened(root).test_size == 12
    assert "note: 2 files are ignored, such as ant/" in capsys.readouterr().err


def test_classes_that_are_numbers_keep_torchvisions_order(tmp_path, capsys):
    root = write_folder(tmp_path / "mine", parts=[""], classes=["2", "10"])
    assert opened(root).class_names == ("10", "2")
    assert "sorted as text" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"size": 0}, r"`size` to be 1 to 8192 pixels, but got 0"),
        ({"size": 8, "crop": 9}, r"`crop` to be at most `size`, but got 9 and 8"),
        ({"crop": 11}, r"12x10 pixels are less than the crop of 11"),
        ({"channels": 2}, r"`channels` to be 1 for grey or 3 for RGB, but got 2"),
        ({"interpolation": "x"}, r"`interpolation` to be one of bilinear"),
        ({"workers": -1}, r"`workers` to be at least 0, but got -1"),
    ],
)
def test_arguments_out_of_range(tmp_path, arguments, match):
    root = write_folder(tmp_path / "mine")
    with raises(match):
        read(opened(root, **arguments))


def test_arguments_of_files_are_refused_elsewhere():
    with raises(r"for image files alone, but got one of them for digits"):
        ImageDataModule("digits", size=8)


def test_a_part_alone_cannot_be_trained_on(tmp_path):
    data = opened(write_folder(tmp_path / "mine", parts=[""]))
    assert data.val_dataloader() == []
    with raises(r"Expected training images in mine, but it has test images alone"):
        data.train_dataloader()


# --- lists


def listed(root, text):
    write_folder(root, parts=[""])
    (root / "list.csv").write_text(text)
    return ImageDataModule(f"csv:{root}/list.csv", workers=0, batch_size=2)


def test_a_list_of_paths_and_labels(tmp_path):
    data = listed(tmp_path, "path,label\nbee/001.png,1\nant/000.png,0\n")
    folder = opened(tmp_path)
    assert (data.name, data.num_classes, data.class_names) == ("list", 2, ())
    assert torch.equal(read(data), read(folder)[[7, 0]])
    assert data.test_samples(0, 2).y.tolist() == [1, 0]


def test_a_list_of_names_and_parts(tmp_path):
    text = "label,split,file\nbee,train,bee/001.png\nant,train,ant/000.png\nant,test,ant/001.png\n"
    data = listed(tmp_path, text)
    assert data.class_names == ("ant", "bee")
    assert data.train_labels.tolist() == [1, 0]
    assert data.test_size == 1


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", r"one column `path` in the first line of list\.csv, but got 'nothing'"),
        ("path,label\n", r"it lists none"),
        ("path,label\nant/000.png,1\nbee/000.png,2\nbee/001.png,2", r"but got 1 to 2\. Subtract"),
        ("path,label\nant/000.png,-1\n", r"integers from 0 on or names, but got -1"),
        ("path,label\nant/none.png,0\n", r"ant/none\.png is not there"),
        ("path,label\nx.png,0\ny.png,0\n", r"2 are not, such as x\.png, there"),
        ("path,label\nant/000.png\n", r"2 columns in line 2 of list\.csv, but got 1"),
        ("path,label,split\nant/000.png,0,x\n", r"`split` to be train or test in line 2"),
        ("path,label,split\nant/000.png,0,train\n", r"Expected test images in list\.csv"),
        ("a\udcffb", r"UTF-8 in list\.csv"),
    ],
)
def test_a_list_that_cannot_be_used(tmp_path, text, match):
    write_folder(tmp_path, parts=[""])
    (tmp_path / "list.csv").write_bytes(text.encode(errors="surrogateescape"))
    with raises(match):
        ImageDataModule(f"csv:{tmp_path}/list.csv", workers=0)


# --- arrays


def test_an_npz_of_test_images_alone(tmp_path):
    x = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    np.savez(tmp_path / "a.npz", x_test=x, y_test=[0, 1], classes=["cat", "dog"])
    data = ImageDataModule(f"npz:{tmp_path}/a.npz")
    assert (data.test_size, data.class_names, data.name) == (2, ("cat", "dog"), "a")
    with raises(r"it has test images alone"):
        data.train_dataloader()


def test_an_npz_with_labels_from_1(tmp_path):
    x = np.zeros((3, 4, 4), np.uint8)
    np.savez(tmp_path / "a.npz", x_test=x, y_test=[1, 2, 3])
    with raises(r"labels from 0 on in a, but got 1 to 3"):
        ImageDataModule(f"npz:{tmp_path}/a.npz")


def test_an_npz_without_the_arrays(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((3, 4, 4), np.uint8))
    with raises(r"the keys x_test, y_test in .*but got images\. Add x_test, y_test"):
        ImageDataModule(f"npz:{tmp_path}/a.npz")


def test_a_source_without_a_path():
    with raises(r"a path after imagefolder:, but got none"):
        ImageDataModule("imagefolder:")
