"""A command as a process: its exit code, its errors of one line, its signals and its memory."""

import contextlib
import ctypes
import logging
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import rich
from lightning.fabric.utilities.exceptions import MisconfigurationException

from robust.errors import NO_ROOM, in_short, raised_in, unusable_path
from robust.io.notes import note
from robust.io.streams import code_of, lost_output, make_usable, say
from robust.loading.messages import fixable_cause, shortened
from robust.precision import keep_float32
from robust.tracking.interrupts import interruptible


def run_command(command: Callable[[], Any]) -> int:
    """Run a command; print an error that the user can fix as one line.

    Returns:
        The exit code: 0; 2 after such an error; 141, a shell's for it, if nobody reads on.

    Raises:
        SystemExit: With code 130 after SIGINT, and as `robust.tracking.Preemption` ends a command.
    """
    make_usable()
    keep_freed_memory()
    keep_float32()
    _silence()
    try:
        with interruptible():
            command()
        sys.stdout.flush()
        if (sentence := lost_output()) is not None:
            note(sentence)
    except SystemExit as stop:
        # rich makes an exit with 1 of its own BrokenPipeError.
        if isinstance(stop.__context__, BrokenPipeError):
            return 128 + signal.SIGPIPE
        raise
    except Exception as error:
        code = code_of(error) if isinstance(error, OSError) else None
        if code is not None:
            return code
        message = _fixable(error)
        if message is None:
            raise
        say(f"error: {shortened(message)}")
        return 2
    return 0


def _fixable(error: BaseException | None) -> str | None:
    """What the user can fix; None if that is nothing, so that the traceback is kept."""
    if isinstance(error, MisconfigurationException) or _refused_by_trainer(error):
        return str(error)
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return (
            f"Expected room on the disk, but: {error}. Checkpoints and records so far are "
            "complete: make room, and run the same command again. A training goes on with its "
            "--run.id and --run.resume=auto."
        )
    cause = fixable_cause(error) or unusable_path(error)
    return _unbuilt(error) if cause is None and raised_in(error, "jsonargparse.") else cause


def _unbuilt(error: BaseException | None) -> str:
    """Why nothing was built, such as of a function that a config names instead of a class."""
    # It tries all types that an argument may have, and joins what it is told.
    refused = re.search(r"- (Expected \S+ to be built from its .*)", str(error))
    if refused:
        return refused[1]
    while error is not None and raised_in(error, "jsonargparse."):
        error = error.__cause__ or error.__context__
    reason = "its parser does not say why" if error is None else in_short(error)
    return f"Expected a config of which all can be built, but: {reason}. Fix its `init_args`."


def _refused_by_trainer(error: BaseException | None) -> bool:
    """Whether Lightning itself found an argument wrong, some of which it only looks at late."""
    return isinstance(error, ValueError | RuntimeError) and raised_in(error, "lightning.")


@contextlib.contextmanager
def own_console() -> Iterator[None]:
    """Meanwhile a progress bar changes the console that all users of rich share, then no more."""
    console = rich.get_console()
    earlier = console.__dict__
    try:
        yield
    finally:
        console.__dict__ = earlier


def _silence() -> None:
    """Drop what third parties say that nobody who runs this can act upon."""
    logging.raiseExceptions = False  # W&B's own log on a full disk
    for message in _IDLE_WARNINGS:
        warnings.filterwarnings("ignore", message)
    for module in _CHATTY:
        logging.getLogger(f"lightning.{module}").addFilter(_is_worth_reading)


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Drop meanwhile what Lightning says that nobody who calls it from Python can act upon."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in _IDLE_WARNINGS:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        logger.setLevel(level)


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


_CHATTY = ("pytorch.utilities.rank_zero", "fabric.utilities.rank_zero", "fabric.utilities.seed")


def _is_worth_reading(record: logging.LogRecord) -> bool:
    # An advertisement, hardware that nothing here drives or that is not there, and a seed that the
    # config keeps: the line would come before an error in the rest of the config.
    idle = ("litlogger", "TPU available", "GPU available: False", "Seed set to")
    return not any(word in record.getMessage() for word in idle)


def keep_freed_memory() -> None:
    """Have glibc keep the memory that torch frees, instead of mapping it again at every step.

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
