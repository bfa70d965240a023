"""`--data` names images of a user, and what cannot be is told before torch is imported."""

import pytest

from robust.commands.options import early
from robust.commands.options.train import check, translated, with_paths
from robust.errors import ConfigError

CLASS = "robust.data.ImageDataModule"


@pytest.mark.parametrize(
    "source", ["imagefolder:a/b", "csv:a.csv", "npz:a", "a.npz", "hf:a/b:test"]
)
def test_images_become_the_data_modules_arguments(source):
    assert with_paths([f"--data={source}"]) == [f"--data={CLASS}", f"--data.dataset={source}"]
    assert with_paths(["--data", source, "--x"]) == [
        *("--data", CLASS),
        f"--data.dataset={source}",
        "--x",
    ]


def test_flags_of_image_files():
    found = translated(
        ["standard", "--data", "imagefolder:a", "--size", "256", "--crop", "224", "--skip-broken"]
    )
    assert {"--data.size=256", "--data.crop=224", "--data.skip_broken=true"} <= {*found}


def test_other_data_stays_what_it_is():
    assert with_paths([f"--data={CLASS}"]) == [f"--data={CLASS}"]
    assert with_paths(["--data", "digits"])[1].endswith("digits.yaml")


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ("imagfolder:a", r"one of imagefolder:PATH, .*but got 'imagfolder:a'\. Did you mean image"),
        ("imagefolder:none", r"Expected a folder of images at none"),
        ("csv:none.csv", r"Expected a file for csv: at none\.csv"),
        ("npz:none.npz", r"Expected a file for npz: at none\.npz"),
    ],
)
def test_what_is_not_there_is_told(source, match, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=match) as error:
        check(["fit", "--data", source])
    assert len(str(error.value)) <= 300


@pytest.mark.parametrize(
    ("path", "match"),
    [
        ("pets", "the folder 'pets'. Did you mean imagefolder:pets?"),
        ("pets/val", "the folder 'pets/val'. Did you mean imagefolder:pets/val?"),
        ("saved", "the folder 'saved'. Did you mean hf:saved?"),
        ("list.csv", "the list 'list.csv'. Did you mean csv:list.csv?"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        lambda path: check(["fit", f"--data={path}"]),
        lambda path: check(translated(["standard", "--data", path])),
        lambda path: check(["fit", f"--data.dataset={path}"]),
        lambda path: early.check("evaluate", ["resnet.onnx", "--data", path]),
    ],
)
def test_images_without_their_kind_are_recognized(command, path, match, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets" / "val").mkdir(parents=True)
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "dataset_info.json").touch()
    (tmp_path / "list.csv").touch()
    (tmp_path / "resnet.onnx").touch()
    with pytest.raises(ConfigError) as error:
        command(path)
    assert match in str(error.value)


def test_a_short_name_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert with_paths(["--data", "digits"])[1].endswith("digits.yaml")
