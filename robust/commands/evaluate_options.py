"""The options of `evaluate.py`."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from robust.commands.options_parser import OneLineParser
from robust.errors import ConfigError
from robust.loading.fractions import flag_value
from robust.tracking import Processes
from robust.types import View

Picture = Literal["confidence", "features", "progress", "recalled", "transformed"]
"""What `evaluate.py --draw` knows."""


def parse_options(args: Sequence[str] | None) -> argparse.Namespace:
    """What `evaluate.py` is to do; ``model`` holds arguments of the defenses that differ now.

    Raises:
        ConfigError: If ``--devices`` does not fit the processes that were started.
    """
    parser = OneLineParser(
        allow_abbrev=False,
        description="Attack trained runs and print how they compare. Records are kept beside each "
        "checkpoint; what is on record is not attacked again.",
        epilog="With --report FOLDER... instead of runs: a page that compares what is on record; "
        "see evaluate.py --report runs --help.",
    )
    parser.add_argument("runs", nargs="+", type=Path, help="run folders or checkpoints")
    parser.add_argument("--suite", type=Path, help="a file of configs/suites")
    parser.add_argument("--table", type=Path, help="a file of configs/tables, with its own suite")
    parser.add_argument(
        "--loose",
        action="store_true",
        help="with --table: also runs of another network or of other epochs than the paper's, "
        'which the table then says under "does not match"',
    )
    parser.add_argument(
        "--view",
        nargs="+",
        choices=get_args(View),
        metavar="VIEW",
        help=("views to attack through, of deployed, published and adaptive; default: the suite's"),
    )
    parser.add_argument("--limit", type=int, help="number of test images; default: the suite's")
    parser.add_argument(
        "--devices",
        type=int,
        help="processes or GPUs; default: those that torchrun or srun started, else 1",
    )
    parser.add_argument(
        "--transfer-from",
        type=Path,
        metavar="RUN",
        help="craft on this run's net instead, through its adaptive view; for --table, published",
    )
    parser.add_argument(
        "--figures",
        action="store_true",
        help="draw loss surfaces, scores and accuracy against eps, after the tables; one that "
        "cannot be drawn is left out with a note",
    )
    parser.add_argument(
        "--grid",
        metavar="ATTACK",
        help="draw what an attack of the suite makes of a few images, in all runs; of some that "
        "differ in eps, such as pgd_0.1 and pgd_0.2, pgd takes the smallest that is enough",
    )
    parser.add_argument(
        "--images",
        type=int,
        default=5,
        metavar="N",
        help="how many images --grid draws; more than the default of 5 without what changed",
    )
    parser.add_argument(
        "--lipschitz",
        action="store_true",
        help="print operator norms of the layers; needs no suite",
    )
    parser.add_argument(
        "--draw",
        nargs="+",
        default=[],
        choices=get_args(Picture),
        metavar="PICTURE",
        help="pictures that need no suite: confidence over the plane of runs on configs/toy; "
        "features of two classes, clean and adversarial; "
        "progress, accuracy per epoch; recalled images; transformed, images before and after a "
        "transform",
    )
    parser.add_argument(
        "--robustness",
        action="store_true",
        help="print relative minimal perturbations, their distance to the training set, and the "
        "sensitivity of the loss, through --view; needs no suite",
    )
    parser.add_argument(
        "--certify",
        type=_number,
        metavar="SIGMA",
        help="print accuracy certified by randomized smoothing with this noise; needs no suite; "
        "default of --limit: 200",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write Markdown here")
    parser.add_argument(
        "--attacks", nargs="+", metavar="NAME", help="only these of the suite, such as 'bim_*'"
    )
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="checkpoints and suites may name classes of this package, too; or a pyproject.toml "
        "that says which; see docs/untrusted-files.md",
    )
    parser.add_argument("--model.KEY", metavar="VALUE", help="another argument of the defenses")
    options, unknown = parser.parse_known_args(args)
    if options.images < 1:
        parser.error(f"expected --images to be at least 1, but got {options.images}")
    options.processes = _processes(options.devices)
    options.model = {}
    for argument in unknown:
        found = re.fullmatch(r"--model\.([a-z_]+)=(.+)", argument)
        if found is None:
            parser.error(
                f"unrecognized argument {argument}; arguments of a defense are written "
                "--model.KEY=VALUE"
            )
        options.model[found[1]] = flag_value(found[2], f"--model.{found[1]}")
    if options.suite is None and options.table is None:
        needing = [flag for flag in ("figures", "grid") if getattr(options, flag)]
        flags = options.lipschitz, options.robustness, options.draw
        alone = any(flags) or options.certify is not None
        if needing or not alone:
            parser.error("expected --suite or --table, but got neither; see configs/suites")
    return options


def _number(text: str) -> float:
    value = flag_value(text, "--certify")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise argparse.ArgumentTypeError(f"expected a number such as 0.25 or 1/4, but got {text}")
    return float(value)


def _processes(devices: int | None) -> Processes:
    launched = Processes.launched()
    if launched is None:
        return Processes(1 if devices is None else devices, nodes=1)
    if devices not in (None, launched.devices):
        raise ConfigError(
            f"Expected the processes that torchrun or srun started, {launched.devices} on each of "
            f"{launched.nodes} nodes, but got --devices {devices}. Leave it out."
        )
    return launched
