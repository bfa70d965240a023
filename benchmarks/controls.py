"""Verdicts on networks that hide their gradient, and on some that do not: `make controls`.

None that hides may read `no masking seen` with a robust accuracy of more than 5 points above what
the strongest attack finds. None that is sound may be accused. The strongest attack knows the
network: it climbs the logits before what hides them. It is judged by the network as deployed.
A line follows for each rule that does not hold, and the exit code is 1.

    python benchmarks/controls.py --suite quick strong --limit 100 -o controls.md
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from control_networks import Control, controls

import robust
from robust.attacks import PGD, craft
from robust.results.cells import Cell, Grid
from robust.results.rates import Rate
from robust.results.signs import worst
from robust.results.verdict import Verdict

ALLOWED = ("no masking seen", "not robust", "too few images")
"""Verdicts that accuse no network."""
MASKED = 0.05
"""Robust accuracy that `no masking seen` may have above what the strongest attack finds."""


class Judged(NamedTuple):
    """What one suite says of a control."""

    name: str
    hides: bool
    suite: str
    robust: Rate
    """Under all attacks of the suite, through the adaptive view."""
    strongest: float
    """The least that any attack left, of any suite."""
    unit_test: Rate
    verdict: Verdict
    seconds: float
    """Of one core."""

    def faults(self) -> Iterator[str]:
        """Yield each rule that does not hold."""
        word, more = self.verdict.word, self.robust.value - self.strongest
        if self.hides and word == "no masking seen" and more > MASKED:
            yield f"{self.name} under {self.suite}: {word}, but {100 * more:.1f} points are hidden"
        if not self.hides and word not in ALLOWED:
            yield f"{self.name} under {self.suite} hides nothing, but the verdict is {self.verdict}"

    def cells(self) -> list[object]:
        """Return a row of the table."""
        numbers = Cell.from_rate(self.robust), f"{100 * self.strongest:.1f}"
        rest = Cell.from_rate(self.unit_test), self.verdict.word, f"{self.seconds:.0f}"
        return [self.name, "yes" if self.hides else "no", self.suite, *numbers, *rest]


def strongest(control: Control, data: robust.ImageDataModule, limit: int) -> float:
    """Return the robust accuracy under PGD on the logits, judged by the network."""
    x, y, _ = data.test_samples(0, limit)
    judge, budget = control.network.eval(), control.budget
    attack = lambda view: PGD(  # noqa: E731
        view, budget.eps, steps=50, norm=budget.norm, restarts=3, loss="margin"
    )
    x_adv = craft(attack, control.logits.eval(), x, y, judge=judge).x_adv
    with torch.no_grad():
        right = (judge(x).argmax(dim=1) == y) & (judge(x_adv).argmax(dim=1) == y)
    return right.float().mean().item()


def judged(control: Control, name: str, suite: str, limit: int) -> Judged:
    """Return what a suite says of a control."""
    data, start = robust.ImageDataModule(control.data), time.process_time()
    result = robust.evaluate(
        control.network,
        data,
        suite,
        limit=limit,
        eps=control.budget.eps,
        norm=control.budget.norm,
        evidence="quick",
        progress=False,
    )
    seconds = time.process_time() - start
    left = min(worst(result.evaluation).value, strongest(control, data, limit))
    rate = worst(result.evaluation, "adaptive")
    score = adaptive_score(result)
    return Judged(name, control.hides, suite, rate, left, score, result.verdict, seconds)


def adaptive_score(result: robust.Result) -> Rate:
    """Return what the attack unit test found through the adaptive view, of no image if not run."""
    evidence = result.evaluation.evidence
    trials = next(iter(evidence.trials.values())) if evidence else None
    score = trials.scores.get("adaptive") if trials else None
    return score.found if score else Rate(0, 0)


def all_suites(name: str, suites: Sequence[str], limit: int, folder: Path) -> list[Judged]:
    """Return what suites say of a control, which is trained once; all know the strongest attack."""
    torch.manual_seed(0)
    control = controls(folder)[name]()
    found = [judged(control, name, suite, limit) for suite in suites]
    least = min(each.strongest for each in found)
    return [each._replace(strongest=least) for each in found]


def table(found: Sequence[Judged], limit: int) -> Grid:
    """Return the verdicts, and below them which rules do not hold."""
    header = ["control", "hides", "suite", "robust acc", "strongest", "unit test"]
    notes = [
        f"n = {limit}, seed 0, through the adaptive view; strongest: the least that any attack "
        "left; seconds of one core, with --evidence quick.",
        *(fault for each in found for fault in each.faults()),
    ]
    rows = [each.cells() for each in found]
    return Grid("Verdicts on controls, in %", [*header, "verdict", "seconds"], rows, notes)


def options_of(args: Sequence[str] | None) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", nargs="+", default=["quick"])
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--only", nargs="+", metavar="CONTROL", help="the names of some")
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread")
    parser.add_argument("--nets", type=Path, default=Path(__file__).parents[2] / "shared/nets")
    parser.add_argument("-o", "--output", type=Path, help="file of the table in Markdown")
    return parser.parse_args(args)


def main(args: Sequence[str] | None = None) -> int:
    """Print the table; 1 if a rule does not hold."""
    options = options_of(args)
    names = [n for n in controls(options.nets) if not options.only or n in options.only]
    work = partial(all_suites, suites=options.suite, limit=options.limit, folder=options.nets)
    found: list[Judged] = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, context, torch.set_num_threads, (1,)) as pool:
        for some in pool.map(work, names):
            found += some
            for each in some:
                print(*map(str, each.cells()), sep="  ", flush=True)
    grid = table(found, options.limit)
    grid.print()
    if options.output:
        options.output.write_text(grid.markdown())
    faults = [fault for each in found for fault in each.faults()]
    print(*faults or ["All rules hold."], sep="\n")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
