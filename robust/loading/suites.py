"""Suites read from their files, as they are or some of their attacks."""

import copy
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast, final

from jsonargparse import ArgumentError
from jsonargparse.typing import class_from_function

from robust.data.arrays import area_of
from robust.errors import ConfigError
from robust.evaluation import AttackEvaluation
from robust.evaluation import suite as engine
from robust.evaluation.flat import evaluation_of
from robust.evaluation.plan import check_attack_names
from robust.io.names import chosen
from robust.loading.attack_specs import check_attack_specs, missing_attacks, with_plugins
from robust.loading.class_paths import foreign, names_of
from robust.loading.messages import explain
from robust.loading.parsing.fractions import read_yaml
from robust.loading.parsing.parser import Parser, check_built
from robust.loading.short_names import find
from robust.loading.trust import trusting

AnySuite = str | Path | Mapping[str, Any] | engine.Suite
"""A suite, a short name, a path, or what a file of suites holds: all of it, or its attacks alone.
"""


@final
@dataclass(frozen=True)
class Suite(engine.Suite):
    """A suite has named attacks, what each of them may do, and the images that they get.

    An attack that was given no ``eps`` or no ``norm`` has that of its threat model.

    Examples:
        >>> quick = robust.Suite.load("quick")
        >>> quick.name, list(quick.attacks), str(quick.threat_model)
        ('quick', ['fgsm', 'pgd', 'square'], 'Linf 0.2')
        >>> mine = robust.Suite("mine", {"pgd": robust.attacks.PGD}, robust.ThreatModel("L2", 0.5))
        >>> mine.infos["pgd"].budget
        'L2 0.5'

    Args:
        name: It is in the names of record files.
        attacks: What builds each attack on a view, by name, such as its class.
        threat_model: What the attacks may do, unless `threat_models` says otherwise.
        threat_models: Threat models of single attacks, by their names.
        targets: Target classes of targeted attacks, by their names, or ``random``.
        views: What the attacks differentiate.
        limit: Number of images, from the first; all if None.
        block: Images that are crafted together.
        seed: It seeds every attack, together with its name and the block.
        split: Whether images of the ``test`` set are attacked, or of the ``train`` set.
        source: The defense that images are crafted on, if not on the attacked one.

    Raises:
        ConfigError: If the suite does not hold together, or a number is out of range.
    """

    @staticmethod
    def load(name: str | Path, attacks: Sequence[str] | None = None) -> "Suite":
        """Return the suite of a file.

        Args:
            name: A short name such as ``quick``, or a path.
            attacks: Which of its attacks to keep, names or patterns; all if None.

        Raises:
            ConfigError: If there is no such suite, or it does not hold together.
        """
        suite = evaluation_of_suite(name, attacks).suite
        return Suite(**{f.name: getattr(suite, f.name) for f in fields(suite) if f.init})


def read_suite(
    path: Path,
    only: Sequence[str] | None = None,
    **settings: Any,  # noqa: ANN401
) -> engine.Suite:
    """Return the suite of a file, with some of its settings replaced.

    Args:
        path: A file of ``configs/suites``.
        only: Which of its attacks to keep, names or patterns such as ``bim_*``; all if None.
        settings: Keys of ``evaluation``.

    Raises:
        ConfigError: If the file is missing or not a suite, or has no such attacks.
    """
    return read_evaluation(path, only, **settings).suite


def read_evaluation(
    path: Path,
    only: Sequence[str] | None = None,
    **settings: Any,  # noqa: ANN401
) -> AttackEvaluation:
    """Return the evaluation of a suite file, with some of its settings replaced.

    A suite without a name has that of its file. Arguments and errors are those of `read_suite`.
    """
    return _build({"suite": path.stem, **read_yaml(path)}, path, only, **settings)


