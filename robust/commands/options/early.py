"""What is wrong with the arguments of a command, said before torch is imported."""

from collections.abc import Sequence

from robust.commands.options import dashboard, network, sweep, train
from robust.commands.options.evaluate import parse_options
from robust.loading.short_names import check_exists
from robust.loading.trust import taken


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
    for run in [*runs, *filter(None, [options.transfer_from])]:
        if not str(run).startswith("wandb:"):
            check_exists(run, "a run folder or a checkpoint")
    for file in filter(None, (options.suite, options.table)):
        check_exists(file)
