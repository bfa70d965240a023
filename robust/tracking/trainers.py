"""The one trainer of commands and Python for what is no `train.py`: it keeps nothing by itself."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from lightning.pytorch import Callback, LightningModule, Trainer

from robust.data import ImageDataModule
from robust.errors import ConfigError
from robust.tracking.failures import failures_told
from robust.tracking.progress import progress_bar
from robust.tracking.saving import AtomicCheckpoints


class Limited(Protocol):
    """A callback that looks at the first test images alone, or at all if its limit is None."""

    @property
    def limit(self) -> int | None:
        """Number of test images."""


def trainer_of(
    folder: str | Path,
    first: Sequence[Callback] = (),
    /,
    *,
    progress: bool = True,
    **settings: Any,  # noqa: ANN401
) -> Trainer:
    """Return a trainer without a logger and checkpoints of its own.

    Args:
        folder: Where Lightning writes what nobody gave a place.
        first: Callbacks before the progress bar and those of ``settings``.
        progress: Whether to show a progress bar.
        settings: Other arguments of Lightning's Trainer.

    Raises:
        ConfigError: If the trainer cannot be had.
    """
    bars = [progress_bar()] if progress else []
    usual = {
        "accelerator": "auto",
        "devices": 1,
        "logger": False,
        "plugins": [AtomicCheckpoints()],
        "default_root_dir": folder,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "enable_progress_bar": progress,
        "inference_mode": False,
        "use_distributed_sampler": False,
    }
    own = settings.get("callbacks") or []
    joined = [*first, *bars, *(own if isinstance(own, list) else [own])]
    with user_errors():
        return Trainer(**{**usual, **settings, "callbacks": joined})


def run_test(
    trainer: Trainer, network: LightningModule, data: ImageDataModule, callback: Limited
) -> None:
    """Run a test of Lightning's on the images that one of its callbacks looks at.

    Args:
        trainer: It has the callback.
        network: What is tested.
        data: Whose test images are shown.
        callback: It says how many.
    """
    with data.test_limited(callback.limit), failures_told(trainer, network):
        trainer.test(network, datamodule=data, verbose=False)


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """While a `Trainer` is built: what it refuses is the user's to fix.

    Raises:
        ConfigError: With Lightning's own words, such as on an accelerator that is not there.
    """
    try:
        yield
    except ConfigError:
        raise
    # Its connectors fail in many ways on values that its types allow.
    except Exception as error:
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        reason = f"{kind}{error}" if str(error) else type(error).__name__
        reason = reason if len(reason) < 240 else f"{reason[:236]} ..."
        raise ConfigError(f"Expected a trainer that can be had, but: {reason}") from error