def evaluation_of_suite(
    suite: AnySuite,
    only: Sequence[str] | None = None,
    **settings: Any,  # noqa: ANN401
) -> AttackEvaluation:
    """Return the evaluation of a suite that Python names, with some of its settings replaced.

    Args:
        suite: A suite, a short name such as ``quick``, a path, or what a file of suites holds: all
            of it, or its attacks alone. Classes that it names are the caller's own word.
        only: Which of its attacks to keep; all if None.
        settings: Keys of ``evaluation``; of a `Suite`, its attributes.

    Raises:
        ConfigError: If there is no such suite, or it does not hold together.
    """
    if isinstance(suite, engine.Suite):
        if not suite.attacks:
            raise ConfigError("Expected a suite with attacks, but it has none. Give it one.")
        return AttackEvaluation(replace(suite if only is None else suite.only(only), **settings))
    if not isinstance(suite, Mapping):
        return read_evaluation(find(str(suite), "suite"), only, **settings)
    is_complete = any(key in suite for key in ("attacks", "suite", "threat_model"))
    content = suite if is_complete else {"suite": "attacks", "attacks": suite}
    with trusting([name for path in foreign(content) for name in names_of(path)]):
        return _build(_with_rows(_with_objects(content)), "the suite", only, **settings)


def _with_rows(content: dict[str, Any]) -> dict[str, Any]:
    """Return a suite with the rows of a mask that Python gave as an array or a tensor."""
    model = content.get("threat_model")
    if not isinstance(model, Mapping) or isinstance(model.get("mask"), int | float | str | None):
        return content
    return {**content, "threat_model": {**model, **area_of(model["mask"])}}


def _with_objects(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a suite, in which objects that Python gave for attacks are ready to build.

    They are the caller's own word, where a file could only name them.
    """
    attacks = content.get("attacks")
    if not isinstance(attacks, Mapping):
        return copy.deepcopy(dict(content))
    check_attack_specs(attacks, "the suite")
    given = {name: spec for name, spec in attacks.items() if _is_object(spec)}
    others = {**content, "attacks": {n: s for n, s in attacks.items() if n not in given}}
    copied = copy.deepcopy(others)
    ready = {**copied["attacks"], **with_plugins(given, "the suite")}
    return {**copied, "attacks": {name: ready[name] for name in attacks}}


def _is_object(spec: object) -> bool:
    return callable(spec.get("class_path") if isinstance(spec, Mapping) else spec)


@functools.cache
def evaluation_class() -> type[AttackEvaluation]:
    """Return the class that a parser takes for `evaluation_of`.

    It is made once. For that, jsonargparse looks for the source of all callers.
    """
    return cast(type[AttackEvaluation], class_from_function(evaluation_of))


@functools.cache
def _parser() -> Parser:
    """A parser of suites, which takes as long to make as to read one with."""
    parser = Parser(exit_on_error=False)
    parser.add_class_arguments(evaluation_class(), "evaluation")
    return parser


def _build(
    content: Mapping[str, Any],
    where: object,
    only: Sequence[str] | None = None,
    **settings: Any,  # noqa: ANN401
) -> AttackEvaluation:
    """Return the evaluation of a suite's content, which messages say to be from ``where``."""
    parser = _parser()
    if not isinstance(content.get("attacks"), dict) or not content["attacks"]:
        raise missing_attacks(content, where)
    check_attack_specs(content["attacks"], where)
    _check_threat_model(content.get("threat_model", {}), where)
    check_built(content, where)
    content = content if only is None else _only(dict(content), only)
    content = {**content, "attacks": with_plugins(content["attacks"], where)}
    try:
        config = parser.parse_object({"evaluation": {**content, **settings}})
    except ArgumentError as error:
        raise ConfigError(f"{where}: {explain(str(error), parser._names())}") from None
    return cast(AttackEvaluation, parser.instantiate(config).evaluation)


def _check_threat_model(given: object, where: object) -> None:
    """Raise unless it is a mapping; the parser takes a word for the path of a file."""
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"{where}: Expected `threat_model` to be a mapping such as {{norm: Linf, eps: usual}}, "
            f"but got {str(given)[:_SHOWN]!r}."
        )


_SHOWN = 40
"""Characters of a value that a message shows."""


def _only(suite: dict[str, Any], patterns: Sequence[str]) -> dict[str, Any]:
    kept = dict(suite)
    check_attack_names(suite["attacks"])
    names = chosen(suite["attacks"], patterns)
    for key in ("attacks", "threat_models", "targets"):
        named = suite.get(key) or {}
        if isinstance(named, Mapping):
            kept[key] = {name: value for name, value in named.items() if name in names}
    return kept
