"""Verdicts on networks that hide their gradient, and on some that do not: `make controls`.

None that hides may read `no masking seen` with a robust accuracy of more than 5 points above what
the strongest attack finds. None that is sound may be accused. The strongest attack knows the
network: it climbs the logits before what hides them. It is judged by the network as deployed.

    python benchmarks/controls.py --suite quick --limit 200 -o controls.md
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

import robust
from robust.attacks import PGD, craft
from robust.results.cells import Cell, Grid
from robust.results.rates import Rate
from robust.results.signs import worst
from robust.transforms import Quantized

EPS = 0.2
ACCUSED = ("masked", "overstated", "suspect")
CERTIFIED = {
    "Wong 0.1": ("wong_mnist_linf_0.1.pth", 0.1),
    "Wong 0.3": ("wong_mnist_small_linf_0.3.pth", 0.3),
}


class Control(NamedTuple):
    """A network, and whether it hides its gradient."""

    network: nn.Module
    hides: bool
    logits: nn.Module
    """What an attacker climbs who knows it."""
    data: str = "digits"
    budget: robust.ThreatModel = robust.ThreatModel("Linf", EPS)


class Shaped(nn.Module):
    """A function of the scores of a network, which is not known to be a defense."""

    def __init__(self, network: nn.Module, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.function = network, function

    def forward(self, x: Tensor) -> Tensor:
        """Return what the function makes of the scores."""
        return self.function(self.network(x))


class Before(nn.Module):
    """A function of the images comes before a network."""

    def __init__(self, network: nn.Module, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.function = network, function

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of what the function makes of the images."""
        return self.network(self.function(x))


class Winners(nn.Module):
    """A fifth of the values stays (Xiao et al. 2020, https://arxiv.org/abs/1905.10510)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the values, or zero."""
        least = x.topk(x.shape[1] // 5, dim=1).values[:, -1:]
        return x * (x >= least)


class OtherView(robust.Defense):
    """A defense whose adaptive view is that of another network."""

    def __init__(self, network: nn.Module, other: nn.Module) -> None:
        super().__init__(network)
        self.other = [other]

    def training_loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the cross-entropy."""
        return nn.functional.cross_entropy(self(x), y)

    def adaptive_view(self) -> nn.Module:
        """Return the other network."""
        return self.other[0]


def dense(activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Return a small network for digits."""
    hidden = [nn.Linear(784, 128), activation(), nn.Linear(128, 64), activation()]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(64, 10))


def fit(defense: robust.Defense, epochs: int = 20) -> robust.Defense:
    """Train a defense on digits."""
    return robust.fit(defense, robust.ImageDataModule("digits"), epochs, progress=False)


def plain(seed: int = 0) -> nn.Sequential:
    """Return an undefended network."""
    torch.manual_seed(seed)
    network = dense()
    robust.fit(
        robust.Standard(network), robust.ImageDataModule("digits"), seed=seed, progress=False
    )
    return network


def shaped(function: Callable[[Tensor], Tensor]) -> Control:
    """Return the undefended network behind a function of its scores."""
    network = plain()
    return Control(Shaped(network, function), True, network)


def one_hot(scores: Tensor) -> Tensor:
    """Return zeros and ones."""
    return nn.functional.one_hot(scores.argmax(dim=1), scores.shape[1]).float()


def defended(defense: robust.Defense, *, hides: bool, epochs: int = 20) -> Control:
    """Return a defense with the view that it names."""
    trained = fit(defense, epochs)
    return Control(trained, hides, trained.adaptive_view())


def squeezed_inside() -> Control:
    """Return a squeezed network that nobody knows to be one."""
    defense = fit(robust.Squeezed(dense()))
    return Control(Shaped(defense, lambda scores: scores), True, defense.adaptive_view())


def four_levels() -> Control:
    """Return a network behind a quantization that nobody told of."""
    network = plain()
    return Control(Before(network, lambda x: torch.round(3 * x) / 3), True, network)


def noisy() -> Control:
    """Return a network that adds noise to its images."""
    network = plain()
    return Control(Before(network, lambda x: x + 0.2 * torch.randn_like(x)), True, network)


def binarized() -> Control:
    """Return a network behind a binarization, under a budget in L2."""
    defense = fit(robust.Standard(dense(), transform=Quantized([0.5])))
    budget = robust.ThreatModel("L2", 1.5)
    return Control(defense, True, defense.adaptive_view(), budget=budget)


