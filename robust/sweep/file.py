"""A sweep file has the form of `wandb sweep`; W&B's own package searches and stops runs."""

import random
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from robust.errors import ConfigError
from robust.io.names import check_name
from robust.io.yaml_writing import flow
from robust.loading.messages import one_line
from robust.loading.parsing.fractions import read_yaml
from robust.sweep.trials import Trial

with warnings.catch_warnings():
    # sweeps 0.3.0 still imports a class under the name it had in pydantic 1.
    warnings.simplefilter("ignore")
    from sweeps.config import schema_violations_from_proposed_config
    from sweeps.run import RunState, SweepRun, next_run, stop_runs

History = Sequence[Mapping[str, float]]
"""Rows of ``metrics.csv``."""

_STATES = {
    "running": RunState.running,
    "interrupted": RunState.pending,
    "finished": RunState.finished,
    # Its last metric counts. A killed or failed run would count as the worst of all.
    "stopped": RunState.finished,
    "failed": RunState.failed,
}


@final
@dataclass(frozen=True)
class SweepFile:
    """A valid sweep file.

    Args:
        path: The file.
        content: The mapping in it.
    """

    path: Path
    content: dict[str, Any]

    @staticmethod
    def read(path: Path) -> "SweepFile":
        """Read and check a file.

        Raises:
            ConfigError: If it is missing, W&B's schema refuses it, or it names no metric.
        """
        content = read_yaml(path)
        problems = list(_problems(content))
        if "name" in content:
            check_name(f"`name` in {path}", content["name"], is_file=True)
        if not problems:
            check_name(f"`name` of `metric` in {path}", content["metric"]["name"])
            problems = _grid_problems(content)
        if problems:
            raise ConfigError(
                f"Expected a sweep in {path}, but {one_line(str(problems[0]))}. See sweeps/*.yaml."
            )
        return SweepFile(path, content)

    @property
    def name(self) -> str:
        """The name in the file, else the stem of the file."""
        return str(self.content.get("name") or self.path.stem)

    @property
    def metric(self) -> str:
        """The metric's key in ``metrics.csv``."""
        return str(self.content["metric"]["name"])

    @property
    def is_elsewhere(self) -> bool:
        """Whether it names a train.py that is not here, so that `robust` runs instead."""
        return self.content.get("program") == "train.py" and not Path("train.py").exists()

    @property
    def maximized(self) -> bool:
        """Whether a larger metric is better; W&B minimizes by default."""
        return bool(self.content["metric"].get("goal") == "maximize")

    @property
    def keys(self) -> list[str]:
        """The dotted keys of the parameters."""
        return list(self.content["parameters"])

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that must not change during a sweep; the number of runs may."""
        fixed = ("program", "method", "metric", "parameters", "command", "early_terminate")
        return {key: self.content.get(key) for key in fixed}

    def limit(self, count: int | None) -> int | None:
        """Return the number of runs: the smaller of ``run_cap`` and ``count``; None for a grid.

        Raises:
            ConfigError: If a search that never ends has neither.
        """
        caps = [cap for cap in (self.content.get("run_cap"), count) if cap is not None]
        if not caps and self.content["method"] != "grid":
            raise ConfigError(
                f"Expected `run_cap` in {self.path} or --count, because {self.content['method']} "
                "search never ends, but got neither."
            )
        return min(caps, default=None)

    def command(self, parameters: Mapping[str, Any]) -> list[str]:
        """Return the command of a run, with macros replaced as W&B's agent does.

        ``${interpreter}`` is the Python that runs the sweep, which the agent looks up in ``PATH``.

        Raises:
            ConfigError: If it contains an unknown macro.
        """
        raw = {key: {"value": value} for key, value in parameters.items()}
        texts = {key: {"value": _argument(value)} for key, value in parameters.items()}
        macros = create_sweep_command_args({"args": texts})
        macros["args_json"] = create_sweep_command_args({"args": raw})["args_json"]
        macros |= {
            "env": ["/usr/bin/env"],
            "interpreter": [sys.executable],
            "program": ["-P", "-m", "robust"] if self.is_elsewhere else [self.content["program"]],
        }
        words: list[str] = []
        # A copy, because W&B replaces environment variables in place.
        for part in map(str, create_sweep_command(list(self.content.get("command") or []))):
            macro = re.fullmatch(r"\$\{(.+)\}", part)
            if macro is None:
                words.append(part)
            elif isinstance(macros.get(macro[1]), list):
                words += macros[macro[1]]
            else:
                raise ConfigError(
                    f"Expected macros such as ${{args}} in the `command` of {self.path}, but got "
                    f"{part}."
                )
        return words

    def suggest(
        self, trials: Sequence[Trial], histories: Mapping[str, History]
    ) -> dict[str, Any] | None:
        """Return parameters of the next run; None if a grid is used up.

        The search is seeded by the number of trials, so equal trials give equal parameters.

        Raises:
            ConfigError: If the method cannot search these parameters, such as a grid a range.
        """
        random.seed(len(trials))  # for random search
        np.random.seed(len(trials))  # for bayes
        try:
            with warnings.catch_warnings():
                # scikit-learn warns of a fit that does not converge; W&B then searches at random.
                warnings.simplefilter("ignore")
                run = next_run(self.content, self._runs(trials, histories))
        except Exception as error:  # W&B's package may fail on values that its schema accepts
            raise self._cannot_search(error) from None
        if run is None:
            return None
        return {key: _plain(value["value"]) for key, value in run.config.items()}

    def to_stop(self, trials: Sequence[Trial], histories: Mapping[str, History]) -> list[str]:
        """Return ids of the running trials that hyperband stops; none without ``early_terminate``.

        Raises:
            ConfigError: If hyperband cannot run with these settings.
        """
        if not self.content.get("early_terminate"):
            return []
        try:
            return [run.name for run in stop_runs(self.content, self._runs(trials, histories))]
        except Exception as error:
            raise self._cannot_search(error) from None

    def _cannot_search(self, error: Exception) -> ConfigError:
        return ConfigError(
            f"Expected parameters that {self.content['method']} can search in {self.path}, "
            f"but: {one_line(str(error)) or type(error).__name__}."
        )

    def _runs(self, trials: Sequence[Trial], histories: Mapping[str, History]) -> list[SweepRun]:
        return [
            SweepRun(
                name=trial.id,
                state=_STATES[trial.state],
                config={key: {"value": value} for key, value in trial.parameters.items()},
                history=[dict(row) for row in histories.get(trial.id, ())],
            )
            for trial in trials
        ]


def _argument(value: Any) -> Any:  # noqa: ANN401
    """Return a value as a flag of train.py; W&B would write Python's ``None``."""
    is_text = isinstance(value, str | bool | int)
    return value if is_text or (isinstance(value, float) and np.isfinite(value)) else flow(value)


