"""The verdict on each defense of ``configs/`` for MNIST.

    python benchmarks/verdicts.py [--defense ibol] [--norm L2] [--limit 100] -o verdicts.md

Each is trained shortly and kept (`truth_networks.py`), and attacked by a suite with its evidence.
What is on record is not attacked again.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from controls import adaptive_score
from truth_networks import SmallCNN, names, trained, usual_eps

import robust
from robust.results.cells import Cell, Grid
from robust.results.evidence.nine import nine
from robust.results.evidence.tables import NOT_MEASURED
from robust.results.result import Result
from robust.results.signs import threat_models, worst
from robust.results.verdict import trials_of


def raised(result: Result) -> str:
    """Return the names of the signs of masking that are raised."""
    found = [
        sign.name
        for _, part in threat_models(result.evaluation)
        if (trials := trials_of(part)) is not None
        for sign in nine(part, trials)
        if sign.raised
    ]
    return ", ".join(found) or "none"


def row(name: str, options: argparse.Namespace) -> list[object]:
    """Return what the suite says of one defense."""
    trained(name, options.kept, options.batches)
    start, eps = time.process_time(), usual_eps(name, options.norm)
    run = robust.load(options.kept / name / "a", trust=SmallCNN.__module__)
    asked = {"eps": eps, "norm": options.norm, "evidence": "quick", "progress": False}
    result = run.evaluate(options.suite, limit=options.limit, **asked)
    seconds = time.process_time() - start
    rates = [worst(result.evaluation, view) for view in ("deployed", "adaptive")]
    score = adaptive_score(result)
    found = Cell.from_rate(score) if score.n else NOT_MEASURED
    numbers = [*map(Cell.from_rate, rates), found]
    budget = f"{options.norm} {eps:g}"
    return [name, budget, *numbers, result.verdict.word, raised(result), f"{seconds:.0f}"]


def options_of(args: Sequence[str] | None) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--defense", nargs="+", choices=names(), default=names())
    parser.add_argument("--norm", choices=["Linf", "L2"], default="Linf")
    parser.add_argument("--suite", default="quick")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--batches", type=int, default=100, help="of an epoch of the training")
    parser.add_argument("--kept", type=Path, default=Path("runs/truth"))
    parser.add_argument("-o", "--output", type=Path, help="file of the table in Markdown")
    return parser.parse_args(args)


def main(args: Sequence[str] | None = None) -> None:
    """Print a line for each defense as it comes, then the table."""
    options, rows = options_of(args), []
    for name in options.defense:
        rows.append(row(name, options))
        print(*map(str, rows[-1]), sep="  ", flush=True)
    header = ["defense", "eps", "deployed", "adaptive", "unit test", "verdict", "signs raised"]
    notes = [
        f"Suite {options.suite}, n = {options.limit}, seed 0. Robust accuracy by view, with 95 % "
        "Wilson intervals; the unit test is of the adaptive view; seconds of one core.",
    ]
    grid = Grid("Verdicts on defenses, in %", [*header, "seconds"], rows, notes)
    grid.print()
    if options.output:
        options.output.write_text(grid.markdown())


if __name__ == "__main__":
    main()
