"""Our attacks are compared with their peers on one network, the same images, in one run.

    python benchmarks/attacks.py [--data mnist] [--root data] [--only PGD] [--rounds 3]

The networks are those of Tuna et al. for MNIST and CIFAR-10, trained shortly and kept in
``--networks``. Without MNIST in ``--root`` its network is trained on digits. Rounds alternate
between the libraries, and medians are compared. All attacked images are classified correctly. Ours
run as they do in this project, on convolutions in channels_last. The peers run on the network as
PyTorch builds it, or on ours with ``--same-format``. Exit status 1 if a target is missed. Where the
CPU emulates bfloat16, the row in bfloat16 is left out and no target of it is missed.
"""

import argparse
import copy
import itertools
import statistics
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import peers
import torch
import torchattacks
from peers import Run, crafted
from torch import Tensor, nn

from robust.attacks import (
    FGSM,
    JSMA,
    PGD,
    AutoAttack,
    BoundaryAttack,
    CarliniWagner,
    DeepFool,
    HopSkipJump,
    craft,
)
from robust.commands.process import keep_freed_memory
from robust.data import ImageDataModule
from robust.defenses import Standard
from robust.networks import TunaCifarCNN, TunaMnistCNN
from robust.precision import bfloat16_is_native
from robust.threat import distance

_EPS = {"mnist": 0.15, "cifar10": 4 / 255}
_COLUMNS = (
    *("attack", "library", "images", "CPU ms", "wall ms an image", "forwards", "success"),
    *("median L2", "ratio", "target"),
)


class Case(NamedTuple):
    """An attack of ours beside the peers'."""

    name: str
    images: tuple[int, int]
    """Of MNIST, of CIFAR-10."""
    ratio: float
    """The most that ours may take of the best peer's CPU time."""
    ours: Run
    peers: Mapping[str, Run]
    per_query: bool = False
    """Whether CPU time is compared per forward pass, as suits attacks that only ask."""
    nearest: bool = False
    """Whether ours must also come as near as the peer that succeeds most."""
    most_rounds: int = 9
    targeted: bool = False
    """To the next class."""
    bfloat16: bool = False
    """Whether ours runs in bfloat16, which says nothing where the CPU emulates it."""


class Result(NamedTuple):
    """Medians over the rounds, per image; the distance over all images, failures infinite."""

    cpu_ms: float
    wall_ms: float
    success: float
    median_l2: float
    forwards: float


