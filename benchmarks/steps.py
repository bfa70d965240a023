"""The training of defenses is compared in cost with that of an undefended network.

    python benchmarks/steps.py [--rounds 60]

Steps are on batches of 128 random images. Targets of Saito and Roy 2018 are on the network of
Tuna et al. 2022, the bounded ReLU of Zantedeschi et al. 2017 on theirs. Then an epoch with ten
noisy copies of each image is compared with 11 plain epochs, loading included. Networks take turns,
and medians of CPU time count. Exit status 1 if a step takes more than 1.05 times as long as without
the defense. The epoch with copies may take 1.1 times as long as the 11.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from robust.commands.process import keep_freed_memory
from robust.data import GaussianAugmentation, ImageDataModule
from robust.defenses import Codewords, Defense, Standard
from robust.networks import BReLU, TunaMnistCNN, ZantedeschiCNN

MOST_OF_A_STEP, MOST_OF_AN_EPOCH = 1.05, 1.1
BATCH_SIZE = 128
COPIES = 10


def cpu_seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def compare(
    title: str, calls: Mapping[str, Callable[[], object]], rounds: int, most: float
) -> bool:
    """Print the medians and their ratios to that of the first; whether none exceeds ``most``."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            times[name].append(cpu_seconds(call))
    medians = {name: statistics.median(taken[1:]) for name, taken in times.items()}
    base = next(iter(medians.values()))
    print(f"\n| {title} | CPU ms | ratio | target |\n| --- | ---: | ---: | ---: |")
    for name, median in medians.items():
        print(f"| {name} | {1e3 * median:.1f} | {median / base:.3f} | {most} |")
    return max(medians.values()) <= most * base


def step(defense: Defense) -> Callable[[], object]:
    """One training step on a new random batch at each call."""
    optimizer = defense.train().configure_optimizers()

    def call() -> None:
        x, y = torch.rand(BATCH_SIZE, 1, 28, 28), torch.randint(10, (BATCH_SIZE,))
        optimizer.zero_grad()
        defense.training_loss(x, y).backward()
        optimizer.step()

    return call


def write_images(path: Path, n: int) -> None:
    """Random images of MNIST's size."""
    random = np.random.default_rng(0)
    parts = {"x_train": n, "x_test": 10}
    images = {name: random.integers(0, 256, (n, 28, 28), np.uint8) for name, n in parts.items()}
    np.savez(path, **images, y_train=np.arange(n) % 10, y_test=np.arange(10))


def epochs(path: Path, times: int, copies: int) -> Callable[[], object]:
    """So many epochs with so many copies, loading included."""
    augmentation = GaussianAugmentation(copies) if copies else None
    data = ImageDataModule(
        str(path), batch_size=BATCH_SIZE, val_fraction=0.0, augmentation=augmentation
    )
    defense = Standard(ZantedeschiCNN())
    optimizer = defense.train().configure_optimizers()

    def call() -> None:
        for _ in range(times):
            for loaded in data.train_dataloader():
                batch = data.on_after_batch_transfer(loaded, 0)
                optimizer.zero_grad()
                defense.training_loss(batch.x, batch.y).backward()
                optimizer.step()

    return call


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60, help="steps each; epochs: a tenth")
    rounds = parser.parse_args().rounds
    keep_freed_memory()
    targets = {
        "cross-entropy": step(Standard(TunaMnistCNN())),
        "mse": step(Standard(TunaMnistCNN(), loss="mse")),
        "codewords, 128": step(Codewords(TunaMnistCNN, length=128)),
        "codewords, 1024": step(Codewords(TunaMnistCNN, length=1024)),
    }
    met = compare("step on Tuna et al.'s network", targets, rounds, MOST_OF_A_STEP)
    activations = {
        "ReLU": step(Standard(ZantedeschiCNN())),
        "BReLU": step(Standard(ZantedeschiCNN(activation=BReLU))),
    }
    met &= compare("step on Zantedeschi et al.'s network", activations, rounds, MOST_OF_A_STEP)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npz"
        write_images(path, 5 * BATCH_SIZE)
        copied = {
            f"{1 + COPIES} plain epochs": epochs(path, 1 + COPIES, 0),
            f"1 epoch with {COPIES} copies": epochs(path, 1, COPIES),
        }
        met &= compare("loading and training", copied, max(rounds // 10, 1), MOST_OF_AN_EPOCH)
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
