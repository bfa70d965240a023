"""A label says in W&B what a run is: ``squeezed T=20 mnist s0``."""

import inspect
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from robust.errors import ConfigError
from robust.io.names import printable, short_names
from robust.io.strict_yaml import read
from robust.vocabulary import SWEPT_KEYS

_AGENT = "WANDB_SWEEP_PARAM_PATH"
"""Variable with the file that an agent of W&B writes for a run."""
_SYMBOLS = {"temperature": "T", "length": "L"}
"""Settings that a label always has, since a defense is spoken of with them."""
_LEFT_OUT = ("optimizer", "scheduler", "network")
"""Arguments of a defense whose own settings only a sweep puts into a label."""
_LONGEST = 120
"""W&B allows 128 characters, and an evaluation adds its suite."""


class Label(NamedTuple):
    """A label is the name of a run in W&B and that of its group."""

    name: str
    group: str
    """The same without the seed: runs that differ in nothing else are a group."""


def label_of(name: str, config: Mapping[str, Any], swept: Sequence[str] = ()) -> Label:
    """Return the label of a run.

    It has the run's name and the settings of the defense that differ from their defaults. The
    parameters of a sweep, the data set and the seed follow.

    Args:
        name: The run's name, by default the stem of its config file.
        config: ``model`` and ``data``, each a class path with arguments; perhaps more of a config,
            of which ``seed_everything`` is used, and what a sweep varies.
        swept: Dotted keys that a sweep varies.
    """
    wanted = {_short(key) for key in swept} - {"seed_everything"}
    found = dict(_settings("model", config.get("model")))
    found |= {key: _value(config, key) for key in sorted(wanted)}
    kept = {key: value for key, value in found.items() if value is not None}
    words = [
        f"{_SYMBOLS.get(short, short)}={_shown(value)}"
        for short, value in zip(short_names(list(kept)), kept.values(), strict=True)
    ]
    data = _data(config.get("data") or {})
    group = " ".join(filter(None, [name, *words, data]))
    seed = config.get("seed_everything")
    has_seed = isinstance(seed, int) and not isinstance(seed, bool)
    ending = f" s{seed}" if has_seed else ""
    group = _cut(printable(group), _LONGEST - len(ending))
    return Label(group + ending, group)


def swept_keys() -> list[str]:
    """Return the dotted keys that the sweep of this process varies; none outside of a sweep."""
    local, agent = os.environ.get(SWEPT_KEYS), os.environ.get(_AGENT)
    try:
        if local:
            return [str(key) for key in json.loads(local)]
        content = read(Path(agent)) if agent else None
    except (ConfigError, OSError, ValueError, TypeError, yaml.YAMLError):
        return []  # a label is no reason to end a training
    return [str(k) for k in content if k != "wandb_version"] if isinstance(content, dict) else []


def seed_of(folder: Path) -> int | None:
    """Return the seed in ``config.yaml`` of a run; None if it has none."""
    try:
        content = read(folder / "config.yaml")
    except (ConfigError, OSError, ValueError, yaml.YAMLError):
        return None
    seed = content.get("seed_everything") if isinstance(content, Mapping) else None
    return seed if isinstance(seed, int) else None


def _settings(path: str, given: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Yield the settings of a class that are numbers or words, if they differ from its defaults."""
    if not isinstance(given, Mapping) or not isinstance(given.get("class_path"), str):
        return
    defaults = _defaults(given["class_path"])
    for key, value in (given.get("init_args") or {}).items():
        if isinstance(value, Mapping):
            if key not in _LEFT_OUT:
                yield from _settings(f"{path}.{key}", value)
        elif isinstance(value, bool | int | float | str) and (
            key in _SYMBOLS or (key in defaults and defaults[key] != value)
        ):
            yield f"{path}.{key}", value


def _defaults(class_path: str) -> Mapping[str, Any]:
    """Return the defaults of a class that is imported already; none of others."""
    module, _, name = class_path.rpartition(".")
    found = getattr(sys.modules.get(module), name, None)
    try:
        parameters = inspect.signature(found).parameters if callable(found) else {}
    except (TypeError, ValueError):
        return {}
    return {key: parameter.default for key, parameter in parameters.items()}


def _value(config: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401
    """Return the value of a key without ``init_args``; None if a config does not have it."""
    found: Any = config
    for part in key.split("."):
        if isinstance(found, Mapping) and part not in found:
            found = found.get("init_args")
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _short(key: str) -> str:
    return re.sub(r"\binit_args\.", "", key)


def _shown(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and isinstance(value.get("class_path"), str):
        return str(value["class_path"].rpartition(".")[2])
    return json.dumps(value, default=str)


def _data(data: Mapping[str, Any]) -> str:
    """Return the name of a data set: that of its folder or file if it is images of one's own."""
    named = (data.get("init_args") or {}).get("dataset")
    if not isinstance(named, str):
        return str(data.get("class_path", "")).rpartition(".")[2]
    kind, colon, rest = named.partition(":")
    return Path(rest).stem or kind if colon else named


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
