"""What a pass of PGD and of APGD costs is compared where most images stay robust.

    python benchmarks/resisting.py [--network "MNIST PGD"] [--images 200] [--rounds 5]

There, none leaves the batch, and what remains is the cost of a pass. The networks are those of
`strong.py`. The libraries run in turn, as in `attacks.py`. Exit status 1 if ours takes
more CPU time per forward pass than 0.85 of the best peer. The first row has the passes without an
attack, which are the least that any attack can cost.
"""

import argparse
import copy
import sys
import warnings
from pathlib import Path

import peers
import torch
import torch.nn.functional as F
import torchattacks
from attacks import Case, measure, report
from peers import Run, crafted
from strong_networks import NAMES, case
from torch import Tensor, nn

from robust.attacks import APGD, PGD
from robust.commands.process import keep_freed_memory
from robust.precision import bfloat16_is_native

RATIO = 0.85


def cases(eps: float) -> list[Case]:
    """What is compared at ``eps``: single starts without a stop, so that all run equally long."""
    alpha = eps / 10
    pgd = {
        "torchattacks": crafted(lambda m: torchattacks.PGD(m, eps, alpha, 20, random_start=False)),
        **peers.adv_lib("pgd_linf", ε=eps, steps=20, random_init=False, absolute_step_size=alpha),
    }
    return [
        Case("Passes alone", (0, 0), 1.0, _passes, {"PyTorch": _passes}, per_query=True),
        Case(
            "PGD-20",
            (0, 0),
            RATIO,
            crafted(lambda m: PGD(m, eps, alpha, random_start=False)),
            pgd,
            per_query=True,
        ),
        Case(
            "PGD-20 bfloat16",
            (0, 0),
            RATIO,
            crafted(lambda m: PGD(m, eps, alpha, random_start=False, precision="bfloat16")),
            pgd,
            per_query=True,
            bfloat16=True,
        ),
        Case(
            "APGD-100",
            (0, 0),
            RATIO,
            crafted(lambda m: APGD(m, eps, steps=100)),
            {
                "torchattacks": crafted(lambda m: torchattacks.APGD(m, eps=eps, steps=100)),
                **peers.adv_lib("apgd", eps=eps, norm=float("inf"), n_iter=100, loss_function="ce"),
                **_authors(eps),
            },
            per_query=True,
        ),
    ]


def _passes(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Run the passes of PGD-20 alone."""
    for _ in range(20):
        moved = x.detach().requires_grad_()
        torch.autograd.grad(F.cross_entropy(network(moved), y, reduction="sum"), moved)
    return x


def _authors(eps: float) -> dict[str, Run]:
    if (library := peers.library("pyautoattack")) is None:
        return {}

    def run(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        attack = library.AutoAttack(network, norm="Linf", eps=eps, seed=0, version="custom")
        attack.attacks_to_run = ["apgd-ce"]
        found: Tensor = attack.run_standard_evaluation(x, y, batch_size=len(x))[0]
        return found

    return {"pyautoattack": run}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=NAMES, default="MNIST PGD")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--root", type=Path, default=Path("data"))
    parser.add_argument(
        "--weights", type=Path, default=Path("weights"), help="of certified networks"
    )
    parser.add_argument("--kept", type=Path, default=Path("runs/benchmark/strong"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    keep_freed_memory()
    chosen = case(options.network, options.images, options.root, options.kept, options.weights)
    if chosen is None:
        parser.error(f"Expected the weights of {options.network} in --weights, but found none.")
    plain = copy.deepcopy(chosen.network)
    networks = {True: chosen.network.to(memory_format=torch.channels_last), False: plain}
    print(
        "| attack | library | images | CPU ms a pass | wall ms an image | passes | success | ",
        end="",
    )
    print("median L2 | ratio | target |\n" + "| --- " * 10 + "|")
    missed = []
    for compared in cases(chosen.eps):
        if compared.bfloat16 and not bfloat16_is_native(chosen.x.device):
            continue  # emulated, it would say nothing
        results = measure(compared, networks, chosen.x, chosen.y, options.rounds)
        missed += [] if report(compared, len(chosen.y), results) else [compared.name]
    print("\nmissed:", ", ".join(missed) if missed else "none")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
