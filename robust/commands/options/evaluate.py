"""The options of `evaluate.py`, which are read before torch is imported."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from robust.commands.options import gate, network
from robust.commands.options.parser import OneLineParser
from robust.io.names import check_name
from robust.io.text_files import expanded
from robust.loading.parsing.fractions import flag_value
from robust.loading.short_names import Kind, find
from robust.vocabulary import AskedEvidence, Norm, View

Figure = Literal["confidence", "features", "progress", "recalled", "transformed"]
"""What `evaluate.py --draw` knows."""
DEFAULT_SUITE = "quick"
"""The suite where neither a suite, a table nor anything else to do is given."""

_MORE = {
    **network.MORE,
    "runs": "that is weights with --network CLASS, a program, an ONNX file, timm:NAME, "
    "torchvision:NAME or hf:PATH; or wandb:entity/project/run",
    "suite": "or a path; `robust list suites` shows all; what is on record is not attacked again",
    "table": "or a path; the suite is the table's own; `robust list tables` shows all",
    "attacks": "names or patterns such as 'bim_*'",
    "view": "of deployed, published and adaptive; default: the suite's",
    "adaptive": "looks for what hides the gradient of any network or defense, and attacks its "
    "adaptive view through what shows it, too",
    "evidence": "the attack unit test, and signs of masking on a few images; "
    "default: the suite's, else $ROBUST_EVIDENCE, else quick",
    "eps": "of the suite, for all attacks that have no threat model of their own",
    "norm": "as --eps; attacks that do not bound it are left out",
    "limit": "default: the suite's; for --certify, 200",
    "transfer_from": "through its adaptive view; for --table, published",
    "loose": "of another network or of other epochs, which the table then says under "
    '"does not match"',
    "robustness": "and their distance to the training set, and the sensitivity of the loss, "
    "through --view",
    "certify": "by randomized smoothing with this noise",
    "attack_unit_test": "attack unit test of a suite, tried on 64 test images or --limit, through "
    "--view; --eps, --norm and --attacks change it as a suite",
    "features": "layer whose input are the features of the attack unit test; default: the last "
    "linear layer",
    "figures": "after the tables; one that cannot be plotted is left out with a note",
    "grid": "in all runs; of some that differ in eps, such as pgd_0.1 and pgd_0.2, pgd takes the "
    "smallest that is enough",
    "images": "more than the default of 5 without what changed",
    "draw": "confidence over the plane of runs on configs/toy; features of two classes, clean and "
    "adversarial; progress, accuracy per epoch; recalled images; transformed, images before and "
    "after a transform",
    "devices": "default: those that torchrun or srun started, else 1",
    "against": "paired difference of each run from this one, image by image, with McNemar's test",
    "twin": "as --against, from the undefended network of the same data, architecture, seed and "
    "epochs, which is trained if it is not there",
    "keep": "successes of the first N images, or all, that `robust verify` scores again; "
    "default: 64, or fewer of large images",
    "results": "numbers of --table go into this CSV, as those of that command; "
    "papers/PAPER/results.csv is made by `robust reproduce`",
    **gate.MORE,
    "trust": "or of a pyproject.toml that says which; see docs/untrusted-files.md",
}
_MODEL_KEY = r"--model\.([a-z_]\w*(?:\.[a-z_]\w*)*)"
"""Such as ``--model.temperature``, or ``--model.transform.seed`` of the class that is there."""
_Add = Callable[..., Any]


def parse_options(args: Sequence[str] | None) -> argparse.Namespace:
    """What `evaluate.py` is to do; ``model`` holds arguments of the defenses that differ now.

    Args:
        args: The command line after the program.

    Raises:
        ConfigError: If a short name or the user of a home folder is unknown, or an argument of a
            defense is no YAML.
    """
    parser = evaluate_parser()
    arguments, others = network.taken(sys.argv[1:] if args is None else args)
    model, others = network.taken(others, _MODEL_KEY)
    options, unknown = parser.parse_known_args(others)
    options.model = model
    options.network_arguments = arguments
    if options.output is not None:
        options.output = expanded(options.output)
    network.settle(options)
    if options.images < 1:
        parser.error(f"expected --images to be at least 1, but got {options.images}")
    for argument in unknown:
        parser.error(
            f"unrecognized arguments: {argument}; those of a defense are written --model.KEY=VALUE."
        )
    if options.table is not None and (options.eps, options.norm) != (None, None):
        parser.error("--eps and --norm change a suite, but --table has those of its paper.")
    _settle_results(parser, options)
    if options.twin and options.against is not None:
        parser.error("--twin compares with an undefended twin, --against with a run. Give one.")
    gate.settle(options)
    options.suite, options.table = _file(options.suite, "suite"), _file(options.table, "table")
    options.attack_unit_test = _file(options.attack_unit_test, "suite")
    options.by_default = options.suite is None and options.table is None and _attacks(options)
    if options.by_default:
        options.suite = find(DEFAULT_SUITE, "suite")
    if options.features is not None and not _is_tested(options):
        parser.error("--features names a layer for the attack unit test, which is not asked for.")
    return options


def _settle_results(parser: OneLineParser, options: argparse.Namespace) -> None:
    """Check that numbers of a table go to a file, with a command of one line."""
    if options.results is None:
        return
    path, command = options.results
    if options.table is None:
        parser.error("--results keeps the numbers of a table, but there is no --table.")
    check_name("the command of --results", command)
    options.results = (expanded(Path(path)), command)


def _is_tested(options: argparse.Namespace) -> bool:
    """Return whether the attack unit test may run."""
    attacked = options.suite is not None or options.table is not None
    return options.attack_unit_test is not None or (attacked and options.evidence != "none")


def _file(name: str | None, kind: Kind) -> Path | None:
    return None if name is None else find(name, kind)


def _attacks(options: argparse.Namespace) -> bool:
    """Whether there is something to do that needs attacks, or nothing else to do."""
    if options.figures or options.grid:
        return True
    if options.attack_unit_test is not None:
        return False  # which all that changes a suite may be for
    alone = options.lipschitz or options.robustness or options.draw or options.certify is not None
    changed = options.eps is not None or options.norm is not None
    return bool(options.attacks or changed or not alone)


def evaluate_parser() -> OneLineParser:
    """Return the parser of `robust evaluate`."""
    parser = OneLineParser(
        prog="evaluate.py" if sys.argv[0].endswith("evaluate.py") else "robust evaluate",
        more=_MORE,
        usage="%(prog)s RUN... [options]; or NETWORK --data NAME [options]",
        description="Attack trained runs and compare them. For a page of runs: --report FOLDER...",
    )
    add = parser.add_argument_group("what to attack").add_argument
    named = "run folder, checkpoint; or a network, see --help-all"
    add("runs", nargs="+", type=Path, metavar="RUN", help=named)
    network.add_to(add)
    _add_attacks(parser.add_argument_group("attacks").add_argument)
    _add_measures(parser.add_argument_group("measures, which need no suite").add_argument)
    _add_figures(parser.add_argument_group("figures").add_argument)
    _add_rest(parser.add_argument_group("run").add_argument)
    _add_evidence(parser.add_argument)
    for action in parser._actions:
        if {"-h", "--help-all"} & set(action.option_strings):
            action.help = argparse.SUPPRESS  # the usage says both, and lines are few
    return parser


def _add_attacks(add: _Add) -> None:
    add("--suite", metavar="NAME", help=f"suite of attacks; default: {DEFAULT_SUITE}")
    add("--table", metavar="NAME", help="table of a paper beside our numbers")
    add("--loose", action="store_true", help="with --table: also runs that do not match")
    add("--attacks", nargs="+", metavar="NAME", help="only these of the suite")
    add("--eps", type=_eps, metavar="EPS", help="radius of the threat model, such as 8/255")
    norms = get_args(Norm)
    add("--norm", choices=norms, metavar="NORM", help=f"its norm: {', '.join(norms)}")
    choices = get_args(View)
    add("--view", nargs="+", choices=choices, metavar="VIEW", help="views to attack through")
    add("--adaptive", choices=["auto"], metavar="auto", help="look for further adaptive views")
    levels = get_args(AskedEvidence)
    add(
        "--evidence",
        choices=levels,
        metavar="LEVEL",
        help="what is tried beside: quick, full, none",
    )
    add("-n", "--limit", type=int, metavar="N", help="number of test images")
    add("--transfer-from", type=Path, metavar="RUN", help="craft on this run's network instead")


def _add_measures(add: _Add) -> None:
    add("--robustness", action="store_true", help="relative minimal perturbations")
    add("--certify", type=_sigma, metavar="SIGMA", help="certified accuracy")
    add("--lipschitz", action="store_true", help="operator norms of the layers")
    # `robust measure attack_unit_test` has a help of its own.
    add("--attack-unit-test", metavar="NAME", help=argparse.SUPPRESS)
    add("--features", metavar="NAME", help=argparse.SUPPRESS)


def _add_figures(add: _Add) -> None:
    add("--figures", action="store_true", help="loss surfaces, scores, accuracy against eps")
    add("--grid", metavar="ATTACK", help="what an attack makes of a few images")
    add("--images", type=int, default=5, metavar="N", help="how many images --grid shows")
    choices = ", ".join(get_args(Figure)[:3])
    add(
        "--draw",
        nargs="+",
        default=[],
        choices=get_args(Figure),
        metavar="NAME",
        help=f"{choices} and more; needs no suite",
    )


def _add_rest(add: _Add) -> None:
    add("--devices", type=int, metavar="N", help="processes or GPUs")
    add("--output", type=Path, metavar="FILE", help="also write Markdown here")
    trust: dict[str, Any] = {"action": "append", "default": [], "metavar": "PACKAGE"}
    add("--trust", **trust, help="files may name classes of this package, too")
    add("--model.KEY", metavar="VALUE", help="another argument of the defenses")


def _add_evidence(add: _Add) -> None:
    """Add what --help-all explains."""
    add("--against", type=Path, metavar="RUN", help=argparse.SUPPRESS)
    add("--twin", action="store_true", help=argparse.SUPPRESS)
    add("--results", nargs=2, metavar=("FILE", "COMMAND"), help=argparse.SUPPRESS)
    add("--keep", type=_keep, default="usual", metavar="N|all", help=argparse.SUPPRESS)
    gate.add_to(add, hidden=True)


def _eps(text: str) -> float:
    return _number(text, "--eps")


def _sigma(text: str) -> float:
    return _number(text, "--certify")


def _keep(text: str) -> int | Literal["all", "usual"]:
    """Return how many images are kept."""
    words: dict[str, Literal["all", "usual"]] = {"all": "all", "usual": "usual"}
    if text in words:
        return words[text]
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number such as 64, or all, but got {text}")
    return int(text)


def _number(text: str, flag: str) -> float:
    value = flag_value(text, flag)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise argparse.ArgumentTypeError(f"expected a number such as 0.25 or 1/4, but got {text}")
    return float(value)
