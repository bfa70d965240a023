"""How soon each attack comes to AutoAttack's robust accuracy is measured on robust networks.

    python benchmarks/strong.py [--images 60] [--first 500] [--network "Wong 0.3"] [--rerun]

Every method attacks the same images in one batch, half as many on CIFAR-10. A clock of CPU time
stands still while each pass is looked through for the first success on an image. Measurements are
kept in ``--kept``, and the command goes on where it was left. The table and ``--figure`` are of
all that are there.
fra31's AutoAttack (``pyautoattack``), adversarial-library and attackbenchlib are left out if not
installed. The CPU time of what attackbenchlib runs has its own notes of each pass in it.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import peers
import torch
import torchattacks
from matplotlib.figure import Figure
from strong_networks import NAMES, Case, case
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from robust.attacks import AutoAttack, Rescale, craft, gradient_of, sample_seeds
from robust.commands.process import keep_freed_memory
from robust.evaluation.budget import within
from robust.loading.suites import evaluation_of_suite
from robust.threat import ThreatModel
from robust.types import AttackCallable

Method = Callable[[nn.Module, Case], None]
AUTO = "AutoAttack (ours)"
_OF_ATTACKBENCH = ("APGD-T", "PDPGD", "FMN")


class Clock(nn.Module):
    """This is a network that notes after how much CPU time each image is first misclassified."""

    def __init__(self, chosen: Case) -> None:
        super().__init__()
        self.network, self._case = chosen.network, chosen
        self._threat_model = ThreatModel("Linf", chosen.eps)
        self.found = torch.full((len(chosen.y),), torch.inf, dtype=torch.float64)
        self.passes, self._paused, self._start = 0, 0.0, time.process_time()

    def spent(self) -> float:
        """Return CPU seconds since the start, without those of looking."""
        return time.process_time() - self._start - self._paused

    def forward(self, x: Tensor) -> Tensor:
        """Return scores of images."""
        scores: Tensor = self.network(x)
        now, stopped = self.spent(), time.process_time()
        self._look(x.detach(), scores.detach(), now)
        self._paused += time.process_time() - stopped
        return scores

    def _look(self, x: Tensor, scores: Tensor, now: float) -> None:
        self.passes += len(x)
        clean = self._case.x.flatten(1)
        # The clean image that is nearest in L2, less what all have in common.
        nearest = (x.flatten(1) @ clean.T - clean.square().sum(dim=1) / 2).argmax(dim=1)
        wrong = scores.argmax(dim=1) != self._case.y[nearest]
        rows, images = x[wrong], nearest[wrong]
        near = self._threat_model.distance(self._case.x[images], rows) <= self._threat_model.limit
        images = images[near]
        self.found[images] = self.found[images].clamp_max(now)


def suite(name: str) -> Method:
    """A suite of ours, each attack on all images."""

    def run(network: nn.Module, chosen: Case) -> None:
        attacks = within(evaluation_of_suite(name).suite, chosen.eps).suite.builders
        for build in attacks.values():
            _craft(build, network, chosen)

    return run


def _craft(build: AttackCallable, network: nn.Module, chosen: Case) -> None:
    seeds = sample_seeds(0, torch.arange(len(chosen.y)))
    craft(build, Rescale(network), chosen.x, chosen.y, sample_seeds=seeds)


def _auto(network: nn.Module, chosen: Case) -> None:
    _craft(lambda view: AutoAttack(view, chosen.eps), network, chosen)


def _torchattacks(network: nn.Module, chosen: Case) -> None:
    attack = torchattacks.AutoAttack(network, eps=chosen.eps, seed=0)
    craft(lambda view: attack, network, chosen.x, chosen.y)


def _theirs(network: nn.Module, chosen: Case) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind = peers.library("pyautoattack").AutoAttack
        attack = kind(network, norm="Linf", eps=chosen.eps, seed=0, version="standard")
        attack.run_standard_evaluation(chosen.x, chosen.y, batch_size=len(chosen.y))


def _adv_lib(network: nn.Module, chosen: Case) -> None:
    library = peers.library("adv_lib.attacks")
    for attack in (library.apgd, library.apgd_targeted):
        attack(network, chosen.x, chosen.y, eps=chosen.eps, norm=float("inf"), n_iter=100)


def _attackbench(attack: str) -> Method:
    """An attack of adversarial-library as attackbenchlib runs it, which ends after 2,000 passes."""

    def run(network: nn.Module, chosen: Case) -> None:
        library, bench = peers.library("adv_lib.attacks"), peers.library("attackbench")
        function = {
            "APGD-T": partial(library.apgd_targeted, eps=chosen.eps, n_iter=100),
            "PDPGD": partial(library.pdpgd, num_steps=1000),
            "FMN": partial(library.fmn, steps=1000),
        }[attack]
        batches = DataLoader(TensorDataset(chosen.x, chosen.y), batch_size=len(chosen.y))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bench.run_attack(
                network,
                batches,
                lambda model, inputs, labels: function(model, inputs, labels, norm=float("inf")),
                "linf",
                device=torch.device("cpu"),
                query_budget=2000,
                debug=True,
            )

    return run


def methods() -> dict[str, Method]:
    """What is compared, by name."""
    found: dict[str, Method] = {
        "quick": suite("quick"),
        "strong": suite("strong"),
        AUTO: _auto,
        "torchattacks AutoAttack": _torchattacks,
    }
    if peers.library("pyautoattack") is not None:
        found["pyautoattack"] = _theirs
    if peers.library("adv_lib.attacks") is not None:
        found["adv-lib APGD, APGD-T"] = _adv_lib
        if peers.library("attackbench") is not None:
            found |= {f"attackbench {name}": _attackbench(name) for name in _OF_ATTACKBENCH}
    return found


class Measured(NamedTuple):
    """One method on one network; ``found`` has CPU seconds, infinite where nothing was found."""

    network: str
    method: str
    found: list[float]
    cpu: float
    passes: float

    @property
    def left(self) -> int:
        """Number of images that are robust."""
        return sum(second == float("inf") for second in self.found)


def measure(name: str, run: Method, chosen: Case) -> Measured:
    """Run a method once, after a pass that does what is only done once."""
    gradient_of(chosen.network, chosen.x, chosen.y)
    torch.manual_seed(0)
    clock = Clock(chosen).eval()
    run(clock, chosen)
    cpu = clock.spent()
    return Measured(chosen.name, name, clock.found.tolist(), cpu, clock.passes / len(chosen.y))


def report(measured: Sequence[Measured]) -> None:
    """Print a table in Markdown; the images to find are those that AutoAttack of ours found."""
    print("| network | method | images | robust | missed | CPU s | ratio | passes an image |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for network in dict.fromkeys(each.network for each in measured):
        group = [each for each in measured if each.network == network]
        base = next((each for each in group if each.method == AUTO), None)
        goal = set() if base is None else {i for i, s in enumerate(base.found) if s < float("inf")}
        for each in group:
            missed = sum(each.found[i] == float("inf") for i in goal)
            ratio = "" if base is None else f"{each.cpu / base.cpu:.3f}"
            print(
                f"| {network} | {each.method} | {len(each.found)} | {each.left} | {missed} | "
                f"{each.cpu:.2f} | {ratio} | {each.passes:.0f} |"
            )


def plotted(measured: Sequence[Measured]) -> Figure:
    """Return robust accuracy against CPU seconds, one panel a network."""
    networks = list(dict.fromkeys(each.network for each in measured))
    figure = Figure(figsize=(3.6 * len(networks), 3.4), layout="constrained")
    colors = {name: f"C{i}" for i, name in enumerate(dict.fromkeys(m.method for m in measured))}
    panels = figure.subplots(1, len(networks), squeeze=False)[0]
    for axes, network in zip(panels, networks, strict=True):
        for each in (each for each in measured if each.network == network):
            times = sorted(second for second in each.found if second < float("inf"))
            n = len(each.found)
            share = [100 * (n - k) / n for k in range(len(times) + 1)]
            x = [1e-3, *times, each.cpu]
            axes.step(x, [*share, share[-1]], where="post", color=colors[each.method])
            axes.plot(each.cpu, share[-1], "o", color=colors[each.method], label=each.method)
        axes.set(xscale="log", xlim=(1e-2, None), title=network, xlabel="CPU seconds")
    figure.axes[0].set_ylabel("robust images in %")
    figure.axes[0].legend(fontsize="x-small")
    return figure


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--first", type=int, default=0, help="index of the first image")
    parser.add_argument("--network", action="append", choices=NAMES)
    parser.add_argument("--method", action="append", choices=list(methods()))
    parser.add_argument("--root", type=Path, default=Path("data"))
    parser.add_argument(
        "--weights", type=Path, default=Path("weights"), help="of certified networks"
    )
    parser.add_argument("--kept", type=Path, default=Path("runs/benchmark/strong"))
    parser.add_argument("--rerun", action="store_true", help="measure again what is kept")
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    keep_freed_memory()
    measured, place = [], f" from {options.first}" if options.first else ""
    for network in options.network or NAMES:
        chosen, images = None, options.images // (1 + network.startswith("CIFAR"))
        for name in options.method or methods():
            file = options.kept / f"{network}, {name}, {images}{place}.json"
            if options.rerun or not file.exists():
                chosen = chosen or case(
                    network,
                    images,
                    options.root,
                    options.kept,
                    options.weights,
                    options.first,
                )
                if chosen is None:
                    print(f"{network}: no weights in {options.weights}, left out", file=sys.stderr)
                    break
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(measure(name, methods()[name], chosen)))
            measured.append(Measured(*json.loads(file.read_text())))
    report(measured)
    if options.figure is not None:
        plotted(measured).savefig(options.figure, dpi=110)
    return 0


if __name__ == "__main__":
    sys.exit(main())
