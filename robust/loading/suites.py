"""Suites read from their files, as they are or some of their attacks."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

from jsonargparse import ArgumentError

from robust.errors import ConfigError
from robust.evaluation import AttackEvaluation
from robust.evaluation.suite import check_attack_names
from robust.loading.fractions import read_yaml
from robust.loading.messages import explain
from robust.loading.parser import Parser, check_built


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
    parser = Parser(exit_on_error=False)
    parser.add_class_arguments(AttackEvaluation, "evaluation")
    content = read_yaml(path)
    if not isinstance(content.get("attacks"), dict) or not content["attacks"]:
        raise ConfigError(f"Expected a mapping of `attacks` in {path}, but it has none.")
    check_built(content, path)
    content = content if only is None else _only(content, only)
    try:
        config = parser.parse_object({"evaluation": {**content, **settings}})
    except ArgumentError as error:
        raise ConfigError(f"{path}: {explain(str(error), parser._names())}") from None
    return cast(AttackEvaluation, parser.instantiate(config).evaluation)


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
