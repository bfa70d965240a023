"""Our gradient attacks beside those of their peers: one net, the same images, one run.

    python benchmarks/attacks.py [--root data] [--images 128] [--rounds 3]

The net is Tuna et al.'s for MNIST, trained for one epoch (on digits where ``--root`` holds no
MNIST). Rounds alternate between the libraries, medians are compared, and every attack is of the
images that the net classifies correctly. Peers that are not installed are left out:
``uv pip install --group reference``. Exit status 1 if a target is missed.
"""

import argparse
import importlib
import statistics
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torchattacks
from torch import Tensor, nn

from robust.attacks import FGSM, PGD, CarliniWagner, DeepFool, craft
from robust.data import ImageDataModule
from robust.defenses import Standard
from robust.networks import TunaMnistCNN
from robust.parsing import keep_freed_memory
from robust.threat import distance
from robust.types import AttackCallable

Run = Callable[[nn.Module, Tensor, Tensor], Tensor]


class Entry(NamedTuple):
    """One attack of one library."""

    attack: str
    library: str
    run: Run


class Result(NamedTuple):
    """Medians over the rounds, per image; the distance over all images, failures infinite."""

    cpu_ms: float
    wall_ms: float
    success: float
    median_l2: float


# Attack, and the most that ours may take of the best peer's CPU time.
TARGETS = {
    "FGSM .1": 1.0,
    "PGD-20 .15": 0.7,
    "PGD-20 .15 bfloat16": 0.35,
    "DeepFool L2": 1.0,
    "CW L2": 1.0,
}


def crafted(attack: AttackCallable) -> Run:
    return lambda net, x, y: craft(attack, net, x, y).x_adv


def peer(name: str) -> Any:  # noqa: ANN401
    """A library that may be absent; adversarial-library imports a plot server for one logger."""
    visdom = types.ModuleType("visdom")
    visdom.__dict__["Visdom"] = object
    sys.modules.setdefault("visdom", visdom)
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def entries() -> Iterator[Entry]:
    """Ours and the peers', of which each is at the settings where it is best."""
    ours = {
        "FGSM .1": lambda m: FGSM(m, 0.1),
        "PGD-20 .15": lambda m: PGD(m, 0.15, alpha=0.015, random_start=False),
        "PGD-20 .15 bfloat16": lambda m: PGD(
            m, 0.15, alpha=0.015, random_start=False, precision="bfloat16"
        ),
        "DeepFool L2": lambda m: DeepFool(m),
        "CW L2": lambda m: CarliniWagner(m),
    }
    yield from (Entry(name, "ours", crafted(attack)) for name, attack in ours.items())
    pgd = crafted(lambda m: torchattacks.PGD(m, 0.15, 0.015, 20, random_start=False))
    yield Entry("FGSM .1", "torchattacks", crafted(lambda m: torchattacks.FGSM(m, 0.1)))
    yield Entry("PGD-20 .15", "torchattacks", pgd)
    yield Entry("PGD-20 .15 bfloat16", "torchattacks", pgd)
    if (lib := peer("adv_lib.attacks")) is not None:
        yield Entry("DeepFool L2", "adv-lib", lambda m, x, y: lib.df(m, x, y, steps=50, norm=2))
        yield Entry(
            "CW L2",
            "adv-lib",
            lambda m, x, y: lib.carlini_wagner_l2(
                m,
                x,
                y,
                binary_search_steps=1,
                max_iterations=100,
                learning_rate=0.1,
                initial_const=1.0,
            ),
        )
    if (foolbox := peer("foolbox")) is not None:
        yield Entry("DeepFool L2", "foolbox", _of_foolbox(foolbox))


def _of_foolbox(foolbox: Any) -> Run:  # noqa: ANN401
    def run(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        model = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
        found: Tensor = foolbox.attacks.L2DeepFoolAttack()(model, x, y, epsilons=None)[1]
        return found

    return run


def net_and_images(root: Path, count: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A net of one epoch, and as many test images that it classifies correctly."""
    mnist = (root / "MNIST" / "raw").is_dir()
    data = ImageDataModule("mnist" if mnist else "digits", root=str(root))
    data.setup("fit")
    torch.manual_seed(0)
    defense = Standard(TunaMnistCNN()).train()
    optimizer = defense.configure_optimizers()
    for _ in range(1 if mnist else 10):
        for batch in data.train_dataloader():
            x, y, _ = data.on_after_batch_transfer(batch, 0)
            optimizer.zero_grad()
            defense.training_loss(x, y).backward()
            optimizer.step()
    net = defense.network.eval()
    x, y, _ = data.test_samples(0, min(2 * count, data.test_size))
    with torch.no_grad():
        right = (net(x).argmax(dim=1) == y).nonzero().squeeze(1)[:count]
    return net, x[right], y[right]


def measure(
    found: list[Entry], net: nn.Module, x: Tensor, y: Tensor, rounds: int
) -> dict[Entry, Result]:
    """Run all attacks in turn, ``rounds`` times."""
    times: dict[Entry, list[tuple[float, float]]] = {entry: [] for entry in found}
    images: dict[Entry, Tensor] = {}
    for _ in range(rounds):
        for entry in found:
            cpu, wall = time.process_time(), time.perf_counter()
            images[entry] = entry.run(net, x.clone(), y.clone()).detach()
            taken = time.process_time() - cpu, time.perf_counter() - wall
            times[entry].append(taken)
            net.zero_grad()
    return {entry: _result(net, x, y, images[entry], times[entry]) for entry in found}


@torch.no_grad()
def _result(
    net: nn.Module, x: Tensor, y: Tensor, x_adv: Tensor, times: list[tuple[float, float]]
) -> Result:
    broken = net(x_adv).argmax(dim=1) != y
    lengths = distance(x, x_adv, "L2").where(broken, torch.inf)
    cpu, wall = (1e3 * statistics.median(t) / len(x) for t in zip(*times, strict=True))
    return Result(cpu, wall, broken.double().mean().item(), lengths.median().item())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path("data"))
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    keep_freed_memory()
    net, x, y = net_and_images(options.root, options.images)
    results = measure(list(entries()), net, x, y, options.rounds)
    print(f"{len(x)} images, median of {options.rounds}, {torch.get_num_threads()} threads")
    print(f"{'':22}{'':14}{'CPU ms':>9}{'wall ms':>9}{'success':>9}{'med. L2':>9}{'ratio':>8}")
    missed = False
    for attack, target in TARGETS.items():
        rows = {e.library: r for e, r in results.items() if e.attack == attack}
        best = min((r.cpu_ms for lib, r in rows.items() if lib != "ours"), default=float("nan"))
        for library, r in rows.items():
            print(
                f"{attack:22}{library:14}{r.cpu_ms:9.2f}{r.wall_ms:9.2f}{r.success:9.3f}"
                f"{r.median_l2:9.3f}{r.cpu_ms / best:8.2f}"
            )
        missed |= rows["ours"].cpu_ms > target * best
    print("targets:", ", ".join(f"{name} {target}" for name, target in TARGETS.items()))
    print("missed" if missed else "met")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
