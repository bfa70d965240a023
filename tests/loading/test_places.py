"""Files that come with the package are found by short names, in a clone and installed."""

from pathlib import Path

import pytest

from robust.errors import ConfigError
from robust.loading import places
from robust.loading.places import find, names

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("kind", "name", "path"),
    [
        ("config", "squeezed", "configs/squeezed.yaml"),
        ("config", "moons", "configs/toy/moons.yaml"),
        ("suite", "quick", "configs/suites/quick.yaml"),
        ("data", "fashion_mnist", "configs/data/fashion_mnist.yaml"),
        ("table", "wang2018_table1", "configs/tables/wang2018_table1.yaml"),
        ("sweep", "temperature", "sweeps/temperature.yaml"),
    ],
)
def test_a_short_name_is_found_anywhere(kind, name, path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()  # no path, without a separator
    assert find(kind, name) == ROOT / path
    assert find(kind, Path(name)) == ROOT / path
    monkeypatch.chdir(ROOT)
    assert str(find(kind, name)) == path


@pytest.mark.parametrize("name", ["quick.yaml", "./quick", "a/quick", "nowhere/x.yml"])
def test_a_separator_or_a_suffix_makes_a_path(name):
    assert find("suite", name) == Path(name)


@pytest.mark.parametrize(
    ("kind", "name", "hint"),
    [
        ("config", "squeezd", "Did you mean squeezed?"),
        ("suite", "Quick", "Did you mean quick?"),
        ("data", "mnits", "Did you mean mnist?"),
        ("table", "wang2018_tabel1", "Did you mean wang2018_table1?"),
        ("sweep", "temperatur", "Did you mean temperature?"),
        ("suite", "zzz", "or a path"),
        ("suite", "", "or a path"),
        ("suite", "x" * 500, "or a path"),
    ],
)
def test_an_unknown_name_gets_the_nearest(kind, name, hint):
    with pytest.raises(ConfigError, match=f"name of a {kind}") as caught:
        find(kind, name)
    assert str(caught.value).endswith(f"{hint}.") or hint in str(caught.value)
    assert len(str(caught.value)) <= 300


def test_the_installed_files_come_first(monkeypatch, tmp_path):
    inside = tmp_path / "robust/configs/suites/quick.yaml"
    outside = tmp_path / "configs/suites/other.yaml"
    for path in (inside, outside):
        path.parent.mkdir(parents=True)
        path.touch()
    monkeypatch.setattr(places, "__file__", str(tmp_path / "robust/loading/places.py"))
    assert names("suite") == {"quick": inside}  # what lies beside site-packages is not ours
    (tmp_path / "pyproject.toml").touch()
    assert names("suite") == {"quick": inside, "other": outside}
    (outside.parent / "quick.yaml").touch()
    assert names("suite")["quick"] == inside
