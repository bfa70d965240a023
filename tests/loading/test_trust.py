"""Files name classes of an allow-list of packages; what the user trusts beside them."""

import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

import robust
from robust.checkpoints import DESCRIPTION
from robust.commands.evaluate import evaluate
from robust.commands.train import train
from robust.errors import ConfigError
from robust.loading import class_paths, trust
from robust.loading.class_paths import imported
from robust.loading.paper_tables import PaperTable
from robust.loading.restore import restore
from robust.loading.suites import read_suite
from robust.loading.trust import UntrustedError
from tests.support.tiny import SUITE

SOURCE = (
    "from torch import nn\nclass Network(nn.Sequential):\n    def __init__(self, num_classes=10):\n"
)
SOURCE += "        super().__init__(nn.Flatten(), nn.Linear(784, num_classes))\n"


@pytest.fixture(autouse=True)
def stranger(tmp_path, monkeypatch):
    """A folder with a stranger's module, which leaves a mark where it is imported."""
    monkeypatch.delenv("ROBUST_TRUST")
    monkeypatch.chdir(tmp_path)
    mark = tmp_path / "MARKER"
    (tmp_path / "stranger.py").write_text(f"open({str(mark)!r}, 'w').close()\n{SOURCE}")
    monkeypatch.syspath_prepend(tmp_path)
    yield mark
    sys.modules.pop("stranger", None)


@pytest.fixture
def unharmed(stranger, tmp_path):
    """Whether nothing has run."""
    yield
    assert not stranger.exists()
    assert "stranger" not in sys.modules
    assert not (tmp_path / "runs").exists()


def popen():
    return {"class_path": "subprocess.Popen", "init_args": {"args": "touch MARKER", "shell": True}}


def observer(inner):
    path = "torch.ao.quantization.fake_quantize.FusedMovingAvgObsFakeQuantize"
    return {"class_path": path, "init_args": {"observer": inner}}


def model(**arguments):
    network = {"class_path": "robust.networks.MLP", "init_args": {"in_features": 784}}
    arguments = {"network": network, **arguments}
    return {"class_path": "robust.defenses.Standard", "init_args": arguments}


def attack(**arguments):
    return {"class_path": "torchattacks.FGSM", "init_args": {"eps": 0.3, **arguments}}


def evaluation(**attacks):
    return {"suite": "evil", "threat_model": {"norm": "Linf", "eps": 0.3}, "attacks": attacks}


def config(**parts):
    data = {"class_path": "robust.data.ImageDataModule", "init_args": {"dataset": "digits"}}
    trainer = {"fast_dev_run": True, "enable_progress_bar": False, "accelerator": "cpu"}
    return {"model": model(), "data": data, "trainer": trainer, **parts}


def ended(words):
    """The exit code, which a parser raises and a command returns."""
    try:
        return train(words)
    except SystemExit as end:
        return end.code


def written(content, name="evil.yaml"):
    Path(name).write_text(yaml.safe_dump(content))
    return name


