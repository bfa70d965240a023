"""The weighted nonlocal Laplacian is compared with scipy's sparse solver in time and memory.

    python benchmarks/wnll.py [--rounds 40] [--device cpu]

500 queries and 500 labelled points of 64 features and ten overlapping classes. Ours includes the
search for neighbours, scipy's system is assembled from the graph that ours has found. In turn,
medians. Exit status 1 if the scores take longer than scipy's on the CPU, with their gradient more
than 2.7 times as long, or 100 MiB.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import scipy.sparse
import torch
import torch.nn.functional as F
from scipy.sparse.linalg import spsolve

from robust.commands.process import keep_freed_memory
from robust.defenses.wnll.laplacian import WeightedNonlocalLaplacian, nearest

POINTS, FEATURES, CLASSES = 500, 64, 10
MOST = {"scores": 1.0, "scores and gradient": 2.7}
MOST_MIB = 100


def by_scipy(weights: np.ndarray, neighbors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Eq. 3 assembled and solved as a sparse system."""
    n, m = len(weights), len(labels)
    rows_and_columns = np.repeat(np.arange(n), neighbors.shape[1]), neighbors.ravel()
    one_way = scipy.sparse.csr_matrix((weights.ravel(), rows_and_columns), shape=(n, n))
    both = (one_way + one_way.T).tocsr()
    fixed = both[m:, :m] + (n / m - 1) * one_way[:m, m:].T
    free = both[m:, m:]
    degree = np.asarray(fixed.sum(axis=1) + free.sum(axis=1)).ravel()
    return spsolve((scipy.sparse.diags(degree) - free).tocsc(), fixed @ labels)  # type: ignore[no-any-return]


def peak_mib(job: Callable[[], object]) -> float:
    """What the job's tensors need together on the CPU, beyond those that are there before."""
    with torch.profiler.profile(profile_memory=True, record_shapes=False) as profiler:
        job()
    used = peak = 0
    for event in sorted(profiler.profiler.kineto_results.events(), key=lambda e: e.start_ns()):  # type: ignore[union-attr]
        if event.name() == "[memory]":
            used += event.nbytes()
            peak = max(peak, used)
    return peak / 2**20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)
    classes = torch.arange(POINTS) % CLASSES
    centers = 0.5 * torch.randn(CLASSES, FEATURES)
    template, queries = (
        (centers[classes] + torch.randn(POINTS, FEATURES)).relu().to(options.device)
        for _ in range(2)
    )
    labels = F.one_hot(classes, CLASSES).float().to(options.device)
    layer = WeightedNonlocalLaplacian()
    points = torch.cat([template, queries])
    neighbors = nearest(points, layer.neighbors)
    weights = layer.weights(points, neighbors)
    known = [t.cpu().double().numpy() for t in (weights, labels)]
    graph = neighbors.cpu().numpy()
    queries.requires_grad_()

    def gradient() -> torch.Tensor:
        return torch.autograd.grad(layer(queries, template, labels).square().sum(), queries)[0]

    jobs: dict[str, Callable[[], object]] = {
        "scipy, without the graph": lambda: by_scipy(known[0], graph, known[1]),
        "scores": lambda: layer(queries.detach(), template, labels),
        "scores and gradient": gradient,
        "scores, each alone": lambda: layer.alone(queries.detach(), template, labels),
    }
    cpu: dict[str, list[float]] = {name: [] for name in jobs}
    wall: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(options.rounds):
        for name, job in jobs.items():
            start, began = time.process_time(), time.perf_counter()
            job()
            if options.device != "cpu":
                torch.cuda.synchronize()
            cpu[name].append(time.process_time() - start)
            wall[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(times) for name, times in cpu.items()}
    base = medians["scipy, without the graph"]
    print("| job | CPU ms | wall ms | CPU / scipy |\n| --- | ---: | ---: | ---: |")
    for name, median in medians.items():
        clock = 1e3 * statistics.median(wall[name])
        print(f"| {name} | {1e3 * median:.2f} | {clock:.2f} | {median / base:.2f} |")
    error = np.abs(jobs["scores"]().cpu().numpy() - by_scipy(known[0], graph, known[1])).max()  # type: ignore[attr-defined]
    print(f"largest difference from scipy: {error:.1e}")
    slow = any(medians[name] > most * base for name, most in MOST.items())
    if options.device == "cpu":
        mib = peak_mib(gradient)
        print(f"memory of scores and gradient: {mib:.0f} MiB")
        slow |= mib > MOST_MIB
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
