"""The CPU time of an evaluation is split into attacks, evidence, records and kept images.

    python benchmarks/evidence.py [--network 'Wong 0.1'] [--suite quick strong] [--limit 200]

Networks are those of `control_networks.py` that hide nothing, and the CNN of Tuna et al. 2022 on
digits, plain and squeezed: of what hides its gradient, evidence takes longest.

Evidence (``--evidence quick``) may take a tenth of the attacks, or 20 s if that is more. Records
may take 2 % of the attacks. Exit status 1 if a bound does not hold.
"""

import argparse
import functools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from control_networks import Control, controls

import robust
from robust.defenses.base import Defense
from robust.evaluation import callback
from robust.evaluation.evidence.stage import Stage
from robust.evaluation.kept.images import KeptImages
from robust.networks import TunaMnistCNN
from robust.results.cells import Content, Grid
from robust.results.record_files import RecordFile

EVIDENCE, RECORDS = (0.1, 20.0), (0.02, 0.0)
"""Share of the attacks that each may take, and seconds that it always may."""
CNN, SQUEEZED = "Tuna's CNN", "squeezed CNN"
_PARTS: dict[str, list[tuple[object, str]]] = {
    "attacks": [(callback, "attacked")],
    "evidence": [(Stage, "run")],
    "records": [(RecordFile, name) for name in ("read", "append", "merge", "kept_evidence")],
    "kept": [(KeptImages, "add"), (KeptImages, "merge")],
}


class Split(NamedTuple):
    """An evaluation of a network by a suite, in seconds of one core."""

    network: str
    suite: str
    n: int
    attacks: float
    evidence: float
    records: float
    kept: float
    """Adversarial images are scored again and kept."""

    def faults(self) -> Iterator[str]:
        """Yield which bound does not hold."""
        bounds = {"evidence": (self.evidence, EVIDENCE), "records": (self.records, RECORDS)}
        for part, (taken, (share, floor)) in bounds.items():
            most = max(share * self.attacks, floor)
            if taken > most:
                yield (
                    f"{self.network} under {self.suite}: {part} may take {most:.1f} s, but took "
                    f"{taken:.1f} s."
                )

    def cells(self) -> list[Content]:
        """Return a row of the table."""
        seconds = [f"{s:.2f}" for s in (self.attacks, self.evidence, self.records, self.kept)]
        shares = [f"{100 * s / self.attacks:.1f}" for s in (self.evidence, self.records, self.kept)]
        return [self.network, self.suite, str(self.n), *seconds, *shares]


@contextmanager
def clocks() -> Iterator[dict[str, float]]:
    """Sum up the CPU seconds of each part, until the context ends."""
    spent = dict.fromkeys(_PARTS, 0.0)

    def timed(part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(work)
        def call(*args: Any, **rest: Any) -> Any:  # noqa: ANN401
            start = time.process_time()
            try:
                return work(*args, **rest)
            finally:
                spent[part] += time.process_time() - start

        return call

    with ExitStack() as stack:
        for part, places in _PARTS.items():
            for owner, name in places:
                patch = mock.patch.object(owner, name, timed(part, getattr(owner, name)))
                stack.enter_context(patch)
        yield spent


def split(name: str, control: Control, suite: str, limit: int) -> Split:
    """Return how long the parts of an evaluation take."""
    data, budget = robust.ImageDataModule(control.data), control.budget
    asked = {"eps": budget.eps, "norm": budget.norm, "evidence": "quick", "progress": False}
    with clocks() as spent:
        robust.evaluate(control.network, data, suite, limit=limit, **asked)
    return Split(name, suite, limit, **spent)


def tuna_cnn(defense: Callable[[TunaMnistCNN], Defense] = robust.Standard) -> Control:
    """Return a defense of the network of Tuna et al. 2022, after four epochs on digits."""
    torch.manual_seed(0)
    defended = defense(TunaMnistCNN())
    robust.fit(defended, robust.ImageDataModule("digits"), 4, progress=False)
    return Control(defended, False, defended)


def networks(folder: Path) -> dict[str, Callable[[], Control]]:
    """Return what makes each network; the certified ones only where there are files."""
    named = ("plain", "PGD-trained 0.1", "Wong 0.1", "Wong 0.3")
    cnns = {CNN: tuna_cnn, SQUEEZED: partial(tuna_cnn, robust.Squeezed)}
    return cnns | {n: make for n, make in controls(folder).items() if n in named}


def table(found: Sequence[Split]) -> Grid:
    """Return the parts of each evaluation, and below them which bounds do not hold."""
    header = ["network", "suite", "n", "attacks", "evidence", "records", "kept"]
    notes = [
        "Seconds of one core, then % of the attacks.",
        *(fault for each in found for fault in each.faults()),
    ]
    shares = ["evidence %", "records %", "kept %"]
    return Grid("What evidence costs", [*header, *shares], [s.cells() for s in found], notes)


def options_of(args: Sequence[str] | None) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", nargs="+", metavar="NAME", help="the names of some")
    parser.add_argument("--suite", nargs="+", default=["quick", "strong"])
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--nets", type=Path, default=Path(__file__).parents[2] / "shared/nets")
    parser.add_argument("-o", "--output", type=Path, help="file of the table in Markdown")
    return parser.parse_args(args)


def main(args: Sequence[str] | None = None) -> int:
    """Print a line for each evaluation as it comes, then the table; 1 if a bound does not hold."""
    options, found = options_of(args), list[Split]()
    torch.set_num_threads(1)
    for name, make in networks(options.nets).items():
        if options.network and name not in options.network:
            continue
        control = make()
        for suite in options.suite:
            found.append(split(name, control, suite, options.limit))
            print(*map(str, found[-1].cells()), sep="  ", flush=True)
    grid = table(found)
    grid.print()
    if options.output:
        options.output.write_text(grid.markdown())
    return int(any(fault for each in found for fault in each.faults()))


if __name__ == "__main__":
    sys.exit(main())
