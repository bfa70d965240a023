"""What the commands share: errors of one line, runs read back."""

import contextlib
import ctypes
import errno
import inspect
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple, cast

from jsonargparse import ArgumentError
from lightning.fabric.utilities.exceptions import MisconfigurationException

from robust.checkpoints import DESCRIPTION, read_checkpoint
from robust.class_paths import imported
from robust.data import ImageDataModule
from robust.defenses import Defense
from robust.errors import ConfigError
from robust.evaluation import AttackEvaluation
from robust.evaluation.suite import check_attack_names
from robust.explain import explain, mendable_cause, shortened
from robust.fractions import read_yaml
from robust.precision import keep_float32
from robust.restricted import Parser, check_built
from robust.streams import make_usable, nobody_reads
from robust.trust import UntrustedError


def run_command(command: Callable[[], Any]) -> int:
    """Run a command; print an error that the user can mend as one line.

    Returns:
        The exit code: 0; 2 after such an error; 141, a shell's for it, if nobody reads on.
    """
    make_usable()
    keep_freed_memory()
    keep_float32()
    _silence()
    try:
        command()
        sys.stdout.flush()
    except SystemExit as stop:
        # rich turns its own broken pipe into an exit with 1.
        if isinstance(stop.__context__, BrokenPipeError):
            return 128 + signal.SIGPIPE
        raise
    except Exception as error:
        if isinstance(error, BrokenPipeError) and nobody_reads():
            return 128 + signal.SIGPIPE
        message = _mendable(error)
        if message is None:
            raise
        print(f"error: {shortened(message)}", file=sys.stderr)
        return 2
    return 0


def _mendable(error: BaseException | None) -> str | None:
    """What the user can mend; None if that is nothing, so that the traceback is kept."""
    if isinstance(error, MisconfigurationException) or _refused_by_trainer(error):
        return str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"Expected room on the disk, but: {error}. Checkpoints and records so far are whole: "
            "make room, and go on with the same command, --run.id and --run.resume=auto."
        )
    return mendable_cause(error)


def _refused_by_trainer(error: BaseException | None) -> bool:
    """Whether Lightning itself found an argument wrong, some of which it only looks at late."""
    if not isinstance(error, ValueError):
        return False
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__", "")).startswith("lightning.")


@contextlib.contextmanager
def mendable_trainer() -> Iterator[None]:
    """While a `Trainer` is built: what it refuses is the user's to mend.

    Raises:
        ConfigError: With Lightning's own words, such as on an accelerator that is not there.
    """
    try:
        yield
    except ConfigError:
        raise
    except (ValueError, MisconfigurationException) as error:
        raise ConfigError(f"Expected a trainer that can be had, but: {error}") from error


def _silence() -> None:
    """Drop what third parties say that nobody who runs this can act upon."""
    for message in _IDLE_WARNINGS:
        warnings.filterwarnings("ignore", message)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_worth_reading)


_IDLE_WARNINGS = (
    # Lightning 2.6.6 uses a class that torch 2.15 deprecates, in its own _pytree.py.
    r".*LeafSpec",
    # With few batches an epoch; metrics are logged at the end of each epoch anyway.
    r"The number of training batches .* is smaller than the logging interval",
    # A resumed run goes on in its own folder.
    r"Checkpoint directory .* exists and is not empty",
    # A checkpoint tested in another run; which of several is best is nothing that we keep.
    r"The dirpath has changed from",
    # Our loaders give every sample to one process exactly (robust.data.datamodule).
    r"Using `DistributedSampler` with the dataloaders",
)


def _is_worth_reading(record: logging.LogRecord) -> bool:
    # An advertisement, and hardware that none of our dependencies drives.
    return not any(word in record.getMessage() for word in ("litlogger", "TPU available"))


def keep_freed_memory() -> None:
    """Have glibc keep the memory that torch frees, instead of mapping it anew at every step.

    Large batches gain much wall time on Linux CPUs, for memory that the process does not give back.
    ``ROBUST_MALLOPT=0`` turns it off.
    """
    if sys.platform != "linux" or os.environ.get("ROBUST_MALLOPT") == "0":
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        for option, value in _MALLOPT.items():
            mallopt(option, value)


# M_MMAP_MAX: no mappings of their own; M_TRIM_THRESHOLD: nothing back; M_TOP_PAD: grow in 256 MiB.
_MALLOPT = {-4: 0, -1: 2**31 - 1, -2: 256 << 20}


class Restored(NamedTuple):
    """A trained defense and its data, built from a checkpoint alone."""

    defense: Defense
    data: ImageDataModule


def restore(path: Path, changed: Mapping[str, Any] | None = None) -> Restored:
    """Build the defense that a checkpoint describes, with its weights, and its data module.

    Nothing in the file is executed: it is read as weights and plain values, and the classes that it
    names are built only if they are a `Defense` and an `ImageDataModule`.

    Args:
        path: The checkpoint.
        changed: Arguments that the defense gets instead of its own, if it has such arguments.

    Raises:
        ConfigError: If the file is no checkpoint of ours, or no longer fits the code.
    """
    checkpoint = read_checkpoint(path)
    if DESCRIPTION not in checkpoint:
        raise ConfigError(
            f"Expected {path} to say which defense it is of, but it does not. Use a checkpoint "
            "that train.py wrote."
        )
    parts = {key: checkpoint[DESCRIPTION][key] for key in ("model", "data")}
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
        ConfigError: If it is of another class, has other weights, or lacks what a training needs.
    """
    described = checkpoint.get(DESCRIPTION, {}).get("model", {}).get("class_path")
    if described and described.rpartition(".")[2] != type(model).__name__:
        raise ConfigError(
            f"Expected a checkpoint of {type(model).__name__} at {path}, but it is of "
            f"{described}. Give the config that it was trained with."
        )
    shapes, stored = (
        {name: tuple(value.shape) for name, value in state.items()}
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