def cases(eps: float) -> list[Case]:
    """What is compared at ``eps``."""
    alpha, attacks = eps / 10, torchattacks
    pgd = {
        "torchattacks": crafted(lambda m: attacks.PGD(m, eps, alpha, 20, random_start=False)),
        **peers.adv_lib("pgd_linf", ε=eps, steps=20, random_init=False, absolute_step_size=alpha),
    }
    boundary = peers.foolbox("BoundaryAttack", steps=1000)
    hop_skip_jump = peers.foolbox("HopSkipJumpAttack", steps=6)
    return [
        Case("Forward pass", (32, 8), 1.0, _forward, {"PyTorch": _forward}, per_query=True),
        Case(
            "FGSM",
            (128, 32),
            1.0,
            crafted(lambda m: FGSM(m, eps)),
            {"torchattacks": crafted(lambda m: attacks.FGSM(m, eps))},
        ),
        Case(
            "PGD-20",
            (256, 64),
            0.7,
            crafted(lambda m: PGD(m, eps, alpha=alpha, random_start=False)),
            pgd,
        ),
        Case(
            "PGD-20 bfloat16",
            (256, 64),
            0.35,
            crafted(lambda m: PGD(m, eps, alpha, random_start=False, precision="bfloat16")),
            pgd,
            bfloat16=True,
        ),
        Case(
            "DeepFool L2",
            (64, 16),
            1.0,
            crafted(DeepFool),
            peers.adv_lib("df", steps=50, norm=2) | peers.foolbox("L2DeepFoolAttack"),
            nearest=True,
        ),
        Case(
            "CW L2, 5 searches",
            (64, 16),
            1.0,
            crafted(lambda m: CarliniWagner(m, search_steps=5, steps=20)),
            peers.adv_lib(
                "carlini_wagner_l2",
                binary_search_steps=1,
                max_iterations=100,
                learning_rate=0.1,
                initial_const=1.0,
            ),
            nearest=True,
        ),
        Case("JSMA", (8, 8), 0.2, _jsma, peers.art_jsma(1.0, 0.1), targeted=True),
        Case(
            "Boundary",
            (32, 8),
            0.5,
            crafted(lambda m: BoundaryAttack(m, 910, directions=1, blend_levels=50)),
            boundary,
            per_query=True,
            nearest=True,
        ),
        Case(
            "Boundary, as near",
            (32, 8),
            0.5,
            crafted(lambda m: BoundaryAttack(m, 300, directions=1, blend_levels=50)),
            boundary,
            nearest=True,
        ),
        Case(
            "HopSkipJump",
            (32, 8),
            0.5,
            crafted(lambda m: HopSkipJump(m, iterations=6)),
            hop_skip_jump,
            per_query=True,
            nearest=True,
        ),
        Case(
            "HopSkipJump, as near",
            (32, 8),
            0.5,
            crafted(lambda m: HopSkipJump(m, iterations=5)),
            hop_skip_jump,
            nearest=True,
        ),
        Case(
            "AutoAttack",
            (16, 4),
            0.7,
            crafted(lambda m: AutoAttack(m, eps / 2)),  # half of the images are robust
            peers.auto_attack(eps / 2),
            most_rounds=1,
        ),
    ]


