"""Short names of files, in a clone and in an installed package."""

import shutil
from pathlib import Path

import pytest

from robust.errors import ConfigError
from robust.loading import short_names
from robust.loading.short_names import check_exists, find, home, is_short, known
from tests.support.tiny import ROOT

KINDS = [
    ("defense", "squeezed", "configs/squeezed.yaml"),
    ("defense", "circles", "configs/toy/circles.yaml"),
    ("suite", "quick", "configs/suites/quick.yaml"),
    ("data", "digits", "configs/data/digits.yaml"),
    ("table", "tuna2022_table1", "papers/tuna2022/tables/tuna2022_table1.yaml"),
    ("sweep", "temperature", "sweeps/temperature.yaml"),
]


@pytest.fixture(params=["clone", "installed"])
def folder(request, tmp_path, monkeypatch):
    """Where the files are: beside the package, or in it."""
    monkeypatch.chdir(tmp_path)
    if request.param == "clone":
        return ROOT
    package = tmp_path / "site" / "robust"
    for name in ("configs", "papers", "sweeps"):
        shutil.copytree(ROOT / name, package / name)
    monkeypatch.setattr(short_names, "_PACKAGE", package)
    return package


@pytest.mark.parametrize(("kind", "name", "path"), KINDS)
def test_a_short_name_is_found(folder, kind, name, path):
    assert home() == folder
    assert find(name, kind) == folder / path


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, name, _ in KINDS])
def test_a_name_that_is_near_is_told(kind, name):
    wrong = f"{name[:-2]}{name[-1]}"
    with pytest.raises(ConfigError, match=rf"'{wrong}'. Did you mean {name}\?"):
        find(wrong, kind)


@pytest.mark.parametrize("name", ["squeezed.yaml", "./squeezed", "a/b", "../x.yml", "{a: 1}"])
def test_what_is_a_path_stays_one(name):
    assert not is_short(name)
    assert find(name, "defense") == Path(name)


def test_an_empty_name_is_no_path():
    with pytest.raises(ConfigError, match=r"or a path such as mine\.yaml, but got ''"):
        find("", "suite")


def test_a_path_of_the_clone_is_found_elsewhere(folder):
    assert find("configs/toy/moons.yaml", "defense") == folder / "configs/toy/moons.yaml"
    Path("configs").mkdir()
    Path("configs/squeezed.yaml").touch()
    assert find("configs/squeezed.yaml", "defense") == Path("configs/squeezed.yaml")
    assert find("robust/errors.py", "defense") == Path("robust/errors.py")


@pytest.mark.parametrize(
    ("kind", "earlier", "now"),
    [
        ("table", "tables/tuna2022_table1.yaml", "tuna2022/tables/tuna2022_table1.yaml"),
        ("suite", "suites/wang2018_small.yaml", "wang2018/suites/wang2018_small.yaml"),
        ("defense", "papers/wang2018/wnll_cifar10.yaml", "wang2018/configs/wnll_cifar10.yaml"),
    ],
)
def test_earlier_paths_are_followed(folder, kind, earlier, now):
    for path in (f"configs/{earlier}", f"./configs/{earlier}", folder / "configs" / earlier):
        assert find(str(path), kind) == folder / "papers" / now
    for path in (f"configs/{earlier[:-6]}9.yaml", f"elsewhere/configs/{earlier}"):
        assert find(path, kind) == Path(path)
    mine = Path("configs") / earlier
    mine.parent.mkdir(parents=True)
    mine.touch()
    assert find(str(mine), kind) == mine


def test_a_file_without_a_suffix_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine").write_text("model: x\n")
    assert find("mine", "defense") == Path("mine")


def test_every_name_is_a_short_one():
    for kind, *_ in KINDS:
        assert all(map(is_short, known(kind)))


def test_what_is_beside_a_file_that_is_not_there(tmp_path):
    (tmp_path / "suite.yaml").touch()
    with pytest.raises(ConfigError, match=r"no such file\. Did you mean .*suite\.yaml\?"):
        check_exists(tmp_path / "suit.yaml")
    for odd in ("9" * 5000, "a\0b", tmp_path / "none" / "x"):
        with pytest.raises(ConfigError, match="no such file") as error:
            check_exists(odd)
        assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("path", "end"),
    [
        ("runs/squeezed/firs", "no such folder. Did you mean runs/squeezed/first?"),
        ("runs/squezed/first", "no such folder. Did you mean runs/squeezed/first?"),
        ("run/squeezed/first/", "no such folder. Did you mean runs/squeezed/first?"),
        ("runs/squezed/2", "no such folder. Did you mean runs/squeezed?"),
        ("runs/squeezed/firs/last.ckpt", "no such file. Did you mean runs/squeezed/first?"),
        ("other/x", "no such folder."),
    ],
)
def test_the_complete_path_of_a_run_is_named(path, end, tmp_path, monkeypatch):
    (tmp_path / "runs/squeezed/first").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as error:
        check_exists(path, "a run folder or a checkpoint")
    assert str(error.value).endswith(end)