PATHS = [
    "subprocess.Popen",
    "os.system",
    "builtins.eval",
    "pickle.loads",
    "stranger.Network",
    "tests.support.tiny.TinyNetwork",
    "torch.hub.load",
    "torch.load",
    "torch.jit.load",
    "torch.utils.cpp_extension.load",
    "torch.ao.quantization.FakeQuantize",
    "torch.utils.data.DataLoader",
    "robust.commands.train.train",
    "robust.sweep.process.Process",
    "robust.sweep.__main__.sweep",
    "robust.sweep.process.subprocess.Popen",
    "robust.loading.parsing.parser.os.system",
    "robust.loading.trust.trusting",
    "torch.nn.modules.module._addindent",
    "torch.nn.modules.module.OrderedDict",
    "torch.nn.Module._call_impl",
    "torchvision.datasets.MNIST",
    "torchvision.io.write_file",
    "lightning.pytorch.cli.LightningCLI",
    "lightning.pytorch.serve.ServableModuleValidator",
    "lightning.pytorch.demos.WikiText2",
    "lightning.pytorch.core.saving.load_from_checkpoint",
    "lightning.fabric.utilities.cloud_io._load",
    "robust.tracking.fetch_run",
    "robust.tracking.read_metrics",
    "jsonargparse.set_parsing_settings",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.usefixtures("unharmed")
def test_a_file_may_not_name_it(path):
    with pytest.raises(UntrustedError, match=r"in suite\.yaml, but got .*--trust \w"):
        imported(path, "suite.yaml")


@pytest.mark.parametrize(
    "path",
    [
        "robust.defenses.Standard.load_from_checkpoint",
        "torch.nn.modules.module.torch.hub.load",
        "robust.tracking.run.os.system",
        "torch.nn.Module.load_state_dict",
    ],
)
@pytest.mark.usefixtures("unharmed", "quiet")
def test_what_is_no_class_of_a_module_is_not_there(path):
    with pytest.raises(ImportError):
        imported(path)
    for where in ("network", "transform"):
        assert ended(["fit", f"--config={written(config(model=model(**{where: path})))}"]) == 2


@pytest.mark.parametrize(
    "path",
    [
        "robust.defenses.Standard",
        "robust.attacks.PGD",
        "robust.data.ImageDataModule",
        "torch.nn.ReLU",
        "torch.optim.lr_scheduler.MultiStepLR",
        "torchattacks.FGSM",
        "torchvision.models.resnet18",
        "torchvision.transforms.v2.Resize",
        "lightning.pytorch.callbacks.ModelCheckpoint",
        "torch.nn.functional.relu",
    ],
)
def test_a_file_may_name_it(path):
    assert callable(imported(path))


PIECES = ["robust", "torch", "nn", "os", "system", "subprocess", "Popen", "run", "_x", "modules"]
PIECES += ["defenses", "Standard", "sweep", "parsing", "tracking", "hub", "load", "lightning"]
PIECES += ["pytorch", "functional", "__class__", "stranger", "Network", "optim", "sys", "attacks"]


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map(".".join))
def test_only_what_is_allowed_is_ever_got(path):
    try:
        found = imported(path)
    except (UntrustedError, ImportError, AttributeError, ValueError):
        return
    assert class_paths.allows(class_paths.definition(found))


def test_no_program_of_the_packages_is_imported():
    for package in class_paths.PACKAGES:
        folder = Path(importlib.import_module(package).__file__).parent
        for file in folder.rglob("__main__.py"):
            module = ".".join([package, *file.relative_to(folder).with_suffix("").parts])
            with pytest.raises(UntrustedError):
                class_paths.check_path(f"{module}.x")


def test_every_module_of_robust_is_known():
    """A new one has to say whether files may name it: commands may not."""
    described = {"attacks", "data", "defenses", "evaluation", "losses", "measures", "networks"}
    described |= {"threat", "tracking", "transforms", "random_streams", "errors", "precision"}
    described |= {"types", "vocabulary", "duck_typing"}
    modules = {module.name for module in pkgutil.iter_modules(robust.__path__)}
    assert {name for name in modules if class_paths.allows(f"robust.{name}")} == described


CONFIGS = {
    "untyped argument of torch.ao": config(model=model(transform=observer(popen()))),
    "network": config(model=model(network=popen())),
    "network by name": config(model=model(network="subprocess.Popen")),
    "stranger": config(model=model(network={"class_path": "stranger.Network"})),
    "stranger by name": config(model=model(network="stranger.Network")),
    "model by name": config(model="stranger.Network"),
    "data": config(data={"class_path": "stranger.Network"}),
    "dotted key": {**config(), "model.init_args.transform": "stranger.Network"},
    "untyped argument": config(evaluation=evaluation(a=attack(eps=popen()))),
    "in a list": config(evaluation=evaluation(a=attack(eps=[[popen()]]))),
    "attack by name": config(evaluation=evaluation(a="stranger.Network")),
    "method": config(model=model(network="robust.defenses.Standard.load_from_checkpoint")),
    "optimizer": config(model=model(optimizer="os.system")),
    "argument of an optimizer": config(
        model=model(optimizer={"class_path": "torch.optim.SGD", "init_args": {"lr": popen()}})
    ),
    "function": config(
        model=model(
            transform={
                "class_path": "torchvision.transforms.v2.Lambda",
                "init_args": {"lambd": "robust.tracking.fetch_run"},
            }
        )
    ),
    "function outside": config(
        model=model(
            transform={
                "class_path": "torchvision.transforms.v2.Lambda",
                "init_args": {"lambd": "os.system"},
            }
        )
    ),
    "extra arguments": config(
        model=model(
            network={"class_path": "torchvision.models.resnet18", "dict_kwargs": {"a": popen()}}
        )
    ),
    "callback": config(trainer={"callbacks": [popen()]}),
    "hook": config(
        trainer={
            "callbacks": {
                "class_path": "lightning.pytorch.callbacks.LambdaCallback",
                "init_args": {"on_fit_start": "os.system"},
            }
        }
    ),
    **{
        key: config(trainer={key: "stranger.Network"})
        for key in ("logger", "plugins", "strategy", "accelerator", "profiler", "callbacks")
    },
}


