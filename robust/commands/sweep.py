"""The command `robust sweep NAME`, which runs a sweep file here."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console

from robust.commands.options.sweep import parse
from robust.commands.process import run_command
from robust.errors import ConfigError, in_short
from robust.io.names import printable
from robust.loading.parsing.parser import typed
from robust.loading.trust import FLAGS_OF_FILE, taken, trusting
from robust.sweep.command import check_command, check_parameters
from robust.sweep.display import Display, summarize
from robust.sweep.driver import Driver, Settings
from robust.sweep.file import SweepFile
from robust.sweep.process import Slot
from robust.sweep.search import Objectives
from robust.sweep.study import StorageError, Study

_POLL = 1.0


def sweep(args: Sequence[str] | None = None) -> int:
    """Run a sweep, or what of it is missing.

    Returns:
        The exit code: 0; 1 if a run failed; 2 after an error that the user can fix; 130 after
        Ctrl-C.
    """
    codes: list[int] = []
    arguments = list(sys.argv[1:] if args is None else args)
    return run_command(lambda: codes.append(_trusting(arguments))) or codes[0]


def _trusting(arguments: list[str]) -> int:
    """Run the sweep with what the user trusts, by ``--trust`` or by flags for train.py."""
    trusted, others = taken(arguments)
    options = parse(others)
    settings = _settings(options)
    with trusting([*trusted, *typed(settings.flags)]):
        return _sweep(options.file, settings, trust_command=options.trust_command)


def _sweep(path: Path, settings: Settings, *, trust_command: bool) -> int:
    file = SweepFile.read(path)
    if not trust_command or os.environ.get(FLAGS_OF_FILE):  # not if a sweep file says so
        check_command(file)
    check_parameters(file)
    settings = replace(settings, count=file.limit(settings.count))  # before anything is written
    file.command({key: 0 for key in file.keys})
    ways = Objectives.of_file(file, pareto=settings.pareto).directions
    identity = {**file.identity, **settings.identity}
    folder = settings.root / file.name
    study = Study(folder, file.space, identity, ways, settings.storage)
    try:
        with Display(Console(stderr=True, markup=False, emoji=False)) as display:
            driver = Driver(file, study, settings, display)
            driver.run()
        return _conclude(driver)
    except StorageError as error:
        raise ConfigError(
            f"Expected to go on, but the database of --storage fails ({in_short(error)}); the runs "
            "were ended. Fix that, and the same command goes on."
        ) from None
    except OSError as error:
        raise ConfigError(
            f"Expected to go on, but cannot ({error.strerror}: {error.filename}); the runs were "
            "ended. Fix that, and the same command goes on."
        ) from None
    finally:
        study.close()


def _conclude(driver: Driver) -> int:
    summary = summarize(driver)
    summary.write(driver.folder)
    summary.grid().print()
    print(f"Files of this sweep: {printable(driver.folder)}")
    if driver.interrupts:
        print("Interrupted: the same command goes on.", file=sys.stderr)
        return 130
    if driver.gave_up:
        print(
            f"Ended after {driver.settings.failures} failed runs in a row; their output is in "
            f"{driver.folder}/ID/log.txt, and --retry runs them again.",
            file=sys.stderr,
        )
    return int(any(trial.state == "failed" for trial in driver.trials))


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(
        root=options.root,
        slots=options.slots or _default_slots(options.workers),
        count=options.count,
        failures=options.max_failures,
        flags=options.flags,
        retry=options.retry,
        pareto=options.pareto,
        sampler=options.sampler,
        seed=options.seed,
        storage=options.storage,
        poll=_POLL,
    )


def _default_slots(workers: int | None) -> list[Slot]:
    if workers is not None:
        return [Slot(str(n)) for n in range(workers)]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(
        map(str, range(torch.cuda.device_count()))
    )
    return [Slot(f"gpu:{device}", device) for device in visible.split(",") if device] or [Slot("0")]
