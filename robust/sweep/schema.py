"""What W&B's sweep files may hold is checked before anything is searched."""

import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from robust.errors import nearest

_RANGE = ("min", "max")
_DISTRIBUTIONS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "constant": (("value",), ()),
    "categorical": (("values",), ()),
    "categorical_w_probabilities": (("values", "probabilities"), ()),
    "int_uniform": (_RANGE, ()),
    "uniform": (_RANGE, ()),
    "q_uniform": (_RANGE, ("q",)),
    "log_uniform": (_RANGE, ()),
    "log_uniform_values": (_RANGE, ()),
    "q_log_uniform": (_RANGE, ("q",)),
    "q_log_uniform_values": (_RANGE, ("q",)),
    "inv_log_uniform": (_RANGE, ()),
    "inv_log_uniform_values": (_RANGE, ()),
    "normal": ((), ("mu", "sigma")),
    "q_normal": ((), ("mu", "sigma", "q")),
    "log_normal": ((), ("mu", "sigma")),
    "q_log_normal": ((), ("mu", "sigma", "q")),
    "beta": ((), ("a", "b")),
    "q_beta": ((), ("a", "b", "q")),
}
"""The keys that a distribution needs, and those that it may have."""
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_LARGEST = 2**53
"""Up to here every integer is a float, as which Optuna stores it."""


