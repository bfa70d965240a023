"""The options of `evaluate` for a network or images from elsewhere, read before torch is there."""

import argparse
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

from robust.errors import ConfigError
from robust.loading.data_sources import check_source
from robust.loading.parsing.fractions import flag_value
from robust.loading.pretrained.source import is_network, source_of
from robust.loading.short_names import check_exists
from robust.vocabulary import Channels, Outputs

MORE = {
    "network": "or a function that builds it",
    "network.KEY": "an argument of that class",
    "weights": "weights of a network of torchvision or timm",
    "attribute": "part of it that is the network, such as model of a Lightning module",
    "key": "where in the file its weights are, such as state_dict.0, if it has several networks",
    "data": "of runs instead of their own; `robust list data` shows all",
    "mean": "of its normalization, in pixels of [0, 1]: one number, or one for each channel",
    "std": "as --mean; without both, no normalization",
    "outputs": "logits, log_probabilities or probabilities; default: found by a look at some",
    "channel_order": "rgb or bgr, as it was trained with; default: rgb",
    "size": "to which it is resized",
    "crop": "side of the square in the middle that is kept; default: --size",
    "channels": "1 or 3: reads image files in grey or in colour; default: as the first ones are",
    "skip_broken": "leave out image files that cannot be used",
    "view_from": "class that takes the network, predicts like it and has a better gradient: its "
    "adaptive view; `auto` is --adaptive auto",
}
"""What ``--help-all`` says of each option; ``--help`` has no room for them."""
_OF_NETWORKS = (*("network", "weights", "attribute", "key", "mean", "std", "outputs", "view_from"),)
"""Options that a run of its own has no use for."""
_READING = ("size", "crop", "channels")
_HIDDEN: dict[str, Any] = {"help": argparse.SUPPRESS}


def add_to(add: Callable[..., Any]) -> None:
    """Add the options to a group of a parser."""
    add("--network", metavar="CLASS", help="class whose weights RUN is: mymodels:CNN")
    add("--network.KEY", metavar="VALUE", **_HIDDEN)
    add("--weights", type=Path, metavar="FILE", **_HIDDEN)
    add("--attribute", metavar="NAME", **_HIDDEN)
    add("--key", metavar="KEY", **_HIDDEN)
    add("--data", metavar="NAME", help="images, such as mnist or imagefolder:DIR")
    add("--mean", type=_number, nargs="+", metavar="X", **_HIDDEN)
    add("--std", type=_number, nargs="+", metavar="X", **_HIDDEN)
    add("--outputs", choices=get_args(Outputs), metavar="KIND", **_HIDDEN)
    add("--channel-order", choices=get_args(Channels), default="rgb", **_HIDDEN)
    add("--size", type=int, metavar="N", help="pixels of the shorter side of their files")
    for name in ("--crop", "--channels"):
        add(name, type=int, metavar="N", **_HIDDEN)
    add("--skip-broken", action="store_true", **_HIDDEN)
    add("--view-from", metavar="CLASS", **_HIDDEN)


def taken(
    arguments: Sequence[str], pattern: str = r"--network\.([A-Za-z_]\w*)"
) -> tuple[dict[str, Any], list[str]]:
    """Return the arguments of the network's class among those of a command, and all others.

    Args:
        arguments: Flags with their values, in one word or two.
        pattern: What such flags are, with their key.

    Raises:
        ConfigError: If one has no value, or a value that is no YAML.
    """
    found: dict[str, Any] = {}
    others: list[str] = []
    words = iter(arguments)
    for word in words:
        flag, equals, value = word.partition("=")
        key = re.fullmatch(pattern, flag)
        if key is None:
            others.append(word)
            continue
        text = value if equals else next(words, None)
        if text is None or text.startswith("--"):
            raise ConfigError(f"Expected a value after {flag}, but got none. Give one.")
        found[key[1]] = flag_value(text, flag)
    return found, others


def settle(options: argparse.Namespace) -> None:
    """Say in the options whether they are of a network, and where its run goes.

    With images alone they are of a network, too, unless each place is a run's.

    Raises:
        ConfigError: If they are of a network and of runs.
    """
    if options.view_from == "auto":  # as Python's call has it
        options.view_from, options.adaptive = None, "auto"
    given = any(getattr(options, name) is not None for name in _OF_NETWORKS)
    own = any(is_network(str(run)) for run in options.runs)
    weights = options.data is not None and not all(map(_may_be_run, options.runs))
    options.is_network = bool(given or own or weights or options.network_arguments)
    options.folder = None
    if not options.is_network:
        return
    if len(options.runs) > 1:
        raise ConfigError(
            f"Expected one network, but got {len(options.runs)} places. Evaluate one after the "
            "other; `robust evaluate RUN RUN` then compares their runs."
        )
    if options.output is not None and not options.output.suffix:
        options.folder, options.output = options.output, None


def check_there(options: argparse.Namespace) -> None:
    """Raise unless the files of a network are there, and what it is evaluated on is named.

    Raises:
        ConfigError: With what is missing.
    """
    if not options.is_network:
        _check_data_of_runs(options)
        return
    _check_no_run(options)
    source = source_of(str(options.runs[0]))
    if source.kind == "weights" and options.network is None:
        raise ConfigError(
            f"Expected the class whose weights are in {options.runs[0]}, but got none. Give it "
            "with --network, such as --network mymodels:CNN."
        )
    if options.weights is not None:
        check_exists(options.weights, "a file of weights")
    if options.data is None:
        raise ConfigError(
            "Expected images to attack the network on, but got none. Name them with --data, such "
            "as --data mnist; `robust list data` shows all."
        )
    check_source(options.data)


def _check_no_run(options: argparse.Namespace) -> None:
    """Raise if a run folder, which has its network, is given another."""
    given = [name for name in _OF_NETWORKS if getattr(options, name) is not None]
    given = given or ["network.KEY"]
    for run in options.runs:
        if os.path.isdir(run / "checkpoints"):
            raise ConfigError(
                f"Expected a network from elsewhere for --{given[0].replace('_', '-')}, but got "
                f"the run {run}, which has its own. Leave it out."
            )


def _may_be_run(path: Path) -> bool:
    """Return whether a place is a run's: a folder, a checkpoint, or one on a server."""
    named = str(path)
    return named.startswith("wandb:") or path.suffix in ("", ".ckpt") or path.is_dir()


def _check_data_of_runs(options: argparse.Namespace) -> None:
    """Raise unless the images on which runs are attacked, if others than their own, are there."""
    reading = [name for name in _READING if getattr(options, name) is not None]
    reading += ["skip_broken"] if options.skip_broken else []
    if options.data is None and reading:
        raise ConfigError(
            f"Expected --data beside --{reading[0].replace('_', '-')}, but got none: a run reads "
            "its own images as in its training. Name others with --data."
        )
    if options.data is None:
        return
    if options.robustness:
        raise ConfigError(
            "Expected no --data with --robustness, which measures distances to the images of the "
            "training, but got one. Leave it out."
        )
    check_source(options.data)


def _number(text: str) -> float:
    value = flag_value(text, "--mean")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise argparse.ArgumentTypeError(f"expected a number such as 0.5 or 1/2, but got {text}")
    return float(value)
