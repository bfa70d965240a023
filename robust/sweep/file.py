"""A sweep file has the form of `wandb sweep`, whose agent would run the same commands."""

import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from robust.errors import ConfigError
from robust.io.names import check_name
from robust.io.yaml_writing import flow
from robust.loading.messages import one_line
from robust.loading.parsing.fractions import read_yaml
from robust.sweep.hyperband import bands
from robust.sweep.schema import problems_of
from robust.sweep.space import Space

History = Sequence[Mapping[str, float]]
"""Rows of ``metrics.csv``."""


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
            ConfigError: If it is missing, is no sweep as W&B has them, or cannot be searched here.
        """
        content = read_yaml(path)
        problems = list(problems_of(content))
        if "name" in content:
            check_name(f"`name` in {path}", content["name"], is_file=True)
        if not problems:
            check_name(f"`name` of `metric` in {path}", content["metric"]["name"])
            problems = _grid_problems(content)
        file = SweepFile(path, content)
        problems = problems or file._search_problems()
        if problems:
            raise ConfigError(
                f"Expected a sweep in {path}, but {one_line(problems[0])}. See sweeps/*.yaml."
            )
        return file

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
    def method(self) -> str:
        """How the next run is chosen: grid, random or bayes."""
        return str(self.content["method"])

    @cached_property
    def space(self) -> Space:
        """The parameters as they are searched."""
        return Space(self.content["parameters"], is_grid=self.method == "grid")

    def _search_problems(self) -> list[str]:
        try:
            self.space  # noqa: B018
            if "early_terminate" in self.content:
                bands(self.content["early_terminate"])
        except (ValueError, ArithmeticError) as error:
            return [str(error)]
        return []

    @property
    def keys(self) -> list[str]:
        """The dotted keys of the parameters."""
        return list(self.content["parameters"])

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that must not change during a sweep; the number of runs may."""
        fixed = ("program", "method", "metric", "parameters", "command", "early_terminate")
        return {key: self.content.get(key) for key in fixed}

    def limit(self, count: int | None) -> int:
        """Return the number of runs: the smallest of ``run_cap``, ``count`` and a grid's size.

        Raises:
            ConfigError: If a search that never ends has none of them.
        """
        size = self.space.size if self.method == "grid" else None
        caps = [cap for cap in (self.content.get("run_cap"), count, size) if cap is not None]
        if not caps:
            raise ConfigError(
                f"Expected `run_cap` in {self.path} or --count, because {self.method} search never "
                "ends, but got neither."
            )
        return min(caps)

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


def _argument(value: Any) -> Any:  # noqa: ANN401
    """Return a value as a flag of train.py; W&B would write Python's ``None``."""
    is_text = isinstance(value, str | bool | int)
    return value if is_text or (isinstance(value, float) and math.isfinite(value)) else flow(value)


def _grid_problems(content: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the size of a grid; all of it is kept in memory."""
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
