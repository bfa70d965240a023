"""A network or images from elsewhere that `evaluate` is asked for."""

import argparse
from typing import Any

from robust.data import ImageDataModule
from robust.defenses.adapting.adapt import Given
from robust.loading.other_data import data_named
from robust.loading.pretrained.built import Request, dotted
from robust.loading.pretrained.kept import Asked, keep
from robust.loading.trained_run import TrainedRun
from robust.tracking import Run


def named(options: argparse.Namespace) -> list[str]:
    """Return the classes that a user's flags name, as flags with dotted paths, which are trusted.

    Raises:
        ConfigError: If one is no class path.
    """
    names = [options.network, options.view_from]
    return [f"--network={dotted(name)}" for name in names if name is not None]


def network_run(options: argparse.Namespace) -> TrainedRun:
    """Return the run of a network, whose folder is made unless it is there.

    Raises:
        ConfigError: If the network cannot be read, or does not pass a check.
    """
    kept = keep(_asked(options))
    run = Run.from_checkpoint(kept.path)
    return TrainedRun(run, kept.path, kept.defense, kept.data, kept.notes, kept.described, None)


def other_data(options: argparse.Namespace) -> ImageDataModule | None:
    """Return the images on which runs are to be attacked; None if on their own.

    Raises:
        ConfigError: If they cannot be read.
    """
    return None if options.data is None else data_named(options.data, _reading(options))


def _reading(options: argparse.Namespace) -> dict[str, Any]:
    names = ("size", "crop", "channels", "skip_broken")
    return {name: getattr(options, name) for name in names}


def _asked(options: argparse.Namespace) -> Asked:
    request = Request(
        str(options.runs[0]),
        options.network,
        options.network_arguments,
        options.weights,
        options.attribute,
        options.key,
    )
    given = Given(options.mean, options.std, options.outputs, channels=options.channel_order)
    view = None if options.view_from is None else dotted(options.view_from)
    return Asked(request, options.data, _reading(options), given, view, options.folder)
