"""`robust evaluate RUN --data IMAGES`: a trained run is attacked on others than its own images."""

import json
import shutil

import numpy as np
import pytest

import robust
from robust.commands.main import main
from robust.commands.report import report
from robust.errors import ConfigError
from robust.loading.trained_run import TrainedRun
from tests.conftest import write_npz

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture
def run(unattacked, tmp_path, monkeypatch):
    """The run by its path from the current folder, where ``other.npz`` has other images."""
    monkeypatch.chdir(tmp_path)
    x, y = np.full((12, 28, 28), 9, np.uint8), np.arange(12) % 9  # the tenth class is missing
    np.savez("other.npz", x_test=x + y[:, None, None].astype(np.uint8), y_test=y)
    return str(unattacked.relative_to(tmp_path))


@pytest.fixture
def attack(suite):
    def evaluated(*words):
        return main(["evaluate", *words, "--suite", str(suite), "-n", "6"])

    return evaluated


def headers(tmp_path):
    files = sorted((tmp_path / "runs/squeezed/a/records").glob("*.json"))
    return {header["data"]: header for header in (json.loads(path.read_text()) for path in files)}


def test_records_of_other_images_stand_beside_those_of_its_own(
    run, attack, tmp_path, capsys, monkeypatch
):
    assert attack(run) == 0
    own = {p: p.read_bytes() for p in (tmp_path / run / "records").iterdir()}
    assert "trained on" not in capsys.readouterr().out
    assert attack(run, "--data=other.npz") == 0
    table = capsys.readouterr().out
    assert "suite tiny, other" in table
    assert "squeezed/a: trained on bars, attacked on other." in " ".join(table.split())
    assert headers(tmp_path).keys() == {"bars", "other"}
    assert {p: p.read_bytes() for p in own} == own
    monkeypatch.setattr("robust.evaluation.blocks.craft", lambda *_, **__: pytest.fail("again"))
    assert attack(run, "--data=other.npz") == 0
    assert attack(run) == 0
    assert report(["runs", "-o", "page.html"], program="robust report") == 0
    page = (tmp_path / "page.html").read_text()
    assert "tiny, other" in page
    assert "tiny, bars" in page


def test_its_own_images_by_name_are_its_own(run, attack, npz, tmp_path, capsys):
    assert attack(run, f"--data=npz:{npz}") == 0
    described = TrainedRun.load(tmp_path / run).described["data"]["init_args"]["dataset"]
    assert attack(run, f"--data={described}") == 0
    assert "attacked on" not in capsys.readouterr().out.split("suite tiny")[-1]
    assert headers(tmp_path).keys() == {"bars"}


@pytest.mark.slow  # as one of them is
def test_several_runs_are_compared_on_the_same_images(run, attack, tmp_path, capsys):
    shutil.copytree(tmp_path / run, tmp_path / "runs/squeezed/b")
    assert attack(run, "runs/squeezed/b", "--data=other.npz") == 0
    assert "suite tiny, other" in capsys.readouterr().out


def test_a_run_whose_own_images_are_gone_is_attacked_on_others(run, attack, tmp_path, capsys):
    (tmp_path / "own").mkdir()
    write_npz(tmp_path / "own/mine.npz")
    data = robust.ImageDataModule("own/mine.npz", batch_size=16)
    network = robust.Standard(robust.MLP())
    robust.fit(network, data, 1, save="runs/mlp/a", progress=False)
    shutil.rmtree(tmp_path / "own")
    assert attack("runs/mlp/a") == 2
    assert "mine.npz" in capsys.readouterr().err
    assert attack("runs/mlp/a", "--data=other.npz") == 0
    assert "trained on own/mine.npz, attacked on other." in capsys.readouterr().out


def test_figures_of_other_images_have_a_folder(run, attack, tmp_path, blank_figures):
    assert attack(run, "--data=other.npz", "--grid=pgd") == 0
    figures = tmp_path / run / "figures"
    assert list(figures.glob("other/adversarials_*.png"))
    assert not list(figures.glob("*.png"))
    assert report(["runs", "-o", "page.html"], program="robust report") == 0
    assert "other/adversarials" in (tmp_path / "page.html").read_text()


def test_wandb_has_a_run_of_it(run, attack, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert attack(run) == 0
    assert attack(run, "--data=other.npz") == 0
    names = sorted(p.name.partition("-a-")[2] for p in (tmp_path / run / "wandb").glob("offline-*"))
    assert names == ["evaluate-tiny", "evaluate-tiny-on-other"]


def test_in_python(run, suite, tmp_path):
    loaded = robust.load(run)
    x, y = np.full((6, 1, 28, 28), 9, np.uint8), np.arange(6)
    quiet = {"progress": False, "limit": 6}
    assert loaded.evaluate(str(suite), (x, y), **quiet).evaluation.header.data != "bars"
    module = robust.ImageDataModule("other.npz")
    result = loaded.evaluate(str(suite), data=module, **quiet)
    assert result.evaluation.notes[-1] == "trained on bars, attacked on other."
    assert loaded.evaluate(str(suite), **quiet).evaluation.header.data == "bars"
    assert len(list((tmp_path / run / "records").glob("*.csv"))) == 3
    with pytest.raises(ConfigError, match=r"images and labels as `data`, but got str"):
        loaded.evaluate(str(suite), data="other.npz", **quiet)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--data=small.npz"],
            "of 1x28x28, as in bars, for the network, but those of small",
        ),
        (["--data=many.npz"], "the 10 classes that the network was trained on, but many has 12"),
        (["--data=named.npz"], "but named has 3. Labels count by their numbers"),
        (["--data=othr.npz"], "Did you mean other.npz?"),
        (["--data=digts"], "Did you mean digits?"),
        (["--data=runs"], "Did you mean imagefolder:runs?"),
        (["--size=32"], "Expected --data beside --size"),
        (["--skip-broken"], "Expected --data beside --skip-broken"),
        (["--data=other.npz", "--robustness"], "no --data with --robustness"),
        (
            ["--data=other.npz", "--mean", "0", "--std", "1"],
            "elsewhere for --mean, but got the run",
        ),
        (["--data=other.npz", "--network=a:B"], "elsewhere for --network, but got the run"),
    ],
)
def test_what_does_not_fit_is_one_line(run, attack, words, message, tmp_path, capsys):
    x = np.zeros((12, 28, 28), np.uint8)
    np.savez("small.npz", x_test=x[:, :8, :8], y_test=np.arange(12) % 10)
    np.savez("many.npz", x_test=x, y_test=np.arange(12))
    np.savez("named.npz", x_test=x, y_test=np.arange(12) % 3, classes=np.array(["a", "b", "c"]))
    assert attack(run, *words) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert message in line
    assert len(line) <= 300
    assert not (tmp_path / run / "records").exists()


def test_names_of_classes_that_differ_are_noted(run, attack, tmp_path, capsys):
    names = np.array(list("abcdefghij"))
    for file, order in (("mine", names), ("theirs", names[::-1])):
        x, y = np.zeros((10, 28, 28), np.uint8), np.arange(10)
        parts = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
        np.savez(f"{file}.npz", **parts, classes=order)
    data = robust.ImageDataModule("mine.npz", batch_size=10, val_fraction=0.0)
    robust.fit(robust.Standard(robust.MLP()), data, 1, save="runs/m/a", progress=False)
    assert attack("runs/m/a", "--data=theirs.npz") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "class 0 is 'j' here and 'a' in its training; labels count by their numbers." in told