def problems_of(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a sweep, each as the end of a sentence that begins with "but"."""
    for key in content:
        if key not in _TOP:
            yield f"it has a key {_shown(key)}.{nearest(key, _TOP)}"
    for key, (is_right, what) in _TOP.items():
        if key in content and not is_right(content[key]):
            yield f"its `{key}` is {_shown(content[key])}, not {what}"
    for key, why in _NEEDED.items():
        if key not in content:
            yield f"it has no `{key}` {why}"
    if isinstance(content.get("metric"), Mapping):
        yield from _metric_problems(content["metric"])
    if isinstance(content.get("early_terminate"), Mapping):
        yield from _hyperband_problems(content["early_terminate"])
    yield from _parameter_problems(content.get("parameters"))


def distribution_of(given: Mapping[str, Any]) -> str:
    """Return the distribution of a parameter, as W&B tells it from the keys if it is not named."""
    if "distribution" in given:
        return str(given["distribution"])
    if "probabilities" in given:
        return "categorical_w_probabilities"
    if "values" in given:
        return "categorical"
    if "value" in given:
        return "constant"
    return "int_uniform" if all(_is_integer(given.get(end)) for end in _RANGE) else "uniform"


def _is_number(value: Any) -> bool:  # noqa: ANN401
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max


def _is_integer(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, int) and not isinstance(value, bool)


def _is_positive(value: Any) -> bool:  # noqa: ANN401
    return _is_integer(value) and bool(value > 0)


def _is_text(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, str)


def _one_of(*names: str) -> tuple[Callable[[Any], bool], str]:
    return lambda value: isinstance(value, str) and value in names, f"one of {', '.join(names)}"


_TEXT = (_is_text, "text")
_MAPPING = (lambda value: isinstance(value, Mapping), "a mapping")
_TOP: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "program": _TEXT,
    "method": _one_of("grid", "random", "bayes"),
    "metric": _MAPPING,
    "parameters": _MAPPING,
    "command": (lambda value: isinstance(value, list), "a list of words"),
    "early_terminate": _MAPPING,
    "run_cap": (_is_positive, "an integer above 0"),
    "name": _TEXT,
    "project": _TEXT,
    "entity": _TEXT,
    "description": _TEXT,
    "apiVersion": _TEXT,
    "kind": _one_of("sweep"),
    "controller": (
        lambda value: isinstance(value, Mapping) and value.get("type") in ("local", "cloud"),
        "a mapping with `type` local or cloud",
    ),
    "job": _TEXT,
    "image_uri": _TEXT,
}
_NEEDED = {
    "method": "(grid, random or bayes)",
    "metric": "to compare runs by",
    "program": "to run",
    "parameters": "to search",
}
_METRIC: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "name": _TEXT,
    "goal": _one_of("minimize", "maximize"),
    "target": (_is_number, "a number"),
    "impute": _one_of("worst"),
    "impute_while_running": _one_of("false"),
}
_HYPERBAND: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "type": _one_of("hyperband"),
    "min_iter": (_is_positive, "an integer above 0"),
    "max_iter": (_is_positive, "an integer above 0"),
    "s": (_is_positive, "an integer above 0"),
    "eta": (lambda value: _is_number(value) and value > 1, "a number above 1"),
    "strict": (lambda value: isinstance(value, bool), "true or false"),
}


def _metric_problems(metric: Mapping[str, Any]) -> Iterator[str]:
    yield from _key_problems("`metric`", metric, _METRIC)
    if "name" not in metric:
        yield "its `metric` has no `name`"


def _hyperband_problems(given: Mapping[str, Any]) -> Iterator[str]:
    yield from _key_problems("`early_terminate`", given, _HYPERBAND)
    if "type" not in given:
        yield "its `early_terminate` has no `type`, which is hyperband"
    elif "max_iter" in given and "s" not in given:
        yield "its `early_terminate` has `max_iter`, but no `s`"
    elif "max_iter" not in given and "min_iter" not in given:
        yield "its `early_terminate` has neither `min_iter` nor `max_iter` and `s`"


def _key_problems(
    what: str, given: Mapping[str, Any], known: Mapping[str, tuple[Callable[[Any], bool], str]]
) -> Iterator[str]:
    for key, value in given.items():
        if key not in known:
            yield f"its {what} has a key {_shown(key)}.{nearest(key, known)}"
        elif not known[key][0](value):
            yield f"`{key}` of its {what} is {_shown(value)}, not {known[key][1]}"


def _parameter_problems(parameters: Any, above: str = "") -> Iterator[str]:  # noqa: ANN401
    if not isinstance(parameters, Mapping) or not parameters:
        yield "its `parameters` are no mapping of names to mappings such as {values: [1, 2]}"
        return
    for key, given in parameters.items():
        name = f"{above}{key}"
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            yield f"it has a parameter {_shown(key)}, no name of letters, digits, _ . and -"
        elif not isinstance(given, Mapping):
            yield (
                f"its `parameters` are no mapping of names to mappings: {_shown(name)} is "
                f"{_shown(given)}, not such as {{values: [1, 2]}}"
            )
        elif "parameters" not in given:
            yield from (f"its parameter {name} {problem}" for problem in _wrong(given))
        elif set(given) != {"parameters"}:
            yield f"its parameter {name} has other keys beside `parameters`"
        else:
            yield from _parameter_problems(given["parameters"], f"{name}.")


def _wrong(given: Mapping[str, Any]) -> Iterator[str]:
    kind = distribution_of(given)
    if kind not in _DISTRIBUTIONS:
        known = nearest(kind, _DISTRIBUTIONS) or f" It may be {', '.join(_DISTRIBUTIONS)}"
        yield f"has the distribution {_shown(given['distribution'])}.{known}"
        return
    needed, others = _DISTRIBUTIONS[kind]
    known_keys = ("distribution", *needed, *others)
    for key in given:
        if key not in known_keys:
            # Of a parameter without a distribution any key may be meant.
            every = known_keys if "distribution" in given else _EVERY_KEY
            yield f"has a key {_shown(key)}, which {kind} has not.{nearest(key, every)}"
    if missing := [key for key in needed if key not in given]:
        yield f"has no `{missing[0]}`, which {kind} needs"
        return
    for key in (*needed, *others):
        if key in given:
            yield from _wrong_value(kind, key, given[key])
    yield from _wrong_together(kind, given)


_EVERY_KEY = sorted({key for kind in _DISTRIBUTIONS.values() for keys in kind for key in keys})


def _wrong_value(kind: str, key: str, value: Any) -> Iterator[str]:  # noqa: ANN401
    if key in ("values", "probabilities"):
        if not isinstance(value, list) or not value:
            yield f"has `{key}` that are {_shown(value)}, not a list with something in it"
        elif key == "probabilities" and not all(_is_number(p) and p >= 0 for p in value):
            yield f"has `probabilities` that are {_shown(value)}, not numbers of at least 0"
    elif kind == "int_uniform":
        if not _is_integer(value) or abs(value) > _LARGEST:
            yield f"has {_shown(value)} as `{key}`, not an integer of at most 2^53"
    elif key != "value" and not _is_number(value):
        yield f"has {_shown(value)} as `{key}`, not a finite number"
    elif key in ("q", "sigma", "a", "b") and value <= 0:
        yield f"has {_shown(value)} as `{key}`, not a number above 0"


def _wrong_together(kind: str, given: Mapping[str, Any]) -> Iterator[str]:
    least: Any = given.get("min")
    most: Any = given.get("max")
    if _is_number(least) and _is_number(most) and {"min", "max"} <= set(_DISTRIBUTIONS[kind][0]):
        if least >= most:
            yield f"has a `min` of {_shown(least)}, not less than its `max` of {_shown(most)}"
        elif kind.endswith("log_uniform_values") and least <= 0:
            yield f"has {_shown(least)} as `min`, which has no logarithm"
        elif not math.isfinite(float(most) - float(least)):
            yield f"has a range from {_shown(least)} to {_shown(most)}, which is not finite"
    values, probabilities = given.get("values"), given.get("probabilities")
    if isinstance(values, list) and isinstance(probabilities, list):
        if len(values) != len(probabilities):
            yield f"has {len(values)} `values`, but {len(probabilities)} `probabilities`"
        elif all(map(_is_number, probabilities)) and abs(sum(probabilities) - 1) > 1e-5:
            yield f"has `probabilities` whose sum is {sum(probabilities):g}, not 1"


def _shown(value: Any) -> str:  # noqa: ANN401
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:39]}..."
