"""Every YAML parses; every defense config trains one batch and survives its suite for one."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from robust.cli import RobustCLI, train
from robust.data import ImageDataModule
from robust.evaluation.tables import published
from robust.parsing import read_suite, read_yaml

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "configs"
DEFENSES = sorted([*CONFIGS.glob("*.yaml"), *CONFIGS.glob("papers/**/*.yaml")])
SUITES = sorted(CONFIGS.glob("suites/*.yaml"))
TABLES = sorted(CONFIGS.glob("tables/*.yaml"))
DATA = sorted(CONFIGS.glob("data/*.yaml"))


def name(path):
    return str(path.relative_to(CONFIGS))


@pytest.fixture(autouse=True)
def _no_arguments_of_pytest(monkeypatch):
    """Lightning warns where its parser gets arguments and the process has some of its own."""
    monkeypatch.setattr("sys.argv", ["train.py"])


def test_the_globs_find_them():
    assert len(DEFENSES) >= 8
    assert len(SUITES) >= 6
    assert len(TABLES) >= 4
    assert len(DATA) >= 4
    every = set(CONFIGS.rglob("*.yaml"))
    assert every == {*DEFENSES, *SUITES, *TABLES, *DATA}


@pytest.fixture
def fake_data(tmp_path, monkeypatch):
    """A few random images in the shape of the set that a config names."""

    def write(config):
        dataset = read_yaml(config.parent / read_yaml(config)["data"])["init_args"]["dataset"]
        shape = ImageDataModule(dataset).shape
        random = np.random.RandomState(0)
        arrays = {}
        for part, n in (("train", 40), ("test", 12)):
            x = random.randint(0, 256, (n, *shape[1:], shape[0]))
            arrays[f"x_{part}"] = x.astype(np.uint8)
            arrays[f"y_{part}"] = np.arange(n) % 10
        np.savez(tmp_path / "fake.npz", **arrays)
        return tmp_path / "fake.npz"

    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.delenv("ROBUST_DATA_DIR", raising=False)
    return write


@pytest.mark.parametrize("config", DEFENSES, ids=name)
class TestDefenseConfig:
    def test_trains_a_batch_and_survives_its_suite(self, config, fake_data, tmp_path, capsys):
        arguments = [
            "fit",
            f"--config={config}",
            f"--data.init_args.dataset={fake_data(config)}",
            "--data.init_args.batch_size=4",
            f"--run.root={tmp_path / 'runs'}",
            # Distillation needs an epoch for the teacher and one for the student.
            "--trainer.max_epochs=2",
            "--trainer.limit_train_batches=1",
            "--trainer.limit_val_batches=1",
            "--trainer.accelerator=cpu",
            "--trainer.enable_progress_bar=false",
            "--evaluation.limit=3",
        ]
        assert train(arguments) == 0, capsys.readouterr().err
        output = capsys.readouterr().out
        assert "robust acc" in output
        suite = read_yaml(config.parent / read_yaml(config)["evaluation"])
        for attack in suite["attacks"]:
            assert attack in output
        (records,) = (tmp_path / "runs").glob("*/*/records/*.csv")
        assert records.name.startswith(suite["suite"])

    def test_is_short_and_says_what_to_expect(self, config):
        lines = config.read_text().splitlines()
        assert len(lines) <= 25
        header = "\n".join(line for line in lines if line.startswith("#"))
        assert "et al. 20" in header
        assert "Published:" in header
        assert "Ours:" in header


@pytest.mark.parametrize("suite", SUITES, ids=name)
def test_suite_is_named_after_its_file_and_holds_together(suite):
    evaluation = read_suite(suite)
    assert evaluation.suite == suite.stem
    assert evaluation.infos


@pytest.mark.parametrize("table", TABLES, ids=name)
def test_table_fits_its_suite(table):
    content = read_yaml(table)
    evaluation = read_suite(table.parent / content["suite"])
    named = {row["attack"] for row in content["rows"].values()}
    assert set(evaluation.infos) <= named
    columns = set(content["columns"])
    assert set(content["clean_acc"]) == columns
    assert all(set(row["published"]) == columns for row in content["rows"].values())
    grid = published(content, {})
    assert len(grid.rows) == len(columns) * (1 + len(content["rows"]))


@pytest.mark.parametrize("data", DATA, ids=name)
@pytest.mark.parametrize("config", [CONFIGS / "squeezed.yaml"], ids=name)
def test_data_configs_take_the_place_of_another(data, config, monkeypatch):
    class Parsed(Exception):
        pass

    def stop(self):
        raise Parsed(self.config.fit.data.init_args.dataset)

    monkeypatch.setattr(RobustCLI, "before_instantiate_classes", stop)
    with pytest.raises(Parsed, match=read_yaml(data)["init_args"]["dataset"]):
        RobustCLI(["fit", f"--config={config}", f"--data={data}"])


def test_yaml_files_have_no_duplicate_keys():
    """PyYAML keeps the last of two equal keys without a word."""

    class Strict(yaml.SafeLoader):
        def construct_mapping(self, node, deep=False):
            keys = [key.value for key, _ in node.value]
            assert len(keys) == len(set(keys)), f"{node.start_mark}: {keys}"
            return super().construct_mapping(node, deep)

    for path in [*CONFIGS.rglob("*.yaml"), *(ROOT / "sweeps").glob("*.yaml")]:
        yaml.load(path.read_text(), Loader=Strict)
    with pytest.raises(AssertionError):
        yaml.load("a: 1\na: 2", Loader=Strict)
