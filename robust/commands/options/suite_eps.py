"""An eps that a suite needs and nobody gave is found missing before torch is imported."""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from robust.errors import ConfigError
from robust.io.strict_yaml import read
from robust.loading.short_names import known
from robust.vocabulary import DATA_SETS, USUAL_EPS, eps_on, no_usual_eps


def check_has_eps(options: argparse.Namespace, file: Path) -> None:
    """Raise if a suite takes the eps of the data set, and one of the networks is on another.

    What cannot be told from the config of a run is left to the evaluation.

    Args:
        options: Those of `evaluate.py`, whose files are there.
        file: Of the suite.

    Raises:
        ConfigError: With the data set.
    """
    if options.eps is not None:
        return
    suite = _read(file)
    if not isinstance(suite, Mapping):
        return
    model, own = suite.get("threat_model"), suite.get("eps_on") or {}
    if not isinstance(model, Mapping) or model.get("eps") != "usual" or not _is_nested(own):
        return
    norm = options.norm or model.get("norm", "Linf")
    for data in _data_sets(options) if norm in USUAL_EPS else ():
        if eps_on(norm, data, own) is None:
            raise no_usual_eps(str(suite.get("suite", file.stem)), norm, data)


def _is_nested(own: object) -> bool:
    return isinstance(own, Mapping) and all(isinstance(radii, Mapping) for radii in own.values())


def _data_sets(options: argparse.Namespace) -> Iterator[str]:
    if options.data is not None:
        yield from _named(options.data)
        return
    for run in options.runs:
        config = _config(run)
        dataset = _at(config, "data", "init_args", "dataset")
        if isinstance(dataset, str):
            yield dataset


def _named(data: str) -> Iterator[str]:
    """The data set of ``--data``: a short name, images of a user, or what a YAML file names."""
    file = known("data").get(data) if data not in DATA_SETS else None
    if file is None and data.endswith((".yaml", ".yml")):
        file = Path(data)
    if file is None:
        yield data
        return
    dataset = _at(_read(file), "init_args", "dataset")
    if isinstance(dataset, str):
        yield dataset


def _config(run: Path) -> Any:  # noqa: ANN401
    folders = (folder for folder in (run, *run.parents[:2]) if (folder / "config.yaml").is_file())
    folder = next(folders, None)
    return None if folder is None else _read(folder / "config.yaml")


def _read(path: Path) -> Any:  # noqa: ANN401
    """The content of a file; None where something is wrong with it that is said later."""
    try:
        return read(path)
    except (ConfigError, OSError):
        return None


def _at(content: Any, *keys: str) -> Any:  # noqa: ANN401
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content
