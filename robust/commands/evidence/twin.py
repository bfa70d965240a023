"""The undefended twin of a run: found beside it, or trained."""

import contextlib
import copy
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from robust.commands.train import train_here
from robust.errors import ConfigError
from robust.io import files
from robust.io.notes import note
from robust.io.strict_yaml import read
from robust.io.yaml_writing import dump
from robust.loading.trained_run import TrainedRun
from robust.results.run_folder import LAST, run_folders
from robust.tracking import Processes, Run

_STANDARD = "robust.defenses.Standard"
_KEPT = ("network", "optimizer", "scheduler")
"""Arguments of a defense that its twin has, too."""
_DEFENDING = ("augmentation", "training_set")
"""Arguments of the data that train on other images, as a defense does."""
_PLACES = ("root", "eval_batch_size", "workers")
"""Arguments of the data that change no image."""


def twin_of(run: TrainedRun) -> TrainedRun:
    """Return the undefended twin of a run, trained if it is not there.

    The twin has the same network, optimizer, data, seed and epochs. It has neither the defense's
    loss, nor its transform, nor its training images.

    Raises:
        ConfigError: If the run has no config, is undefended itself, or cannot be trained again.
    """
    config = _config_of(run)
    twin = undefended(config)
    assert run.run is not None
    found = _found(Path(run.run.root), twin)
    if found is None:
        name, root = f"{run.run.name}-undefended", run.run.root
        found = _train(twin, Run(name=name, id=run.run.id, root=root))
    return TrainedRun.load(found)


def undefended(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of the twin of a run.

    Args:
        config: That of the run.

    Raises:
        ConfigError: If the run is undefended.
    """
    model, data = copy.deepcopy(config["model"]), copy.deepcopy(config["data"])
    arguments = model.get("init_args") or {}
    own = {key: arguments[key] for key in _KEPT if arguments.get(key) is not None}
    data["init_args"] = {
        key: value
        for key, value in (data.get("init_args") or {}).items()
        if key not in _DEFENDING or value is None
    }
    twin = {
        **{key: config[key] for key in ("seed_everything", "trainer") if key in config},
        "model": {"class_path": _STANDARD, "init_args": own},
        "data": data,
    }
    if identity(twin) == identity(config):
        raise ConfigError(
            "Expected a defended run for --twin, but got one that is undefended itself. Name a run "
            "with a defense."
        )
    return twin


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what two runs have in common if one may stand for the other.

    Args:
        config: Content of ``config.yaml``.
    """
    model, data = config.get("model") or {}, config.get("data") or {}
    arguments = dict(model.get("init_args") or {})
    if arguments.get("loss") == "cross_entropy":  # which is what nothing said means
        del arguments["loss"]
    images = {k: v for k, v in (data.get("init_args") or {}).items() if k not in _PLACES}
    return {
        "model": model.get("class_path"),
        "arguments": _given(arguments),
        "data": _given(images),
        "seed": config.get("seed_everything"),
        "epochs": (config.get("trainer") or {}).get("max_epochs"),
    }


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in arguments.items() if value is not None}


def _config_of(run: TrainedRun) -> dict[str, Any]:
    path = run.folder / "config.yaml"
    if run.run is None or not path.is_file():
        raise ConfigError(
            f"Expected a run with a config.yaml for --twin, but {run.name} has none. Train a twin "
            "yourself, and name it with --against."
        )
    config = read(path)
    if not isinstance(config, dict) or not {"model", "data"} <= set(config):
        raise ConfigError(
            f"Expected `model` and `data` in the config.yaml of {run.name}, but it lacks them. "
            "Train a twin yourself, and name it with --against."
        )
    if config.get("seed_everything") is None:
        note(f"{run.name} does not say its seed; its twin has seed 0.")
        config["seed_everything"] = 0
    return config


def _found(root: Path, twin: Mapping[str, Any]) -> Path | None:
    """Return the folder of a complete run that may stand for the twin; None without one."""
    for folder in run_folders(root) if root.is_dir() else ():
        with contextlib.suppress(ConfigError, OSError, AttributeError):
            config = read(folder / "config.yaml")
            complete = (folder / "checkpoints" / LAST).is_file()
            if complete and identity(config) == identity(twin):
                return folder
    return None


def _train(twin: Mapping[str, Any], run: Run) -> Path:
    """Train a twin with the trainer of its run, and return its folder.

    Raises:
        ConfigError: If there are several processes, or it cannot be trained.
    """
    if Processes.launched() is not None:
        raise ConfigError(
            f"Expected one process to train the twin {run.name}/{run.id}, but torchrun or srun "
            "started several. Run it once with --twin alone, and then this command."
        )
    note(f"trains the undefended twin {run.name}/{run.id}; the next --twin finds it.")
    with _config_file(twin) as path:
        words = ["fit", f"--config={path}", "--evaluation.attacks=null"]
        words += [f"--run.{key}={getattr(run, key)}" for key in ("name", "id", "root")]
        with contextlib.redirect_stdout(sys.stderr):  # results alone are on standard output
            train_here(words)
    return run.folder


@contextlib.contextmanager
def _config_file(content: Mapping[str, Any]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "twin.yaml"
        files.write(path, dump(dict(content)))
        yield path
