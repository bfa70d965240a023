"""Suites read from their files, as they are or some of their attacks."""

import copy
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

from jsonargparse import ArgumentError

from robust.errors import ConfigError
from robust.evaluation import AttackEvaluation
from robust.evaluation.suite import check_attack_names
from robust.loading.class_paths import foreign, names_of
from robust.loading.fractions import read_yaml
from robust.loading.messages import explain
from robust.loading.parser import Parser, check_built
from robust.loading.short_names import find
from robust.loading.trust import trusting

AnySuite = str | Path | Mapping[str, Any]
"""A short name, a path, or what a file of suites holds: all of it, or its attacks alone."""


def read_suite(
    path: Path,
    only: Sequence[str] | None = None,
    **settings: Any,  # noqa: ANN401
) -> AttackEvaluation:
    """The evaluation of a suite file, with some of its settings replaced.

    Args:
        path: A file of ``configs/suites``.
        only: Which of its attacks to keep, names or patterns such as ``bim_*``; all if None.
        settings: Arguments of the evaluation.

    Raises:
        ConfigError: If the file is missing or not a suite, or has no such attacks.
    """
    return build_suite(read_yaml(path), path, only, **settings)


def build_suite(
    content: Mapping[str, Any],
    where: object,
    only: Sequence[str] | None = None,
    **settings: Any,  # noqa: ANN401
) -> AttackEvaluation:
    """Return the evaluation of a suite's content, with some of its settings replaced.

    Args:
        content: Plain values, as a file of ``configs/suites`` holds them.
        where: Where they are from, for messages.
        only: Which of its attacks to keep; all if None.
        settings: Arguments of the evaluation.

    Raises:
        ConfigError: If it is no suite, or has no such attacks.
    """
    parser = Parser(exit_on_error=False)
    parser.add_class_arguments(AttackEvaluation, "evaluation")
    if not isinstance(content.get("attacks"), dict) or not content["attacks"]:
        raise ConfigError(f"Expected a mapping of `attacks` in {where}, but it has none.")
    check_built(content, where)
    content = content if only is None else _only(dict(content), only)
    try:
        config = parser.parse_object({"evaluation": {**content, **settings}})
    except ArgumentError as error:
        raise ConfigError(f"{where}: {explain(str(error), parser._names())}") from None
    return cast(AttackEvaluation, parser.instantiate(config).evaluation)


def suite_of(
    suite: AnySuite,
    only: Sequence[str] | None = None,
    **settings: Any,  # noqa: ANN401
) -> AttackEvaluation:
    """Return the evaluation of a suite that Python names, with some of its settings replaced.

    Args:
        suite: A short name such as ``quick``, a path, or what a file of suites holds: all of it, or
            its attacks alone. Classes that it names are the caller's own word, and trusted.
        only: Which of its attacks to keep; all if None.
        settings: Arguments of the evaluation.

    Raises:
        ConfigError: If there is no such suite, or it does not hold together.
    """
    if not isinstance(suite, Mapping):
        return read_suite(find(str(suite), "suite"), only, **settings)
    content = suite if "attacks" in suite else {"suite": "attacks", "attacks": suite}
    with trusting([name for path in foreign(content) for name in names_of(path)]):
        return build_suite(copy.deepcopy(dict(content)), "the suite", only, **settings)


def _chosen(names: Sequence[str], patterns: Sequence[str]) -> set[str]:
    """Those that are named, or match a pattern that is not the name of one itself."""
    return {
        name
        for pattern in patterns
        for name in names
        if (name == pattern if pattern in names else fnmatchcase(name, pattern))
    }


def _only(suite: dict[str, Any], patterns: Sequence[str]) -> dict[str, Any]:
    kept = dict(suite)
    attacks = list(suite.get("attacks") or {})
    check_attack_names(attacks)
    chosen = _chosen(attacks, patterns)
    for key in ("attacks", "threat_models", "targets"):
        named = suite.get(key) or {}
        if isinstance(named, Mapping):
            kept[key] = {name: value for name, value in named.items() if name in chosen}
    if not chosen:
        raise ConfigError(
            f"Expected attacks of the suite ({', '.join(suite.get('attacks') or {})}), but got "
            f"{', '.join(patterns)}. Name some of them, or patterns such as 'bim_*'."
        )
    return kept