def winners() -> Control:
    """Return a network of which few values stay."""
    network = dense(Winners)
    fit(robust.Standard(network))
    return Control(network, True, network)


def other_view() -> Control:
    """Return a defense with a wrong view."""
    network = plain()
    return Control(OtherView(network, plain(seed=1)), True, network)


def certified(name: str, folder: Path) -> Control:
    """Return a network of Wong and Kolter 2018, whose robustness is proved."""
    file, eps = CERTIFIED[name]
    content = torch.load(folder / file, map_location="cpu", weights_only=True)
    states = content.get("state_dict", content)
    network = nn.Sequential(
        *(nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(32 * 7 * 7, 100), nn.ReLU(), nn.Linear(100, 10)),
    )
    network.load_state_dict(states[0] if isinstance(states, list) else states)
    return Control(network, False, network, "mnist", robust.ThreatModel("Linf", eps))


def controls(folder: Path) -> dict[str, Callable[[], Control]]:
    """Return what makes each control; the certified ones only where there are files."""
    found: dict[str, Callable[[], Control]] = {
        "log-softmax": lambda: shaped(lambda z: z.log_softmax(dim=1)),
        "probabilities": lambda: shaped(lambda z: z.softmax(dim=1)),
        "logits x 1000": lambda: shaped(lambda z: 1000 * z),
        "sigmoid(50 z)": lambda: shaped(lambda z: torch.sigmoid(50 * z)),
        "one-hot": lambda: shaped(one_hot),
        "k winners": winners,
        "noise": noisy,
        "quantized, no view": four_levels,
        "squeezed inside": squeezed_inside,
        "distilled": lambda: defended(robust.Distillation(dense()), hides=True, epochs=40),
        "codewords": lambda: defended(robust.Codewords(_wide), hides=True),
        "binarized, L2": binarized,
        "view of another": other_view,
        "plain": lambda: defended(robust.Standard(dense()), hides=False),
        "PGD-trained": lambda: defended(
            robust.AdversarialTraining(dense(), attack=lambda view: PGD(view, EPS, steps=7)),
            hides=False,
        ),
        "TRADES": lambda: defended(
            robust.Trades(dense(), eps=EPS, alpha=0.05, steps=7), hides=False
        ),
    }
    there = {name for name, (file, _) in CERTIFIED.items() if (folder / file).exists()}
    return found | {name: (lambda name=name: certified(name, folder)) for name in sorted(there)}


def _wide(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, outputs))


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


def judged(name: str, control: Control, suite: str, limit: int) -> tuple[list[object], str]:
    """Return a row of the table, and what is wrong with the verdict."""
    data, start = robust.ImageDataModule(control.data), time.perf_counter()
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
    seconds = time.perf_counter() - start
    rate = worst(result.evaluation, *result.views)
    found = min(rate.value, strongest(control, data, limit))
    word = result.verdict.word
    wrong = ""
    if control.hides and word == "no masking seen" and rate.value - found > 0.05:
        wrong = f"{name}: no masking seen, but {100 * (rate.value - found):.1f} points are masked"
    if not control.hides and word in ACCUSED:
        wrong = f"{name}: {result.verdict}"
    score = _score(result)
    cells = [name, suite, Cell.from_rate(rate), f"{100 * found:.1f}", score, word, f"{seconds:.0f}"]
    return cells, wrong


def _score(result: robust.Result) -> object:
    evidence = result.evaluation.evidence
    trials = next(iter(evidence.trials.values())) if evidence else None
    score = trials.scores.get("adaptive") if trials else None
    return Cell.from_rate(score.found if score else Rate(0, 0))


def main() -> int:
    """Print the table; 1 if a verdict is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", nargs="+", default=["quick"])
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--nets", type=Path, default=Path(__file__).parents[2] / "shared/nets")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    rows, wrong = [], []
    for name, make in controls(options.nets).items():
        if options.only and name not in options.only:
            continue
        torch.manual_seed(0)
        control = make()
        for suite in options.suite:
            row, fault = judged(name, control, suite, options.limit)
            print(*row, fault, flush=True)
            rows.append(row)
            wrong += [fault] * bool(fault)
    header = ["control", "suite", "robust acc", "strongest", "unit test", "verdict", "seconds"]
    notes = [f"n = {options.limit}, all views; strongest: the least that any attack left, in %."]
    grid = Grid("Verdicts on controls, in %", header, rows, [*notes, *wrong])
    grid.print()
    if options.output:
        options.output.write_text(grid.markdown())
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
