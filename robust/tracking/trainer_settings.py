"""Settings of Lightning's trainer that a run cannot have are refused before it begins."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from jsonargparse import Namespace
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher

from robust.errors import ConfigError
from robust.tracking.saving import AtomicCheckpoints

PRECISIONS = ("32-true", "16-mixed", "bf16-mixed")
"""Precisions that keep the weights in float32, in which a network is attacked and judged."""

_AT_LEAST = {
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "num_nodes": 1,
    "gradient_clip_val": 0,
    "log_every_n_steps": 0,
    "limit_train_batches": 0,
    "limit_val_batches": 0,
    "limit_test_batches": 0,
    "min_epochs": 0,
    "min_steps": 0,
    "overfit_batches": 0,
    "reload_dataloaders_every_n_epochs": 0,
    "max_epochs": -1,
    "max_steps": -1,
    "num_sanity_val_steps": -1,
}
"""The smallest value of each setting; Lightning checks some of them late, others never."""


def check_trainer(settings: Namespace) -> None:
    """Raise if a number among the settings of a trainer is out of range.

    Args:
        settings: The content of the key ``trainer``, partly objects already.

    Raises:
        ConfigError: With the setting, its value and its bound.
    """
    for name, least in _AT_LEAST.items():
        value = settings.get(name)
        if _is_number(value) and not least <= value < math.inf:
            _refuse(name, f"at least {least}", value)
    interval = settings.get("val_check_interval")
    if _is_number(interval) and not interval > 0:
        _refuse("val_check_interval", "above 0", interval)
    _check_devices(settings.get("devices"))
    for unit in ("epochs", "steps"):
        least, most = settings.get(f"min_{unit}"), settings.get(f"max_{unit}")
        if least is not None and most not in (None, -1) and least > most:
            raise ConfigError(
                f"Expected `trainer.min_{unit}` to be at most `trainer.max_{unit}`, but got "
                f"{least} and {most}. Raise the latter."
            )


def check_strategy(trainer: Trainer) -> None:
    """Raise if a trainer would change the type of the weights, or spread them over devices.

    Images are float32, and a network is attacked and judged with its weights as they are.
    Processes that the trainer forks would not return results of an evaluation.

    Raises:
        ConfigError: With the precision or the strategy.
    """
    if trainer.precision not in PRECISIONS:
        raise ConfigError(
            f"Expected `trainer.precision` to be one of {', '.join(PRECISIONS)}, but got "
            f"{trainer.precision}. Attacks need the weights in float32."
        )
    sharded = (DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy)
    if isinstance(trainer.strategy, sharded):
        raise ConfigError(
            "Expected `trainer.strategy` to keep all weights on each device, but got "
            f"{type(trainer.strategy).__name__}. Use ddp."
        )
    if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        raise ConfigError(
            "Expected `trainer.strategy` to start processes of their own, but got one that forks "
            "or spawns this one. Use ddp."
        )


def plugins(given: Any) -> list[Any]:  # noqa: ANN401
    """Return the plugins of a trainer, with one that writes checkpoints atomically."""
    own = list(given) if isinstance(given, Iterable) else [] if given is None else [given]
    if any(isinstance(plugin, CheckpointIO) for plugin in own):
        return own
    return [*own, AtomicCheckpoints()]


def _is_number(value: object) -> bool:
    """Return whether it is a number; Lightning reads times and names."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refuse(name: str, bound: str, value: object) -> NoReturn:
    raise ConfigError(
        f"Expected `trainer.{name}` to be {bound}, but got {value}. Set --trainer.{name}."
    )


def _check_devices(devices: object) -> None:
    """Raise unless the number of devices is possible or -1 for all; a list has their numbers."""
    text = str(devices).strip()
    number = int(text) if text.removeprefix("-").isdecimal() and len(text) < 10 else None
    empty = isinstance(devices, Sequence) and not devices
    if empty or (number is not None and number != -1 and number < 1):
        _refuse("devices", "at least 1, or -1 for all", repr(devices))
