"""Trained defenses read back from their checkpoints, with their data."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jsonargparse import ArgumentError

from robust.checkpoints import DESCRIPTION, check_finite, description_of, read_checkpoint
from robust.data import ImageDataModule
from robust.defenses import Defense
from robust.errors import ConfigError
from robust.loading.changes import changed_arguments, changed_model
from robust.loading.messages import explain
from robust.loading.moved import update
from robust.loading.parsing.parser import Parser, check_built
from robust.loading.pretrained.described import built_from, is_pretrained


class Restored(NamedTuple):
    """A trained defense and its data, built from a checkpoint alone."""

    defense: Defense
    data: ImageDataModule


def restore(
    path: Path,
    changed: Mapping[str, Any] | None = None,
    checkpoint: dict[str, Any] | None = None,
    instead: ImageDataModule | None = None,
) -> Restored:
    """Build the defense that a checkpoint describes, with its weights, and its data module.

    Nothing in the file is executed: it is read as weights and plain values, and the classes that it
    names are built only if they are a `Defense` and an `ImageDataModule`.

    Args:
        path: The checkpoint.
        changed: Arguments that the defense gets instead of its own, if it has such arguments;
            see `robust.loading.changes`.
        checkpoint: Its content, which is changed; read if None.
        instead: Images that take the place of its own where these are not there any more.

    Raises:
        ConfigError: If the file is no checkpoint of ours, no longer fits the code, or has weights
            that are not finite.
    """
    checkpoint = read_checkpoint(path) if checkpoint is None else checkpoint
    check_finite(checkpoint["state_dict"], str(path))
    parts: dict[str, Any] = update(description_of(checkpoint, path))
    if is_pretrained(parts["model"]):
        return _restored_pretrained(path, parts, changed or {}, checkpoint, instead)
    check_built(parts, path)
    # How it was trained is of no use here, and a teacher's file may be gone.
    for key in ("optimizer", "scheduler", "teacher"):
        parts["model"]["init_args"].pop(key, None)
    parts["model"] = changed_model(parts["model"], changed or {})
    parser = Parser(exit_on_error=False)
    parser.add_subclass_arguments(Defense, "model")
    try:
        model = parser.instantiate(parser.parse_object({"model": parts["model"]})).model
        needs_own = type(model).on_restored is not Defense.on_restored
        data = _own_data(parts, None if needs_own else instead)
        model.load_state_dict(checkpoint["state_dict"])
        model.on_restored(data)
    except (ArgumentError, RuntimeError) as error:
        raise ConfigError(
            f"Expected {path} to be of a defense that this version knows, but: "
            f"{explain(str(error))}"
        ) from None
    return Restored(model.eval(), data)


def _own_data(parts: Mapping[str, Any], instead: ImageDataModule | None) -> ImageDataModule:
    parser = Parser(exit_on_error=False)
    parser.add_subclass_arguments(ImageDataModule, "data")
    try:
        data: ImageDataModule = parser.instantiate(
            parser.parse_object({"data": parts["data"]})
        ).data
    except (ArgumentError, ValueError):  # also what jsonargparse makes of a ConfigError
        if instead is None:
            raise
        return instead
    return data


def _restored_pretrained(
    path: Path,
    parts: dict[str, Any],
    changed: Mapping[str, Any],
    checkpoint: Mapping[str, Any],
    instead: ImageDataModule | None,
) -> Restored:
    check_built({"data": parts["data"]}, path)
    model = built_from(changed_arguments(parts["model"]["init_args"], changed), path)
    try:
        data = _own_data(parts, instead)
        model.load_state_dict(checkpoint["state_dict"])
    except (ArgumentError, RuntimeError) as error:
        raise ConfigError(
            f"Expected {path} to be of a network that is the same today, but: "
            f"{explain(str(error))}. Evaluate its source again."
        ) from None
    return Restored(model.eval(), data)


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
        if name not in model.redrawn_buffers and shapes.get(name) != stored.get(name):
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
