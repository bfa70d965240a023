"""What is wrong with the arguments of a command, said before torch is imported."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from robust.commands.options import dashboard, network, sweep, train
from robust.commands.options.evaluate import parse_options
from robust.commands.options.suite_eps import check_has_eps
from robust.errors import ConfigError, check_eps
from robust.io.names import chosen
from robust.io.strict_yaml import read
from robust.loading.short_names import check_exists
from robust.loading.trust import taken
from robust.results.run_folder import find_checkpoint
from robust.vocabulary import Norm


def check(command: str, args: Sequence[str]) -> None:
    """Raise for, or print and exit with, what is wrong as far as it shows without torch.

    Args:
        command: A module of `robust.commands`.
        args: Its arguments.

    Raises:
        ConfigError: If a subcommand, flag, short name or file is unknown.
    """
    if command == "train":
        train.check(taken(args)[1])
    elif command == "evaluate":
        _check_evaluation(args)
    elif command == "sweep":
        sweep.check(list(args))
    elif command == "dashboard":
        dashboard.parse(args)


def _check_evaluation(args: Sequence[str]) -> None:
    options = parse_options(args)
    network.check_there(options)
    runs = [] if options.is_network else options.runs
    for run in [*runs, *filter(None, [options.transfer_from, options.against])]:
        if not str(run).startswith("wandb:"):
            check_exists(run, "a run folder or a checkpoint")
    for file in filter(None, (options.suite, options.table, options.attack_unit_test)):
        check_exists(file)
    for suite in filter(None, (options.suite, options.attack_unit_test)):
        check_has_eps(options, suite)
        if options.attacks is not None:
            _check_attacks(suite, options.attacks)
        if options.eps is not None:
            check_eps(options.norm or _norm_of(suite), options.eps)
    for run in [*runs, *filter(None, [options.against])]:
        if not str(run).startswith("wandb:"):
            find_checkpoint(Path(run))


def _check_attacks(suite: Path, patterns: Sequence[str]) -> None:
    attacks = _content(suite).get("attacks")
    if isinstance(attacks, dict) and attacks and all(isinstance(name, str) for name in attacks):
        chosen(attacks, patterns)


def _norm_of(suite: Path) -> str:
    """Return the norm of a suite, or nothing where that is found out when it is built."""
    content = _content(suite)
    if not content or "class_path" in content:
        return ""
    threat_model = content.get("threat_model", {})
    is_mapping = isinstance(threat_model, dict)
    return str(threat_model.get("norm", get_args(Norm)[0])) if is_mapping else ""


def _content(suite: Path) -> dict[Any, Any]:
    """The content of a suite; nothing where something is wrong with it that is said later."""
    try:
        content = read(suite)
    except (ConfigError, OSError):
        return {}
    return content if isinstance(content, dict) else {}
