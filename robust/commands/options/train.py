"""The flags of `robust train` and of `train.py`, without the classes that they configure."""

import argparse
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from robust.commands.options.parser import OneLineParser
from robust.errors import ConfigError
from robust.io.strict_yaml import read
from robust.loading.data_sources import check_source, data_arguments
from robust.loading.messages import nearest
from robust.loading.short_names import Kind, check_exists, find, known
from robust.loading.trust import shown

SUBCOMMANDS = ("fit", "validate", "test")
GROUPS = ("model", "data", "evaluation", "trainer", "run")
"""What dotted keys of `train.py` begin with."""
FLAGS = (
    *("--help", "--version", "--config", "--print_config", "--print_shtab", "--seed_everything"),
    *("--ckpt_path", "--verbose", "--trust", *(f"--{group}" for group in GROUPS)),
)
"""Flags of `train.py` without a dot."""
_NAMED: dict[str, Kind] = {
    "--config": "defense",
    "-c": "defense",
    "--data": "data",
    "--evaluation": "suite",
}
"""Flags that name a file."""


def with_paths(args: Sequence[str]) -> list[str]:
    """Return the arguments of `train.py` with paths for short names.

    Raises:
        ConfigError: If a short name is unknown.
    """
    found, before = [], ""
    for word in args:
        flag, equals, value = word.partition("=")
        named, images = (flag, value) if equals else (before, word)
        source = data_arguments(images) if named == "--data" else None
        if source is not None:
            found += source if equals else [source[0].partition("=")[2], source[1]]
        elif equals and flag in _NAMED:
            found.append(f"{flag}={_path(value, _NAMED[flag])}")
        else:
            found.append(_path(word, _NAMED[before]) if before in _NAMED else word)
        if named in ("--evaluation", "--config"):
            file = Path(found[-1].removeprefix(f"{named}="))
            found += _name_of_suite(file if named == "--evaluation" else _suite_of(file))
        before = word
    return found


def _suite_of(config: Path) -> Path | None:
    """Return the file of the suite that a config names, if it names one."""
    content = _content(config)
    suite = content.get("evaluation") if isinstance(content, Mapping) else None
    return config.parent / suite if isinstance(suite, str) else None


def _name_of_suite(file: Path | None) -> list[str]:
    """Return a flag that names a suite after its file, if the file does not; later ones win."""
    content = None if file is None else _content(file)
    if file is None or not isinstance(content, Mapping):
        return []
    is_named = "suite" in content or "attacks" not in content
    return [] if is_named else [f"--evaluation.suite={file.stem}"]


def _content(file: Path) -> object:
    """Return the content of a file; what is wrong with it is the parser's to explain."""
    try:
        return read(file) if file.suffix in (".yaml", ".yml") else None
    except (ConfigError, OSError, ValueError):
        return None


def _path(name: str, kind: Kind) -> str:
    """Return the file of a short name; a class of that name, such as `ImageDataModule`, stays."""
    is_class = kind == "data" and name[:1].isupper() and name not in known("data")
    if is_class or name == "null":
        return name
    path = find(name, kind)
    return name if path == Path(name) else str(path)


def check(args: Sequence[str]) -> None:
    """Raise for what is wrong with arguments of `train.py`, as far as it shows without its classes.

    Raises:
        ConfigError: If a subcommand, flag, short name or file is unknown.
    """
    if args and not args[0].startswith("-") and args[0] not in SUBCOMMANDS:
        raise ConfigError(
            f"Expected one of {', '.join(SUBCOMMANDS)}, but got {shown(args[0])!r}."
            f"{nearest(args[0], SUBCOMMANDS)}"
        )
    for word in args:
        if word.startswith("--") and not is_flag(word):
            flag = word.split("=")[0]
            raise ConfigError(f"Unknown key or flag {shown(flag)!r}.{nearest(flag, FLAGS)}")
    _check_files(with_paths(args))


def is_flag(word: str) -> bool:
    """Whether `train.py` may have a flag, which of a dotted one only its group says."""
    flag = word.split("=")[0]
    return flag in FLAGS or ("." in flag and flag[2:].split(".")[0] in GROUPS)


def _check_files(args: Sequence[str]) -> None:
    for word, after in zip(args, [*args[1:], ""], strict=True):
        flag, equals, value = word.partition("=")
        value = value if equals else after
        if flag == "--data.dataset":
            check_source(value)
        if flag in _NAMED and value.endswith((".yaml", ".yml")) and "://" not in value:
            check_exists(value)
        if flag == "--ckpt_path" and value.endswith(".ckpt") and ":" not in value:
            check_exists(value, "a checkpoint")


EPILOG = """examples:
  robust train squeezed --data fashion_mnist --epochs 2 --set model.temperature=50
  robust train adversarial_training --suite strong_mnist --limit 200 --id first

Every flag of `robust fit`, such as --trainer.precision=bf16-mixed, works here too.
"""


def translated(args: Sequence[str]) -> list[str]:
    """Return the arguments of `train.py` for those of `robust train`.

    Raises:
        ConfigError: If a defense, flag or setting is unknown.
    """
    if "--help-all" in args:
        return ["fit", "--help"]
    options, others = train_parser().parse_known_args(_joined(args))
    unknown = [word for word in others if not word.startswith("--") or not is_flag(word)]
    if unknown:
        raise _unknown(unknown[0].split("=")[0])
    settings = [_setting(text) for text in options.set]
    return ["fit", f"--config={find(options.defense, 'defense')}", *_given(options), *others] + [
        f"--{key}={value}" for key, value in settings
    ]