@pytest.mark.parametrize("content", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.usefixtures("unharmed", "quiet")
def test_no_config_runs_what_is_not_allowed(content, capsys):
    content["run"] = {"root": "runs"}
    assert ended(["fit", f"--config={written(content)}"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "evil.yaml" in error
    assert "--trust " in error
    assert len(error) <= 300 + len("error: ")


@pytest.mark.parametrize("key", ["model", "data", "evaluation"])
@pytest.mark.usefixtures("unharmed", "quiet")
def test_nor_a_file_that_it_names(key, capsys):
    parts = {
        "model": model(network=popen()),
        "data": {"class_path": "subprocess.Popen"},
        "evaluation": evaluation(a=attack(eps=popen())),
    }
    Path("parts").mkdir()
    written(parts[key], "parts/inner.yaml")
    Path("base.yaml").write_text(yaml.safe_dump(config(**{key: "parts/inner.yaml"})))
    for words in (
        ["--config=base.yaml"],
        ["--config", written(config()), f"--{key}=parts/inner.yaml"],
    ):
        assert ended(["fit", *words]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert "in parts/inner.yaml, but got subprocess.Popen" in error
        assert error.endswith("add --trust subprocess.")


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("key", ["model", "data", "evaluation"])
@pytest.mark.usefixtures("unharmed", "quiet")
def test_a_file_beside_a_module_of_its_name_is_a_file(key, capsys):
    """``stranger.yaml`` reads like a class of the module `stranger`."""
    parts = {**config(), "evaluation": evaluation(a={**attack(), "init_args": {"eps": -1}})}
    written(parts[key], "stranger.yaml")
    Path("base.yaml").write_text(yaml.safe_dump(config(**{key: "stranger.yaml"})))
    flags = ["--config", written(config()), f"--{key}=stranger.yaml"]
    for words in (["--config=base.yaml"], flags):
        ended(["fit", *words, "--trainer.accelerator=nowhere"])
        assert "--trust" not in capsys.readouterr().err


@pytest.mark.usefixtures("unharmed")
def test_nor_a_suite():
    for hostile in (attack(eps=popen()), popen(), "subprocess.Popen", "stranger.Network"):
        path = written(evaluation(a=hostile), "suite.yaml")
        with pytest.raises(ConfigError, match=r"suite\.yaml.*--trust (subprocess|stranger)"):
            read_suite(Path(path))


@pytest.mark.usefixtures("unharmed")
def test_nothing_is_built_for_an_argument_without_a_type():
    path = written(evaluation(a=attack(eps={"class_path": "torch.nn.ReLU"})), "suite.yaml")
    with pytest.raises(ConfigError, match=r"plain value for `eps`.*suite\.yaml.*torch\.nn\.ReLU"):
        read_suite(Path(path))


@pytest.mark.usefixtures("unharmed")
def test_nor_a_table():
    Path("suite.yaml").write_text(SUITE)
    column = {"class_path": "stranger.Network"}
    for hostile in (column, {**model(), "init_args": {"network": column}}):
        table = {"title": "x", "metric": "robust accuracy", "clean_acc": {}, "suite": "suite.yaml"}
        table |= {"columns": {"a": hostile}, "rows": {"r": {"attack": "fgsm", "published": {}}}}
        with pytest.raises(
            UntrustedError, match=r"table\.yaml, but got stranger\.Network.*--trust st"
        ):
            PaperTable.load(Path(written(table, "table.yaml")), {})


def checkpoint(model, data=None):
    description = {"model": model, "data": data or config()["data"]}
    torch.save({"state_dict": {}, DESCRIPTION: description}, "evil.ckpt")
    return Path("evil.ckpt")


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"model": model(transform=observer(popen()))}, "torch.ao"),
        ({"model": {"class_path": "stranger.Network", "init_args": {}}}, "stranger"),
        ({"model": model(network="stranger.Network")}, "stranger"),
        ({"model": model(network=popen())}, "subprocess"),
        ({"model": model(), "data": {"class_path": "stranger.Network"}}, "stranger"),
    ],
)
@pytest.mark.usefixtures("unharmed")
def test_nor_a_checkpoint(parts, named, capsys):
    path = checkpoint(**parts)
    with pytest.raises(ConfigError, match=rf"evil\.ckpt.*--trust {named}"):
        restore(path)
    assert evaluate([str(path), f"--suite={written(evaluation(), 'suite.yaml')}"]) == 2
    assert f"--trust {named}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "hostile",
    [
        {"class_path": "torch.optim.SGD"},  # of an allowed package, but no module
        {"class_path": "lightning.pytorch.Trainer"},
        {"class_path": "torch.nn.TripletMarginWithDistanceLoss", "init_args": {"swap": popen()}},
        {"class_path": "torch.nn.ReLU", "init_args": {"inplace": {"class_path": "torch.nn.ReLU"}}},
        {"class_path": "robust.attacks.PGD", "init_args": {"eps": {"class_path": "torch.nn.ReLU"}}},
        "robust.tracking.fetch_run",
        "torch.nn.functional.relu",
    ],
)
@pytest.mark.usefixtures("unharmed")
def test_a_class_of_a_checkpoint_is_what_its_argument_takes(hostile):
    with pytest.raises(ConfigError, match=r"evil\.ckpt"):
        restore(checkpoint(model(transform=hostile)))


