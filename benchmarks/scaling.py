"""Several processes are compared with one in training and attacks, each with one thread.

    python benchmarks/scaling.py [--processes 2] [--rounds 3] [--steps 60] [--images 512]

Training has batches of 128 images for each process, on the network of Tuna et al. 2022. Attacks are
ten steps of PGD on a fixed number of images, shared among the processes. Each round starts one
process, then several, by Lightning on this machine. Medians over the rounds are in time per image.
The efficiency is the time of one process over p times that of p processes. By CPU time it leaves
out other work of the machine, and waiting. It needs as many free cores as processes. Exit status 1
if an efficiency by wall time is below 0.8.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer

from robust.attacks import PGD
from robust.commands.process import keep_freed_memory
from robust.data import ImageDataModule
from robust.defenses import Standard
from robust.evaluation import AttackEvaluation
from robust.evaluation.suite import Suite
from robust.networks import TunaMnistCNN
from robust.threat import ThreatModel
from robust.tracking import Preemption

LEAST = 0.8
BATCH_SIZE = 128
BLOCK = 32


class Seconds(NamedTuple):
    """Of one image: on the clock; and on the cores, of all processes together."""

    wall: float
    cpu: float


class Clock(Callback):
    """Notes when each training step began."""

    def __init__(self) -> None:
        self.starts: list[tuple[float, float]] = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Note wall and CPU time."""
        self.starts.append((time.perf_counter(), time.process_time()))


def trainer(folder: Path, processes: int, callback: Callback, steps: int) -> Trainer:
    """One as `train.py` has it."""
    return Trainer(
        accelerator="cpu",
        devices=processes,
        strategy="ddp" if processes > 1 else "auto",
        callbacks=[callback, Preemption(folder)],
        default_root_dir=folder,
        max_steps=steps,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        inference_mode=False,
        use_distributed_sampler=False,
    )


def measure(folder: Path, processes: int, steps: int, images: int) -> dict[str, Seconds]:
    """Run this process's part of one round; times as its own clocks have them."""
    keep_freed_memory()
    defense = Standard(TunaMnistCNN())
    data = ImageDataModule(str(folder / "images.npz"), batch_size=BATCH_SIZE, val_fraction=0.0)
    clock = Clock()
    trainer(folder, processes, clock, steps).fit(defense, data)
    # The first steps allocate memory.
    walls, cpus = (np.diff(times)[5:] for times in zip(*clock.starts, strict=True))
    shared = BATCH_SIZE * processes
    training = Seconds(
        statistics.median(walls) / shared, processes * statistics.median(cpus) / shared
    )
    suite = Suite(
        "scaling",
        attacks={"pgd": lambda view: PGD(view, eps=0.3, steps=10)},
        threat_model=ThreatModel(eps=0.3),
        views=["deployed"],
        limit=images,
        block=BLOCK,
    )
    records = str(folder / f"records{os.environ['ROUND']}")
    evaluation = AttackEvaluation(suite, records=records)
    start = time.perf_counter(), time.process_time()
    trainer(folder, processes, evaluation, steps).test(defense, data, verbose=False)
    wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    return {"training": training, "attacks": Seconds(wall / images, processes * cpu / images)}


def write_images(path: Path, n: int, n_test: int) -> None:
    """Images of MNIST's size, with a bright bar for the class: only what is right is attacked."""
    random = np.random.default_rng(0)
    arrays = {}
    for part, m in (("train", n), ("test", n_test)):
        y = np.arange(m) % 10
        x = random.integers(0, 60, (m, 28, 28), np.uint8)
        for image, label in zip(x, y, strict=True):
            image[2 * label : 2 * label + 3] += 150
        arrays |= {f"x_{part}": x, f"y_{part}": y}
    np.savez(path, **arrays)


def in_a_process(folder: Path, number: int, words: list[str]) -> dict[str, Seconds]:
    """Run one round in new processes."""
    result = folder / "result.json"
    command = [sys.executable, __file__, *words, "--folder", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ROUND": str(number)}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return {name: Seconds(*times) for name, times in json.loads(result.read_text()).items()}


def main() -> int:
    """Measure and print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--folder", type=Path, help="of one round; used by the command itself")
    options = parser.parse_args()
    sizes = (options.steps, options.images)
    if options.folder is not None:
        times = measure(options.folder, options.processes, *sizes)
        if os.environ.get("LOCAL_RANK", "0") == "0":
            (options.folder / "result.json").write_text(json.dumps(times))
        return 0
    counts = (1, options.processes)
    rounds: dict[int, list[dict[str, Seconds]]] = {count: [] for count in counts}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder / "images.npz", 20 * BATCH_SIZE * max(counts), options.images)
        for number in range(options.rounds * len(counts)):
            count = counts[number % len(counts)]
            words = [f"--processes={count}", f"--steps={sizes[0]}", f"--images={sizes[1]}"]
            rounds[count].append(in_a_process(folder, number, words))
    return report(rounds)


def report(rounds: dict[int, list[dict[str, Seconds]]]) -> int:
    """Print medians and efficiencies, and return 1 if one is too low."""
    print("| | processes | wall us/image | CPU us/image | efficiency | by CPU time |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    least = 1.0
    for what in ("training", "attacks"):
        medians = {
            count: Seconds(*map(statistics.median, zip(*(r[what] for r in taken), strict=True)))
            for count, taken in rounds.items()
        }
        for count, (wall, cpu) in medians.items():
            by_wall, by_cpu = medians[1].wall / (count * wall), medians[1].cpu / cpu
            least = min(least, by_wall)
            numbers = f"{1e6 * wall:.0f} | {1e6 * cpu:.0f} | {by_wall:.2f} | {by_cpu:.2f}"
            print(f"| {what} | {count} | {numbers} |")
    return int(least < LEAST)


if __name__ == "__main__":
    sys.exit(main())