@torch.no_grad()
def _forward(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Run the forward passes alone, the least that a query attack can cost."""
    for _ in range(50):
        network(x)
    return x


def _jsma(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return craft(lambda m: JSMA(m, theta=1.0, gamma=0.1), network, x, y, target=(y + 1) % 10).x_adv


def network_and_images(options: argparse.Namespace) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a shortly trained network, and test images that it classifies correctly."""
    name = options.data
    if name == "mnist" and not (options.root / "MNIST").is_dir():
        name = "digits"
    data = ImageDataModule(name, root=str(options.root))
    data.setup("fit")
    torch.manual_seed(0)
    defense = Standard(TunaCifarCNN() if name == "cifar10" else TunaMnistCNN())
    weights = options.networks / f"{name}.pt"
    if weights.exists():
        defense.network.load_state_dict(torch.load(weights, weights_only=True))
    else:
        _train(defense, data, 10 if name == "digits" else 1, options.batches)
        weights.parent.mkdir(parents=True, exist_ok=True)
        torch.save(defense.network.state_dict(), weights)
    network = defense.network.eval()
    x, y, _ = data.test_samples(0, min(1000, data.test_size))
    with torch.no_grad():
        right = network(x).argmax(dim=1) == y
        # foolbox fails on an image of the class that noise has.
        right &= y != network(torch.rand(20, *x.shape[1:])).argmax(dim=1).mode().values
    return network, x[right], y[right]


def _train(defense: Standard, data: ImageDataModule, epochs: int, batches: int | None) -> None:
    optimizer, half = defense.train().configure_optimizers(), bfloat16_is_native(defense.device)
    for _ in range(epochs):
        for batch in itertools.islice(data.train_dataloader(), batches):
            x, y, _ = data.on_after_batch_transfer(batch, 0)
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                loss = defense.training_loss(x, y)
            loss.backward()
            optimizer.step()


def measure(
    case: Case, networks: Mapping[bool, nn.Module], x: Tensor, y: Tensor, rounds: int
) -> dict[str, Result]:
    """Run ours and the peers' in turn, ``rounds`` times; ``networks`` has ours under True."""
    runs = {"ours": case.ours, **case.peers}
    times: dict[str, list[tuple[float, float]]] = {library: [] for library in runs}
    results = {}
    for _ in range(min(rounds, case.most_rounds)):
        for library, run in runs.items():
            network, seen = networks[library == "ours"], []
            hook = network.register_forward_pre_hook(
                lambda _, args, seen=seen: seen.append(args[0])
            )
            cpu, wall = time.process_time(), time.perf_counter()
            x_adv = run(network, x.clone(), y.clone()).detach()
            times[library].append((time.process_time() - cpu, time.perf_counter() - wall))
            hook.remove()
            network.zero_grad()
            forwards = sum(len(images) for images in seen) / len(x)
            results[library] = _result(case, networks[True], x, y, x_adv, times[library], forwards)
    return results


@torch.no_grad()
def _result(
    case: Case,
    network: nn.Module,
    x: Tensor,
    y: Tensor,
    x_adv: Tensor,
    times: list[tuple[float, float]],
    forwards: float,
) -> Result:
    predicted = network(x_adv).argmax(dim=1)
    wrong = predicted == (y + 1) % 10 if case.targeted else predicted != y
    lengths = distance(x, x_adv, "L2").where(wrong, torch.inf)
    cpu, wall = (1e3 * statistics.median(t) / len(x) for t in zip(*times, strict=True))
    return Result(cpu, wall, wrong.double().mean().item(), lengths.median().item(), forwards)


def cost(case: Case, result: Result) -> float:
    """Return CPU milliseconds, per image or per forward pass."""
    return result.cpu_ms / result.forwards if case.per_query else result.cpu_ms


def report(case: Case, images: int, results: Mapping[str, Result]) -> bool:
    """Print a case as rows of Markdown, and return whether it meets the target as well as peers."""
    best = min((cost(case, r) for lib, r in results.items() if lib != "ours"), default=float("nan"))
    for library, r in results.items():
        ratio = cost(case, r) / best
        target = f"{case.ratio:g}" if library == "ours" else ""
        unit = " a query" if case.per_query else ""
        print(
            f"| {case.name} | {library} | {images} | {cost(case, r):.3g}{unit} | "
            f"{r.wall_ms:.3g} | {r.forwards:.0f} | {r.success:.3f} | {r.median_l2:.3f} | "
            f"{ratio:.2f} | {target} |",
            flush=True,
        )
    ours = results["ours"]
    return not cost(case, ours) > case.ratio * best and _as_good(case, ours, results)


def _as_good(case: Case, ours: Result, results: Mapping[str, Result]) -> bool:
    most = max(r.success for r in results.values())
    nearest = min(r.median_l2 for r in results.values() if r.success == most)
    near = ours.median_l2 <= 1.02 * nearest or not case.nearest
    return ours.success >= most - 0.005 and near


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=("mnist", "cifar10"), default="mnist")
    parser.add_argument("--root", type=Path, default=Path("data"))
    parser.add_argument("--networks", type=Path, default=Path("runs/benchmark"))
    parser.add_argument("--only", default="", help="cases whose name begins so")
    parser.add_argument("--eps", type=float, help="Linf radius; 0.15 or 4/255 if not given")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, help="of each epoch in training; default all")
    parser.add_argument("--same-format", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    keep_freed_memory()
    network, x, y = network_and_images(options)
    plain = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    networks = {True: network, False: network if options.same_format else plain}
    print(f"{options.data}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print(f"| {' | '.join(_COLUMNS)} |\n{'| --- ' * len(_COLUMNS)}|")
    missed = []
    for case in cases(_EPS[options.data] if options.eps is None else options.eps):
        if not case.name.startswith(options.only):
            continue
        if case.bfloat16 and not bfloat16_is_native(x.device):
            print(f"| {case.name} | not comparable: emulated here |{' |' * (len(_COLUMNS) - 2)}")
            continue
        count = case.images[options.data == "cifar10"]
        results = measure(case, networks, x[:count], y[:count], options.rounds)
        missed += [] if report(case, count, results) else [case.name]
    print("\nmissed:", ", ".join(missed) if missed else "none")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