def _problems(content: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a sweep, as the end of a sentence."""
    parameters = content.get("parameters")
    if not isinstance(parameters, dict) or not all(
        isinstance(v, dict) for v in parameters.values()
    ):
        yield "its `parameters` are no mapping of names to mappings such as {values: [1, 2]}"
        return
    try:
        yield from map(str, schema_violations_from_proposed_config(content))
    except Exception as error:  # of W&B's package
        yield f"{type(error).__name__}: {error}"
    if "metric" not in content:
        yield "it has no `metric` to compare runs by"
    if "program" not in content:
        yield "it has no `program` to run"


def _grid_problems(content: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the size of a grid; W&B's package puts all of it in memory."""
    size = _grid_size(content["parameters"]) if content["method"] == "grid" else 1
    if size <= _LARGEST_GRID:
        return []
    return [f"its grid has {size:.0e} runs, at most {_LARGEST_GRID:,} can be: leave values out"]


_LARGEST_GRID = 100_000


def _grid_size(parameters: Mapping[str, Any]) -> float:
    """Return the number of runs of a grid, at least as far as it is too large."""
    size = 1.0
    for given in parameters.values():
        if isinstance(given.get("parameters"), Mapping):
            size *= _grid_size(given["parameters"])
        elif isinstance(given.get("values"), list):
            size *= len(given["values"])
        elif "min" in given and "max" in given:
            size *= max(1.0, (float(given["max"]) - float(given["min"])) / given.get("q", 1))
    return size


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Return a number of Python if the search gives one of NumPy."""
    return value.item() if isinstance(value, np.generic) else value
