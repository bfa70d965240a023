"""Parallel coordinates have axes for settings in which runs differ, and for accuracies."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from robust.io.radius import radius
from robust.report.packing import Columns
from robust.report.protocols import Entry, differing
from robust.results.run_folder import RunFiles

_MOST = 8
"""Settings that are shown."""
_FEW = 6
"""Values that each get a tick."""
_WIDE = 20
"""Ratio of the largest and the smallest value from which an axis is logarithmic."""
_ABSENT = "none"


class Axis(NamedTuple):
    """An axis of the parallel coordinates.

    Args:
        name: What it shows.
        values: The value of each run, as text.
        positions: Position of each value on the axis, from 0 to 1.
        ticks: Texts of the axis, by position.
    """

    name: str
    values: Sequence[str]
    positions: Sequence[float]
    ticks: Mapping[float, str]


def parallel_columns(
    entries: Sequence[Entry], color: Callable[[RunFiles], str]
) -> tuple[Columns, Columns]:
    """Return the data of `charts.parallel_spec`: lines and ticks.

    Args:
        entries: Runs with an adaptive view, under one protocol.
        color: Returns the name that has the colour of a run.
    """
    axes = setting_axes(entries)
    axes.append(_share("clean accuracy, %", [100 * e.clean.value for e in entries]))
    robust = [100 * entry.robust["adaptive"].value for entry in entries]
    axes.append(_share("robust accuracy, %", robust))
    lines: dict[str, list[str | float | int]] = {
        key: [] for key in ("run", "color", "order", "axis", "position", "value", "robust")
    }
    ticks: dict[str, list[str | float | int]] = {
        key: [] for key in ("order", "axis", "position", "text")
    }
    for order, axis in enumerate(axes):
        for i, entry in enumerate(entries):
            where = (order, axis.name, axis.positions[i])
            _add(lines, entry.label, color(entry.run), *where, axis.values[i], robust[i])
        for position, text in axis.ticks.items():
            _add(ticks, order, axis.name, position, text)
    return lines, ticks


def setting_axes(entries: Sequence[Entry]) -> list[Axis]:
    """Return axes of settings of model, data and training that differ, most values first.

    Several settings may tell apart the same runs, such as a codeword length and the number of
    outputs. The one with the shortest key represents them.
    """
    keys = differing({entry.label: entry.run.config for entry in entries})
    found: dict[tuple[int, ...], tuple[str, list[str]]] = {}
    for key in sorted(keys, key=lambda key: (key.count("."), len(key), key)):
        if not key.startswith(("model.", "data.", "trainer.max_epochs", "seed_everything")):
            continue
        values = [keys[key].get(entry.label, "null") for entry in entries]
        distinct = list(dict.fromkeys(values))
        if not values[0].startswith("[") and len(distinct) > 1:
            found.setdefault(tuple(distinct.index(v) for v in values), (key, values))
    ranked = sorted(found.values(), key=lambda item: -len(set(item[1])))
    chosen = sorted(ranked[:_MOST], key=lambda item: item[0] != "model.class_path")
    return [_setting(_short(key), values) for key, values in chosen]


def _short(key: str) -> str:
    parts = [part for part in key.split(".") if part != "init_args"]
    if parts[-1] == "class_path":
        parts = parts[:-1]
    return {"model": "defense", "seed_everything": "seed"}.get(parts[-1], parts[-1])


def _setting(name: str, texts: Sequence[str]) -> Axis:
    numbers = [_number(text) for text in texts]
    known = [number for number in numbers if number is not None]
    written = _writing(name)
    if len(known) == len(texts):
        return _numbers(name, known)
    values = [
        _ABSENT
        if text == "null"
        else text.rpartition(".")[2]
        if number is None
        else written(number)
        for text, number in zip(texts, numbers, strict=True)
    ]
    return _words(name, values)


def _writing(name: str, spec: str = "g") -> Callable[[float], str]:
    """Return what writes the numbers of a setting; a radius may be one of grey levels."""
    return radius if name == "eps" else f"{{:{spec}}}".format


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _words(name: str, values: Sequence[str]) -> Axis:
    distinct = sorted(set(values))
    position = {value: i / max(1, len(distinct) - 1) for i, value in enumerate(distinct)}
    return Axis(name, values, [position[v] for v in values], {p: v for v, p in position.items()})


def _numbers(name: str, numbers: Sequence[float]) -> Axis:
    low, high = min(numbers), max(numbers)
    logarithmic = low > 0 and high / low >= _WIDE
    scale: Callable[[float], float] = math.log if logarithmic else float

    def position(number: float) -> float:
        return (scale(number) - scale(low)) / ((scale(high) - scale(low)) or 1.0)

    shown = sorted(set(numbers))
    if len(shown) > _FEW:
        shown = [shown[round(i * (len(shown) - 1) / (_FEW - 2))] for i in range(_FEW - 1)]
    ticks = {position(number): _writing(name, ".4g")(number) for number in shown}
    return Axis(name, [_writing(name)(n) for n in numbers], [position(n) for n in numbers], ticks)


def _share(name: str, percents: Sequence[float]) -> Axis:
    ticks = {i / 4: f"{25 * i}" for i in range(5)}
    return Axis(name, [f"{p:.1f}" for p in percents], [p / 100 for p in percents], ticks)


def _add(columns: dict[str, list[str | float | int]], *values: str | float | int) -> None:
    for column, value in zip(columns.values(), values, strict=True):
        column.append(value)
