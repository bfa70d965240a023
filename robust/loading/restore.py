"""Runs and suites read back from their files, as the commands share it."""

import inspect
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple, cast

from jsonargparse import ArgumentError

from robust.checkpoints import DESCRIPTION, check_finite, description_of, read_checkpoint
from robust.data import ImageDataModule
from robust.defenses import Defense
from robust.errors import ConfigError
from robust.evaluation import AttackEvaluation
from robust.evaluation.suite import check_attack_names
from robust.loading.class_paths import imported
from robust.loading.fractions import read_yaml
from robust.loading.messages import explain
from robust.loading.parser import Parser, check_built
from robust.loading.trust import UntrustedError


class Restored(NamedTuple):
    """A trained defense and its data, built from a checkpoint alone."""

    defense: Defense
    data: ImageDataModule


def restore(
    path: Path,
    changed: Mapping[str, Any] | None = None,
    checkpoint: dict[str, Any] | None = None,
) -> Restored:
    """Build the defense that a checkpoint describes, with its weights, and its data module.

    Nothing in the file is executed: it is read as weights and plain values, and the classes that it
    names are built only if they are a `Defense` and an `ImageDataModule`.

    Args:
        path: The checkpoint.
        changed: Arguments that the defense gets instead of its own, if it has such arguments.
        checkpoint: Its content, which is changed; read if None.

    Raises:
        ConfigError: If the file is no checkpoint of ours, no longer fits the code, or has weights
            that are not finite.
    """
    checkpoint = read_checkpoint(path) if checkpoint is None else checkpoint
    check_finite(checkpoint["state_dict"], str(path))
    parts = description_of(checkpoint, path)
    check_built(parts, path)
    # How it was trained is of no use here, and a teacher's file may be gone.
    for key in ("optimizer", "scheduler", "teacher"):
        parts["model"]["init_args"].pop(key, None)
    accepted = arguments_of(parts["model"]["class_path"])
    parts["model"]["init_args"] |= {k: v for k, v in (changed or {}).items() if k in accepted}
    parser = Parser(exit_on_error=False)
    parser.add_subclass_arguments(Defense, "model")
    parser.add_subclass_arguments(ImageDataModule, "data")
    try:
        built = parser.instantiate(parser.parse_object(parts))
        built.model.load_state_dict(checkpoint["state_dict"])
        built.model.on_restored(built.data)
    except (ArgumentError, RuntimeError) as error:
        raise ConfigError(
            f"Expected {path} to be of a defense that this version knows, but: "
            f"{explain(str(error))}"
        ) from None
    return Restored(built.model.eval(), built.data)


def arguments_of(class_path: str) -> set[str]:
    """Names of the arguments of a class; none if there is no such class.

    Raises:
        UntrustedError: If it may not be imported.
    """
    try:
        return set(inspect.signature(imported(class_path)).parameters)
    except UntrustedError:
        raise
    except (ImportError, AttributeError, ValueError):
        return set()


def check_fits(
    checkpoint: Mapping[str, Any], path: str | Path, model: Defense, *, training: bool
) -> None:
    """Raise if a checkpoint cannot be restored into ``model``.

    Args:
        checkpoint: Its content.
        path: Where it lies, for the message.
        model: What a config describes.
        training: Whether a training is to go on from it, not only its weights be used.

    Raises:
        ConfigError: If it is of another class, has other weights, some that are not finite, or
            lacks what a training needs.
    """
    check_finite(checkpoint["state_dict"], str(path))
    known = DESCRIPTION in checkpoint
    described = description_of(checkpoint, path)["model"]["class_path"] if known else ""
    if described and described.rpartition(".")[2] != type(model).__name__:
        raise ConfigError(
            f"Expected a checkpoint of {type(model).__name__} at {path}, but it is of "
            f"{described}. Give the config that it was trained with."
        )
    shapes, stored = (
        {name: tuple(getattr(value, "shape", ())) for name, value in state.items()}
        for state in (model.state_dict(), checkpoint["state_dict"])
    )
    for name in {**shapes, **stored}:
        if name not in model.remade and shapes.get(name) != stored.get(name):
            raise ConfigError(
                f"Expected {name} of shape {shapes.get(name)} in the checkpoint {path}, but got "
                f"{stored.get(name)}. Give the config that it was trained with."
            )
    # What a defense has to say itself, before the run's folder is touched.
    model.on_load_checkpoint(dict(checkpoint))
    missing = {"pytorch-lightning_version"} | ({"loops", "optimizer_states"} if training else set())
    missing -= set(checkpoint)
    if missing:
        raise ConfigError(
            f"Expected a checkpoint that a training wrote at {path}, but it has no "
            f"{' and no '.join(sorted(missing))}. Use its last.ckpt."
        )


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