def _unknown(flag: str) -> ConfigError:
    if flag.startswith("-"):
        near = nearest(flag, [*train_parser().flags(), *FLAGS])
        return ConfigError(f"Unknown key or flag {shown(flag)!r}.{near}")
    kinds: dict[Kind, str] = {"data": "--data", "suite": "--suite"}
    of = [kinds[kind] for kind in kinds if flag in known(kind)] or ["--data"]
    return ConfigError(
        f"Expected one defense, but got {shown(flag)!r} too. Did you mean {of[0]} {shown(flag)}?"
    )


def _joined(args: Sequence[str]) -> list[str]:
    """Return arguments with ``--a.b value`` as ``--a.b=value``, as no value is a defense."""
    joined: list[str] = []
    own = train_parser().flags()
    for word in args:
        flag = joined[-1] if joined else ""
        takes = flag.startswith("--") and "=" not in flag and flag not in own and is_flag(flag)
        if takes and not word.startswith("--"):
            joined[-1] = f"{flag}={word}"
        else:
            joined.append(word)
    return joined


def _given(options: argparse.Namespace) -> list[str]:
    """Return the flags of `train.py` for those of ours that were given."""
    given = {key: vars(options)[dest] for dest, key in _KEYS.items()}
    given_once = [f"{key}={value}" for key, value in given.items() if value is not None]
    return given_once + [f"--trust={package}" for package in options.trust]


_KEYS = {
    "data": "--data",
    "size": "--data.size",
    "crop": "--data.crop",
    "channels": "--data.channels",
    "skip_broken": "--data.skip_broken",
    "suite": "--evaluation",
    "epochs": "--trainer.max_epochs",
    "limit": "--evaluation.limit",
    "name": "--run.name",
    "id": "--run.id",
    "root": "--run.root",
    "resume": "--run.resume",
    "seed": "--seed_everything",
    "devices": "--trainer.devices",
    "accelerator": "--trainer.accelerator",
}


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"\w+(\.\w+)+", key) or key.split(".")[0] not in GROUPS:
        near = nearest(key.split(".")[0], GROUPS)
        raise ConfigError(
            f"Expected --set with a KEY=VALUE such as model.temperature=50, but got "
            f"{shown(text)!r}.{near} Keys begin with {', '.join(GROUPS)}."
        )
    return key, value


def train_parser() -> OneLineParser:
    """Return the parser of `robust train`."""
    parser = OneLineParser(
        prog="robust train",
        usage="%(prog)s DEFENSE [options]",
        description="Train a defense, then attack it with its suite.",
        epilog=EPILOG,
    )
    _add(
        parser.add_argument_group("defense"),
        {
            "defense": "short name or config; `robust list defenses` shows all",
            "--set": "set keys of the config, such as model.temperature=50",
        },
    )
    _add(
        parser.add_argument_group("data"),
        {
            "--data": "short name, YAML file or images: imagefolder:DIR",
            "--size": "resize the shorter side of image files to so many pixels",
            "--crop": "keep the middle square of so many pixels; default: --size",
            "--channels": argparse.SUPPRESS,  # its help has no room for more; docs/data.md says it
            "--skip-broken": "leave out image files that cannot be used",
        },
    )
    _add(
        parser.add_argument_group("suite"),
        {"--suite": "short name or YAML file", "--limit": "number of test images to attack"},
    )
    _add(
        parser.add_argument_group("run"),
        {
            "--name": "name of the run; default: the config's",
            "--id": "tells runs of one name apart; default: the time",
            "--root": "folder of all runs; default: runs",
            "--resume": "auto: go on from the furthest checkpoint of this run",
            "--seed": "seed of all random numbers; default: 0",
            "--trust": "files may name classes of this package, too",
        },
    )
    _add(
        parser.add_argument_group("trainer"),
        {
            "--epochs": "number of epochs; default: the config's",
            "--devices": "number of processes or GPUs",
            "--accelerator": "cpu, gpu or auto",
        },
    )
    parser.add_argument("--help-all", action="store_true", help="show every flag of `robust fit`")
    return parser


_METAVARS = {"--set": "KEY=VALUE", "--resume": "auto", "--trust": "PACKAGE", "--root": "FOLDER"}
_LEAST = {"--limit": 1, "--epochs": -1, "--seed": 0, "--size": 1, "--crop": 1, "--channels": 1}
"""Numbers and their lower bounds; -1 epochs are those without end."""


def _at_least(least: int, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected an integer, but got {text[:20]}") from None
    if value < least:
        raise argparse.ArgumentTypeError(f"expected at least {least}, but got {text[:20]}")
    return value


def _add(group: Any, helps: dict[str, str]) -> None:  # noqa: ANN401 (argparse's group is private)
    for flag, text in helps.items():
        if flag == "defense":
            group.add_argument("defense", metavar="DEFENSE", help=text)
        elif flag == "--set":
            group.add_argument(
                flag, nargs="+", action="extend", default=[], metavar=_METAVARS[flag], help=text
            )
        elif flag == "--trust":
            group.add_argument(
                flag, action="append", default=[], metavar=_METAVARS[flag], help=text
            )
        elif flag == "--skip-broken":
            group.add_argument(flag, action="store_const", const="true", help=text)
        elif flag in _LEAST:
            at_least = partial(_at_least, _LEAST[flag])
            group.add_argument(flag, type=at_least, metavar="N", help=text)
        else:
            group.add_argument(flag, metavar=_METAVARS.get(flag, "NAME"), help=text)
