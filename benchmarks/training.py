"""Loading one epoch of MNIST takes torchvision with a DataLoader and our data module in one run.

    python benchmarks/training.py [--root data]

Both shuffle 60,000 images and hand out float32 batches of 128 in [0, 1] on the CPU. The rounds
alternate and medians are compared, so that a busy machine slows both. Without MNIST in ``--root``,
random files of the same size are used. Exit status 1 if ours takes more than 1/30 of the CPU time.
"""

import argparse
import os
import statistics
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader
from torchvision.datasets import MNIST
from torchvision.transforms import ToTensor

from robust.data import ImageDataModule

TARGET = 30
BATCH_SIZE = 128


class Seconds(NamedTuple):
    """What one epoch took: on the clock, and on all cores together."""

    wall: float
    cpu: float


def write_stand_in(root: Path) -> None:
    """Random idx files of MNIST's sizes."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    random = np.random.default_rng(0)
    for part, n in (("train", 60_000), ("t10k", 10_000)):
        for kind, shape, high in (("images-idx3", (n, 28, 28), 256), ("labels-idx1", (n,), 10)):
            header = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
            values = random.integers(0, high, shape, dtype=np.uint8)
            (raw / f"{part}-{kind}-ubyte").write_bytes(header + values.tobytes())


def torchvision_epoch(root: Path) -> Callable[[], int]:
    loader = DataLoader(MNIST(root, transform=ToTensor()), BATCH_SIZE, shuffle=True, num_workers=0)
    return lambda: sum(len(x) for x, _ in loader)


def our_epoch(root: Path) -> Callable[[], int]:
    data = ImageDataModule("mnist", root=str(root), batch_size=BATCH_SIZE, val_fraction=0.0)
    loader = data.train_dataloader()
    return lambda: sum(len(data.on_after_batch_transfer(batch, 0).x) for batch in loader)


def measure(epoch: Callable[[], int]) -> Seconds:
    wall, cpu = time.perf_counter(), time.process_time()
    images = epoch()
    seconds = Seconds(time.perf_counter() - wall, time.process_time() - cpu)
    if images != 60_000:
        raise SystemExit(f"Expected an epoch of 60000 images, but got {images}. Check --root.")
    return seconds


def median(rounds: list[Seconds]) -> Seconds:
    return Seconds(*(statistics.median(column) for column in zip(*rounds, strict=True)))


def compare(root: Path, rounds: int) -> float:
    """Print the table and return how many times less CPU time ours takes."""
    epochs = {"torchvision + DataLoader": torchvision_epoch(root), "ours": our_epoch(root)}
    taken: dict[str, list[Seconds]] = {name: [] for name in epochs}
    for _ in range(rounds):
        for name, epoch in epochs.items():
            taken[name].append(measure(epoch))
    medians = {name: median(seconds) for name, seconds in taken.items()}
    reference = medians["torchvision + DataLoader"]
    print(f"one epoch, batch {BATCH_SIZE}, median of {rounds}, {torch.get_num_threads()} threads")
    print(f"{'':26}{'wall s':>9}{'CPU s':>9}{'us/image':>10}{'ratio':>8}")
    for name, seconds in medians.items():
        ratio = reference.cpu / seconds.cpu
        per_image = seconds.cpu / 60_000 * 1e6
        print(f"{name:26}{seconds.wall:9.3f}{seconds.cpu:9.3f}{per_image:10.2f}{ratio:>7.1f}x")
    return reference.cpu / medians["ours"].cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--root", type=Path, default=Path(os.environ.get("ROBUST_DATA_DIR", "data"))
    )
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = arguments.root
        if not (root / "MNIST" / "raw").is_dir():
            print(f"No MNIST in {root}: random images of the same size.")
            root = Path(folder)
            write_stand_in(root)
        # The variable would override the root of our side alone.
        os.environ["ROBUST_DATA_DIR"] = str(root)
        ratio = compare(root, arguments.rounds)
    met = ratio >= TARGET
    print(f"target: at most 1/{TARGET} of the CPU time: {'met' if met else 'MISSED'}")
    raise SystemExit(0 if met else 1)


if __name__ == "__main__":
    main()
