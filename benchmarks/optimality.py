"""How near ours and those of adversarial-library come, at equal steps, by attackbench's optimality.

    python benchmarks/optimality.py [--images 40] [--steps 100] [--network "MNIST PGD"] [--norm L1]

The optimality of an attack is a ratio of two areas. Each lies between the clean accuracy and a
curve of robust accuracy over eps. One curve is of the attack. The other is of the nearest image
that any of the attacks found, and the areas end where it is zero. Cina et al. 2024,
https://arxiv.org/abs/2404.19460.
"""

import argparse
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import peers
import torch
from strong_networks import NAMES, Case, case
from torch import Tensor

from robust.attacks import DDN, FMN, PDPGD, MinimalFAB, SigmaZero, craft, sample_seeds
from robust.attacks.base import Attack
from robust.threat import distance
from robust.types import Norm

OURS: Mapping[Norm, Mapping[str, Callable[..., Attack]]] = {
    "Linf": {"FMN": FMN, "MinimalFAB": MinimalFAB},
    "L2": {"FMN": FMN, "PDPGD": PDPGD, "DDN": DDN, "MinimalFAB": MinimalFAB},
    "L1": {"FMN": FMN, "PDPGD": PDPGD},
    "L0": {"FMN": FMN, "SigmaZero": SigmaZero},
}
_NUMBER: Mapping[Norm, float] = {"Linf": float("inf"), "L2": 2.0, "L1": 1.0, "L0": 0.0}


class Found(NamedTuple):
    """An attack with the distance of each image, infinite where it found none."""

    name: str
    ours: bool
    distances: Tensor


def optimality(found: Tensor, nearest: Tensor) -> float:
    """Return the optimality of distances, given the least ones of all attacks.

    An image that no attack found adds nothing.
    """
    far = nearest[nearest.isfinite()].max()
    return float((far - found).clamp_min(0).sum() / (far - nearest).clamp_min(0).sum())


def of_ours(chosen: Case, norm: Norm, steps: int) -> Iterator[Found]:
    """Run ours that bound the norm."""
    seeds = sample_seeds(0, torch.arange(len(chosen.y)))
    for name, attack in OURS[norm].items():
        own = {} if attack in (DDN, SigmaZero) else {"norm": norm}
        made = craft(
            lambda view, attack=attack, own=own: attack(view, steps=steps, **own),
            chosen.network,
            chosen.x,
            chosen.y,
            sample_seeds=seeds,
        )
        yield Found(name, True, _distances(chosen, norm, made.x_adv))


def of_peers(chosen: Case, norm: Norm, steps: int) -> Iterator[Found]:
    """Run those of adversarial-library that bound the norm."""
    library: Any = peers.library("adv_lib.attacks")
    if library is None:
        return
    number = _NUMBER[norm]
    attacks = {"adv-lib FMN": lambda **given: library.fmn(norm=number, steps=steps, **given)}
    if norm != "L0":
        attacks["adv-lib PDPGD"] = lambda **given: library.pdpgd(
            norm=number, num_steps=steps, **given
        )
    else:
        attacks["adv-lib PDPGD"] = lambda **given: library.pdpgd(
            norm=number, num_steps=steps, proximal_operator=23, **given
        )
        attacks["adv-lib sigma-zero"] = lambda **given: library.sigma_zero(num_steps=steps, **given)
    if norm == "L2":
        attacks["adv-lib DDN"] = lambda **given: library.ddn(steps=steps, **given)
    for name, attack in attacks.items():
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x_adv = attack(model=chosen.network, inputs=chosen.x.clone(), labels=chosen.y.clone())
        yield Found(name, False, _distances(chosen, norm, x_adv.detach().clamp(0, 1)))


@torch.no_grad()
def _distances(chosen: Case, norm: Norm, x_adv: Tensor) -> Tensor:
    wrong = chosen.network(x_adv).argmax(dim=1) != chosen.y
    return distance(chosen.x, x_adv, norm).where(wrong, torch.inf)


def report(network: str, norm: Norm, found: list[Found]) -> None:
    """Print the rows of one network and norm in Markdown."""
    nearest = torch.stack([each.distances for each in found]).amin(dim=0)
    for each in found:
        n = int(each.distances.isfinite().sum())
        print(
            f"| {network} | {norm} | {each.name} | {n} of {len(nearest)} | "
            f"{each.distances.median():.4g} | {optimality(each.distances, nearest):.3f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--network", action="append", choices=NAMES)
    parser.add_argument("--norm", action="append", choices=list(OURS))
    parser.add_argument("--root", type=Path, default=Path("data"))
    parser.add_argument(
        "--weights", type=Path, default=Path("weights"), help="of certified networks"
    )
    parser.add_argument("--kept", type=Path, default=Path("runs/benchmark/strong"))
    options = parser.parse_args()
    print("| network | norm | attack | found | median distance | optimality |")
    print("| --- | --- | --- | ---: | ---: | ---: |")
    for name in options.network or ["Wong 0.1", "MNIST PGD"]:
        chosen = case(name, options.images, options.root, options.kept, options.weights)
        if chosen is None:
            parser.error(f"Expected the weights of {name} in --weights, but they are not there.")
        for norm in options.norm or OURS:
            found = [*of_ours(chosen, norm, options.steps), *of_peers(chosen, norm, options.steps)]
            report(name, norm, found)


if __name__ == "__main__":
    main()
