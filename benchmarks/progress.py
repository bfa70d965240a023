"""What the bar of an evaluation costs: the same attacks with it and without it, in turn.

    OMP_NUM_THREADS=1 python benchmarks/progress.py [--pairs 20] [--network cnn]

The network is untrained and the eps tiny, so that no image is misclassified and every pass counts.
The bar is that of a terminal of 80 columns. It may take 1 % of the CPU time. Exit status 1 if it
takes more. On a busy machine each pair differs by more than that, so take many.
"""

import argparse
import contextlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from rich.console import Console
from torchattacks.attack import Attack

import robust
from robust.attacks import PGD, Square, craft, sample_seeds
from robust.networks import TunaMnistCNN
from robust.results.cells import Grid
from robust.tracking.progress import Parts, beating
from robust.tracking.progress.displays import Bar

MOST = 0.01
"""Share of the CPU time that the bar may take."""
_N, _PASSES, _EPS = 100, 400, 1e-4
_ATTACKS: dict[str, Callable[[torch.nn.Module], Attack]] = {
    "pgd": lambda view: PGD(view, eps=_EPS, steps=_PASSES),
    "square": lambda view: Square(view, eps=_EPS, queries=_PASSES),
}
_NETWORKS: dict[str, Callable[[], torch.nn.Module]] = {"mlp": robust.MLP, "cnn": TunaMnistCNN}


class Cost(NamedTuple):
    """The CPU seconds of an attack in each pair."""

    attack: str
    shown: list[float]
    silent: list[float]

    @property
    def shares(self) -> list[float]:
        """Return what the bar adds in each pair, as a share of the attack."""
        return [a / b - 1 for a, b in zip(self.shown, self.silent, strict=True)]

    @property
    def share(self) -> float:
        """Return the median of the pairs."""
        return statistics.median(self.shares)


@contextlib.contextmanager
def bar(network: torch.nn.Module) -> Iterator[None]:
    """Show what an attack does, as an evaluation does in a terminal."""
    parts = Parts("benchmark", {"attack": _N})
    with (
        open(os.devnull, "w") as nowhere,
        Bar(Console(file=nowhere, force_terminal=True, width=80)) as shown,
        shown.of(parts.status),
        parts.part("attack", _N, _N, _PASSES),
        beating([network], parts.beat),
    ):
        yield


def seconds(attack: str, network: torch.nn.Module, *, shown: bool) -> float:
    """Return the CPU seconds of an attack on the first block.

    Args:
        attack: Its name.
        network: What is attacked.
        shown: Whether there is a bar.
    """
    x = torch.rand(_N, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = network(x).argmax(dim=1)
    start = time.process_time()
    with bar(network) if shown else contextlib.nullcontext():
        seeds = sample_seeds(0, torch.arange(_N))
        craft(_ATTACKS[attack], network, x, y, seed=0, sample_seeds=seeds)
    return time.process_time() - start


def measured(attack: str, network: torch.nn.Module, pairs: int) -> Cost:
    """Return the cost of an attack, with the bar first in every other pair."""
    seconds(attack, network, shown=True)  # what is loaded once
    cost = Cost(attack, [], [])
    for number in range(pairs):
        for shown in (number % 2 == 0, number % 2 == 1):
            (cost.shown if shown else cost.silent).append(seconds(attack, network, shown=shown))
    return cost


def main() -> None:
    """Print what the bar costs, and exit with 1 if that is too much."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--network", choices=_NETWORKS, default="cnn")
    options = parser.parse_args()
    torch.manual_seed(0)
    network = robust.Standard(_NETWORKS[options.network]()).eval()
    costs = [measured(attack, network, options.pairs) for attack in _ATTACKS]
    rows = [
        [
            cost.attack,
            f"{statistics.median(cost.silent):.2f}",
            f"{statistics.median(cost.shown):.2f}",
            f"{100 * cost.share:+.2f}",
            f"{100 * min(cost.shares):+.2f} to {100 * max(cost.shares):+.2f}",
        ]
        for cost in costs
    ]
    header = ["attack", "without, CPU s", "with, CPU s", "bar, %", "of single pairs"]
    Grid(f"The bar on {options.network}, {options.pairs} pairs", header, rows).print()
    if any(cost.share > MOST for cost in costs):
        sys.exit(f"Expected the bar to take at most {MOST:.0%}, but it takes more.")


if __name__ == "__main__":
    main()
