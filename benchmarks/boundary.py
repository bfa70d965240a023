"""The cost of a query of the boundary attack is measured on a network so small that it counts.

It is the MLP of Paranjape et al. 2020 after one epoch on MNIST. Printed are CPU time a query, that
of the forward pass alone in batches of as many images, and the time for 500 images.
"""

import argparse
import statistics
import time

import torch
from torch import Tensor, nn

from robust.attacks import BoundaryAttack, craft, sample_seeds
from robust.commands.process import keep_freed_memory
from robust.data import ImageDataModule
from robust.defenses import Standard
from robust.networks import MLP
from robust.threat import distance

_PASSES = 50
_IMAGES = 500


def network_and_images(root: str, images: int) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a shortly trained network, and test images that it classifies correctly."""
    data = ImageDataModule("mnist", root=root)
    data.setup("fit")
    torch.manual_seed(0)
    defense = Standard(MLP())
    optimizer = defense.configure_optimizers()
    for batch in data.train_dataloader():
        x, y, _ = data.on_after_batch_transfer(batch, 0)
        optimizer.zero_grad()
        defense.training_loss(x, y).backward()
        optimizer.step()
    x, y, _ = data.test_samples(0, 2 * images)
    right = defense.eval()(x).argmax(dim=1) == y
    return defense, x[right][:images], y[right][:images]


@torch.no_grad()
def forward_us(network: nn.Module, x: Tensor) -> float:
    """Return CPU microseconds of a forward pass for an image."""
    start = time.process_time()
    for _ in range(_PASSES):
        network(x)
    return 1e6 * (time.process_time() - start) / _PASSES / len(x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", default="data")
    parser.add_argument("--images", type=int, default=250)
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    keep_freed_memory()
    network, x, y = network_and_images(options.root, options.images)
    seeds = sample_seeds(0, torch.arange(len(x)))
    queries, passes = [], []
    for _ in range(options.rounds):
        passes.append(forward_us(network, x))
        start = time.process_time()
        crafted = craft(
            lambda m: BoundaryAttack(m, options.iterations), network, x, y, sample_seeds=seeds
        )
        spent = time.process_time() - start
        queries.append(1e6 * spent / len(x) / crafted.forwards)
    query, forward = statistics.median(queries), statistics.median(passes)
    nearest = distance(x, crafted.x_adv, "L2").median().item()
    print(
        f"{len(x)} images, {options.iterations} iterations: {crafted.forwards:.0f} queries an "
        f"image, median L2 {nearest:.3f}\nCPU us a query: {query:.1f}, of which the forward pass "
        f"{forward:.1f}; {query / forward:.2f} of it\n{_IMAGES} images: "
        f"{1e-6 * query * crafted.forwards * _IMAGES:.0f} CPU s"
    )


if __name__ == "__main__":
    main()
