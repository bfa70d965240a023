"""A training step of Saito and Roy's nets beside that of the same net with cross-entropy.

    python benchmarks/codewords.py [--steps 60]

Tuna et al.'s net for MNIST, batches of 128 random images, the nets in turn; medians of CPU time.
Exit status 1 if one takes more than 1.05 times as long as cross-entropy.
"""

import argparse
import statistics
import sys
import time

import torch

from robust.defenses import Codewords, Defense, Standard
from robust.networks import TunaMnistCNN
from robust.parsing import keep_freed_memory

MOST = 1.05


def step(defense: Defense, optimizer: torch.optim.Optimizer) -> float:
    """CPU seconds of one step."""
    x, y = torch.rand(128, 1, 28, 28), torch.randint(10, (128,))
    start = time.process_time()
    optimizer.zero_grad()
    defense.training_loss(x, y).backward()
    optimizer.step()
    return time.process_time() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    keep_freed_memory()
    defenses: dict[str, Defense] = {
        "cross-entropy": Standard(TunaMnistCNN()),
        "mse": Standard(TunaMnistCNN(), loss="mse"),
        "codewords, 128": Codewords(TunaMnistCNN, length=128),
        "codewords, 1024": Codewords(TunaMnistCNN, length=1024),
    }
    optimizers = {name: d.train().configure_optimizers() for name, d in defenses.items()}
    times: dict[str, list[float]] = {name: [] for name in defenses}
    for _ in range(options.steps):
        for name, defense in defenses.items():
            times[name].append(step(defense, optimizers[name]))
    medians = {name: statistics.median(t[2:]) for name, t in times.items()}
    base = medians["cross-entropy"]
    print("| net | CPU ms a step | ratio |\n| --- | ---: | ---: |")
    for name, median in medians.items():
        print(f"| {name} | {1e3 * median:.1f} | {median / base:.3f} |")
    return int(max(medians.values()) > MOST * base)


if __name__ == "__main__":
    sys.exit(main())