def fit(*flags):
    root = config(run={"root": "runs"}, model=model(network="stranger.Network"))
    return ended(["fit", f"--config={written(root)}", *flags])


@pytest.mark.usefixtures("quiet")
def test_a_package_is_trusted_by_a_flag(stranger):
    assert fit("--trust=stranger") == 0
    assert stranger.exists()
    assert "ROBUST_TRUST" not in os.environ  # of the next command nothing is trusted


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    "value", ["stranger", "else_where,stranger", "else_where:stranger.Network"]
)
def test_a_package_is_trusted_by_a_variable(value, monkeypatch):
    monkeypatch.setenv("ROBUST_TRUST", value)
    assert imported("stranger.Network")


def test_trust_of_one_package_is_none_of_another(monkeypatch):
    monkeypatch.setenv("ROBUST_TRUST", "strange,stranger.Other,torch.hub")
    for path in ("stranger.Network", "torch.ao.x.Y", "torch.utils.data.DataLoader", "os.system"):
        with pytest.raises(UntrustedError):
            imported(path)


@pytest.mark.usefixtures("quiet")
def test_a_pyproject_counts_where_it_is_named(monkeypatch, capsys):
    Path("pyproject.toml").write_text('[tool.robust]\ntrust = ["stranger"]\n')
    assert fit() == 2  # a cloned stranger's
    assert "--trust stranger" in capsys.readouterr().err
    assert trust.entries("pyproject.toml") == ["stranger"]
    assert trust.taken(["--trust", "pyproject.toml"]) == (["stranger"], [])
    monkeypatch.setenv("ROBUST_TRUST", str(Path("pyproject.toml").absolute()))
    assert imported("stranger.Network")


@pytest.mark.parametrize("text", ["", "a b", "jsonargparse", "../x", "no.toml", "[tool"])
def test_trust_is_of_names(text):
    with pytest.raises(ConfigError, match=r"Expected a py?"):
        trust.entries(text)


@pytest.mark.sampled(every=2)
@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    "flags",
    [
        ["--model.network=stranger.Network"],
        ["--model.network", "stranger.Network"],
        ["--model.network={class_path: stranger.Network}"],
        ["--model.init_args.network={class_path: stranger.Network, init_args: {num_classes: 10}}"],
    ],
)
def test_a_flag_is_the_users_own_word(flags, stranger):
    assert train(["fit", f"--config={written(config(run={'root': 'runs'}))}", *flags]) == 0
    assert stranger.exists()


@pytest.mark.usefixtures("unharmed", "quiet")
def test_but_not_one_that_a_sweep_file_wrote(monkeypatch, capsys):
    monkeypatch.setenv(trust.FLAGS_OF_FILE, "1")
    assert ended(["fit", f"--config={written(config())}", "--model.network=stranger.Network"]) == 2
    assert "--trust stranger" in capsys.readouterr().err
    assert train(["fit", f"--config={written(config())}", "--trust=stranger"]) == 2
    assert "Expected no --trust" in capsys.readouterr().err
    assert evaluate(["runs/a/b", "--suite=x.yaml", "--trust=stranger"]) == 2
    assert "Expected no --trust" in capsys.readouterr().err


@pytest.mark.usefixtures("unharmed")
def test_a_files_name_is_no_class():
    Path("stranger.yaml").write_text("{}")
    from robust.loading.parsing.parser import typed

    assert (
        typed(["--model=stranger.yaml", "--config=stranger.Network", "--run.name=stranger.x"]) == []
    )


def test_processes_that_are_started_trust_the_same():
    with trust.trusting(["stranger"]):
        told = "from robust.loading.trust import granted; print(granted())"
        out = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True)
    assert out.stdout.strip() == "('stranger',)"
