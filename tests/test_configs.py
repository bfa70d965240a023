"""Every YAML parses; a defense config trains one batch and survives its suite for one."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import Trainer

from robust.commands.train import RobustCLI, train
from robust.data import ImageDataModule
from robust.defenses import Defense
from robust.errors import ConfigError
from robust.evaluation import AttackEvaluation
from robust.loading.class_paths import imported
from robust.loading.paper_tables import read_table
from robust.loading.parsing.fractions import read_yaml
from robust.loading.parsing.parser import Parser
from robust.loading.suites import evaluation_class, read_suite
from robust.measures.measured_tables import published_measures
from robust.results.published.cells import MEASURED
from robust.results.published.table import paper_table
from robust.transforms import TotalVariation
from tests.loading.test_standard_suites import NAMES as STANDARD_SUITES
from tests.support import papers
from tests.support.short_suites import shorten_auto_attack
from tests.support.suites import suite_of

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "configs"
_PARTS = ("configs/*.yaml", "configs/toy/*.yaml", "papers/*/configs/*.yaml")
DEFENSES = sorted(path for part in _PARTS for path in ROOT.glob(part))
SUITES = list(papers.SUITES.values())
TABLES = list(papers.TABLES.values())
DATA = sorted(CONFIGS.glob("data/*.yaml"))
FILES = [*CONFIGS.rglob("*.yaml"), *papers.PAPERS.rglob("*.yaml")]

ACCELERATORS = ["cpu", pytest.param("gpu", marks=pytest.mark.gpu)]


def name(path):
    return str(path.relative_to(ROOT))


def kinds_in(file, kinds):
    """The classes that a file names."""
    return set(re.findall(rf"class_path: ((?:{kinds})\.\w+)", file.read_text()))


def first_of_each_kind(files, kinds, known=()):
    """The first files that name a class of these packages which no earlier one does."""
    known, first = set(known), []
    for file in files:
        new = kinds_in(file, kinds) - known
        known |= new
        first += [file] if new else []
    return first


# Those of papers combine the same defenses and transforms with other networks and data.
SMOKED_CONFIGS = first_of_each_kind(
    [config for config in DEFENSES if config.is_relative_to(CONFIGS)],
    r"robust\.(?:defenses|transforms|data)",
)


@pytest.fixture(autouse=True)
def _no_arguments_of_pytest(monkeypatch):
    """Lightning warns where its parser gets arguments and the process has some of its own."""
    monkeypatch.setattr("sys.argv", ["train.py"])


def test_the_globs_find_them():
    assert len(DEFENSES) >= 8
    assert len(SUITES) >= 17
    assert len(TABLES) >= 4
    assert len(DATA) >= 4
    assert set(FILES) == {*DEFENSES, *SUITES, *TABLES, *DATA}


@pytest.fixture
def fake_data(tmp_path, monkeypatch):
    """A few random images in the shape of the set that a config names."""

    def write(config):
        data = read_yaml(config)["data"]
        data = read_yaml(config.parent / data) if isinstance(data, str) else data
        module = ImageDataModule(data["init_args"]["dataset"])
        random = np.random.RandomState(0)
        arrays = {}
        for part, n in (("train", 40), ("test", 12)):
            x = random.randint(0, 256, (n, *module.shape[1:], module.shape[0]))
            arrays[f"x_{part}"] = x.astype(np.uint8)
            arrays[f"y_{part}"] = np.arange(n) % module.num_classes
        np.savez(tmp_path / "fake.npz", **arrays)
        return tmp_path / "fake.npz"

    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.delenv("ROBUST_DATA_DIR", raising=False)
    return write


def source(network, folder):
    """A checkpoint of an untrained network, for a defense that learns from images of another."""
    state = imported(network)().state_dict()
    path = folder / "source.ckpt"
    torch.save({"state_dict": {f"network.{k}": v for k, v in state.items()}}, path)
    return path


# What makes a suite of hours one of a second.
SMALL = {
    "steps": 2,
    "iterations": 2,
    "levels": 5,
    "max_pixels": 3,
    "queries": 80,
    "n_queries": 20,
    "repetitions": 2,
    "starts": 5,
    "samples": 2,
    "initial_evaluations": 10,
}


@pytest.fixture
def few_iterations(monkeypatch):
    """Total variation is minimized in 2 steps; its 200 take longer than all else of a suite."""
    usual = TotalVariation.forward

    def forward(self, x):
        self.iterations = 2
        return usual(self, x)

    monkeypatch.setattr(TotalVariation, "forward", forward)


def parameters_of(attack):
    return inspect.signature(imported(attack["class_path"])).parameters


def small(attacks):
    """The attacks of a suite with fewer steps."""
    for attack in attacks.values():
        arguments = attack.setdefault("init_args", {})
        reach = arguments.get("project") is False  # eps is what all steps add up to
        for key, parameter in parameters_of(attack).items():
            if key in SMALL and not reach:
                arguments[key] = min(arguments.get(key, parameter.default), SMALL[key])
    return attacks


class TestDefenseConfig:
    @pytest.mark.usefixtures("few_iterations")
    @pytest.mark.parametrize(
        "config",
        [
            pytest.param(config, marks=[] if config in SMOKED_CONFIGS else [pytest.mark.slow])
            for config in DEFENSES
        ],
        ids=name,
    )
    @pytest.mark.parametrize("accelerator", ACCELERATORS)
    def test_trains_a_batch_and_survives_its_suite(
        self, config, accelerator, fake_data, tmp_path, capsys
    ):
        content = read_yaml(config)
        suite = read_yaml(config.parent / content["evaluation"])
        shorter = tmp_path / f"{suite['suite']}.yaml"
        shorter.write_text(yaml.safe_dump({**suite, "attacks": small(suite["attacks"])}))
        init_args = content["model"]["init_args"]
        # Distillation needs an epoch for the teacher and one for the student.
        epochs = 2 if content["model"]["class_path"].endswith("Distillation") else 1
        arguments = [
            "fit",
            f"--config={config}",
            f"--data.init_args.dataset={fake_data(config)}",
            "--data.init_args.batch_size=4",
            f"--run.root={tmp_path / 'runs'}",
            f"--evaluation={shorter}",
            f"--trainer.max_epochs={epochs}",
            "--trainer.limit_train_batches=1",
            "--trainer.limit_val_batches=1",
            f"--trainer.accelerator={accelerator}",
            "--trainer.devices=1",
            "--trainer.enable_progress_bar=false",
            "--evaluation.limit=2",
        ]
        if "depth" in str(init_args["network"]):
            arguments.append("--model.init_args.network.init_args.depth=8")
        if "source" in init_args:
            arguments.append(f"--model.init_args.source={source(init_args['network'], tmp_path)}")
        if "template_size" in init_args:
            arguments.append("--model.init_args.template_size=20")  # of the 38 images
        assert train(arguments) == 0, capsys.readouterr().err
        output = capsys.readouterr().out
        assert "robust acc" in output
        for attack in suite["attacks"]:
            assert attack in output
        (records,) = (tmp_path / "runs").glob("*/*/records/*.csv")
        assert records.name.startswith(suite["suite"])

    @pytest.mark.parametrize("config", DEFENSES, ids=name)
    def test_is_short_and_says_what_to_expect(self, config):
        lines = config.read_text().splitlines()
        assert len(lines) <= 25
        header = "\n".join(line for line in lines if line.startswith("#"))
        assert "et al. 20" in header
        assert "Paper:" in header
        assert "Ours:" in header


@pytest.mark.parametrize("suite", SUITES, ids=name)
def test_suite_is_named_after_its_file_and_holds_together(suite):
    evaluation = suite_of(suite)
    assert evaluation.name == suite.stem
    assert evaluation.infos


class Coded(Defense):
    """Ten codewords and a linear network, cheap to attack in every way that a suite knows."""

    def __init__(self):
        torch.manual_seed(0)
        super().__init__(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 12)))
        self.codebook: torch.Tensor
        self.register_buffer("codebook", torch.randn(10, 12))

    def forward(self, x):
        return -(self.outputs(x).unsqueeze(1) - self.codebook).square().sum(dim=2)

    def training_loss(self, x, y):
        return -self(x).gather(1, y.view(-1, 1)).mean()

    def adaptive_view(self):
        return self


@pytest.fixture
def classified(tmp_path):
    """Two random images that `Coded` classifies correctly."""
    x = np.random.RandomState(0).randint(0, 256, (10, 6, 6)).astype(np.uint8)
    with torch.no_grad():
        y = Coded()(torch.from_numpy(x).unsqueeze(1) / 255).argmax(dim=1).numpy()
    np.savez(tmp_path / "x.npz", x_train=x, y_train=np.arange(10), x_test=x[:2], y_test=y[:2])
    return ImageDataModule(str(tmp_path / "x.npz"))


# Instead of those of CIFAR-10's three channels.
ONE_CHANNEL = {"mean": [0.5], "std": [0.25]}


# `tests/loading/test_standard_suites.py` runs these, and the configs the one that they name.
RUN_ELSEWHERE = [CONFIGS / f"suites/{word}.yaml" for word in STANDARD_SUITES]
ATTACKS = r"robust\.attacks|torchattacks"
RUN_HERE = first_of_each_kind(
    [suite for suite in SUITES if suite not in RUN_ELSEWHERE],
    ATTACKS,
    known=set().union(*(kinds_in(suite, ATTACKS) for suite in RUN_ELSEWHERE)),
)


@pytest.mark.parametrize("accelerator", ACCELERATORS)
@pytest.mark.parametrize(
    "suite",
    [
        pytest.param(suite, marks=[] if suite in RUN_HERE else [pytest.mark.slow])
        for suite in SUITES
    ],
    ids=name,
)
def test_every_attack_of_a_suite_runs(suite, accelerator, classified, tmp_path, monkeypatch):
    shorten_auto_attack(monkeypatch)
    attacks = small(read_yaml(suite)["attacks"])
    for attack in attacks.values():
        for key in ONE_CHANNEL.keys() & parameters_of(attack):
            attack["init_args"][key] = ONE_CHANNEL[key]
    records = str(tmp_path / "records")
    read = read_suite(suite, attacks=attacks, limit=2, split="test").on("digits")
    evaluation = AttackEvaluation(read, records=records)
    Trainer(
        accelerator=accelerator,
        devices=1,
        logger=False,
        callbacks=[evaluation],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        inference_mode=False,
    ).test(Coded(), datamodule=classified, verbose=False)
    for view in read.views:
        for attack, info in read.infos.items():
            rows = evaluation.evaluated.select(view, attack)
            assert [row.index for row in rows] == [0, 1]
            # A target given as a number may be the class of an image.
            assert all(row.attacked for row in rows) or isinstance(info.target, int)
            assert all(row.forwards > 0 for row in rows if row.attacked)


@pytest.mark.parametrize("target", ["foo", 1.5, True])
def test_a_target_is_a_class_or_random(target):
    with pytest.raises(ConfigError, match=f"an integer or one of 'random' .* got '{target}'"):
        read_suite(CONFIGS / "suites/quick.yaml", targets={"pgd": target})


def flags_of(suite):
    header = "".join(line for line in suite.read_text().splitlines(True) if line[0] == "#")
    return re.findall(r"--evaluation\.[\w.]+=\S+", header)


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("suite", list(filter(flags_of, SUITES)), ids=name)
def test_flags_in_the_header_of_a_suite_work(suite):
    parser = Parser(exit_on_error=False)
    parser.add_class_arguments(evaluation_class(), "evaluation")
    config = parser.parse_args([f"--evaluation={suite}", *flags_of(suite)])
    changed = parser.instantiate(config).evaluation.suite.infos
    assert changed != suite_of(suite).infos


@pytest.mark.parametrize("table", TABLES, ids=name)
def test_table_fits_its_suite(table):
    content = read_table(table)  # which checks classes, attacks, measures and names
    cells = sum(len(row["published"]) for row in content["rows"].values())
    if content["metric"] == MEASURED:
        assert len(published_measures(content, {}).rows) == cells
        return
    assert set(content["clean_acc"]) == set(content["columns"])
    evaluation = suite_of((table.parent / content["suite"]).resolve())
    assert {row["attack"] for row in content["rows"].values()} <= set(evaluation.infos)
    grid = paper_table(content, {})
    assert len(grid.rows) == len(content["columns"]) + cells


@pytest.mark.sampled(every=3)
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

    for path in [*FILES, *(ROOT / "sweeps").glob("*.yaml")]:
        yaml.load(path.read_text(), Loader=Strict)
    with pytest.raises(AssertionError):
        yaml.load("a: 1\na: 2", Loader=Strict)
