"""Is there an image that a peer's attack finds on a defense, and none of ours?

    python benchmarks/truth.py --defense ibol [--norm L2] [--images 50]

Each defense of ``configs/`` for MNIST is trained shortly and kept, one a call or all in turn. Ours
are the attacks of `quick` and `strong`, and in L2 those of `minimal`. The peers are fra31's
AutoAttack (``pyautoattack``) and attacks of adversarial-library, as far as they are installed. All
attack through the adaptive view, and the defense says whether an image within eps is misclassified.
What was measured is kept, too, and the table is of all of it. Exit status 1 if a peer alone found
more than one image of a hundred.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import peers
import torch
from torch import Tensor, nn

from robust.attacks import craft, sample_seeds
from robust.commands.process import keep_freed_memory
from robust.commands.train import train
from robust.defenses import Defense
from robust.evaluation.budget import within
from robust.loading.suites import evaluation_of_suite
from robust.loading.trained_run import TrainedRun
from robust.threat import ThreatModel
from robust.types import Norm

Attack = Callable[[Defense, Tensor, Tensor], Tensor]

CONFIGS = Path(__file__).parents[1] / "configs"
SUITES = {"Linf": ("quick", "strong"), "L2": ("quick", "strong", "minimal")}
_EPS = {"Linf": 0.2, "L2": 1.5}


class Found(NamedTuple):
    """Which images of a defense one attack found, and its cost in CPU seconds."""

    attack: str
    ours: bool
    images: list[int]
    cpu: float


def names() -> list[str]:
    """Return the defenses whose config is of MNIST."""
    return sorted(p.stem for p in CONFIGS.glob("*.yaml") if "data/mnist" in p.read_text())


def trained(name: str, kept: Path, batches: int) -> TrainedRun:
    """Return a defense after an epoch of so many batches; it is trained once."""
    folder = kept / name / "a"
    if not (folder / "checkpoints").exists():
        status = train(
            [
                *("fit", "--config", str(CONFIGS / f"{name}.yaml"), "--trainer.max_epochs=1"),
                *(f"--trainer.limit_train_batches={batches}", "--evaluation=null"),
                *(f"--run.root={kept}", f"--run.name={name}", "--run.id=a"),
            ]
        )
        if status:
            sys.exit(status)
    return TrainedRun.load(folder)


def ours(norm: Norm, eps: float) -> Iterator[tuple[str, Attack]]:
    """Yield the attacks of our suites."""
    for suite in SUITES[norm]:
        attacks = within(evaluation_of_suite(suite).suite, eps, norm).suite.builders
        for name, build in attacks.items():
            yield f"{suite} {name}", partial(_crafted, build)


def _crafted(build: Any, defense: Defense, x: Tensor, y: Tensor) -> Tensor:  # noqa: ANN401
    seeds, view = sample_seeds(0, torch.arange(len(y))), defense.view("adaptive")
    return craft(build, view, x, y, sample_seeds=seeds, judge=defense).x_adv


def theirs(norm: Norm, eps: float) -> Iterator[tuple[str, Attack]]:
    """Yield the attacks of the peers that are installed."""
    library = peers.library("adv_lib.attacks")
    order = {"Linf": float("inf"), "L2": 2.0}[norm]
    if library is not None:
        for name in ("apgd", "apgd_targeted"):
            attack = partial(getattr(library, name), eps=eps, norm=order)
            yield f"adv-lib {name}", partial(_on_view, attack)
        yield "adv-lib fmn", partial(_on_view, partial(library.fmn, norm=order, steps=300))
        yield "adv-lib pdpgd", partial(_on_view, partial(library.pdpgd, norm=order))
        if norm == "L2":
            ddn = partial(library.ddn, steps=300, levels=None)
            yield "adv-lib ddn", partial(_on_view, ddn)
            yield "adv-lib alma", partial(_on_view, library.alma)
    if (other := peers.library("pyautoattack")) is not None:
        yield "pyautoattack", partial(_on_view, partial(_standard, other, norm, eps))


def _standard(
    library: Any,  # noqa: ANN401
    norm: Norm,
    eps: float,
    view: nn.Module,
    x: Tensor,
    y: Tensor,
) -> Tensor:
    attack = library.AutoAttack(view, norm=norm, eps=eps, seed=0, version="standard")
    found: Tensor = attack.run_standard_evaluation(x, y, batch_size=len(y))[0]
    return found


def _on_view(attack: peers.Run, defense: Defense, x: Tensor, y: Tensor) -> Tensor:
    torch.manual_seed(0)
    return attack(defense.view("adaptive"), x, y).detach()


def measure(defense: Defense, x: Tensor, y: Tensor, limits: ThreatModel) -> list[Found]:
    """Run every attack on all images."""
    everyone = [
        *((name, True, run) for name, run in ours(limits.norm, limits.eps)),
        *((name, False, run) for name, run in theirs(limits.norm, limits.eps)),
    ]
    return [_found(name, own, run, defense, x, y, limits) for name, own, run in everyone]


def _found(
    name: str,
    own: bool,
    run: Attack,
    defense: Defense,
    x: Tensor,
    y: Tensor,
    limits: ThreatModel,
) -> Found:
    start = time.process_time()
    x_adv = run(defense, x.clone(), y.clone()).nan_to_num().clamp(0, 1)
    cpu = time.process_time() - start
    with torch.no_grad():
        wrong = defense(x_adv).argmax(dim=1) != y
    near = limits.distance(x, x_adv) <= limits.limit
    found = Found(name, own, (wrong & near).nonzero().squeeze(1).tolist(), cpu)
    print(
        f"  {name}: {len(found.images)} of {len(y)}, {cpu:.1f} CPU s", file=sys.stderr, flush=True
    )
    return found


def report(name: str, limits: str, n: int, found: list[Found]) -> bool:
    """Print a row of the table, and return whether no peer is alone beyond one of a hundred."""
    mine = {image for each in found if each.ours for image in each.images}
    peer = [each for each in found if not each.ours]
    others = {image for each in peer for image in each.images}
    best = max(peer, key=lambda each: len(each.images), default=None)
    told = "" if best is None else f"{n - len(best.images)} ({best.attack})"
    alone = others - mine
    print(
        f"| {name} | {limits} | {n} | {n - len(mine)} | {told} | {n - len(mine | others)} | "
        f"{len(alone)} |"
    )
    return len(alone) <= max(1, n // 100)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--defense", action="append", choices=names())
    parser.add_argument("--norm", choices=list(_EPS), default="Linf")
    parser.add_argument("--eps", type=float, help="0.2 in Linf and 1.5 in L2 if not given")
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--batches", type=int, default=150, help="of the training")
    parser.add_argument("--kept", type=Path, default=Path("runs/truth"))
    options = parser.parse_args()
    keep_freed_memory()
    warnings.simplefilter("ignore")
    eps = _EPS[options.norm] if options.eps is None else options.eps
    limits, rows = ThreatModel(options.norm, eps), []
    for name in options.defense or names():
        file = options.kept / name / f"{options.norm} {eps:g}, {options.images}.json"
        if not file.exists():
            run = trained(name, options.kept, options.batches)
            defense = run.defense.eval()
            x, y, _ = run.data.test_samples(0, options.images)
            with torch.no_grad():
                right = defense(x).argmax(dim=1) == y
            file.write_text(
                json.dumps([int(right.sum()), measure(defense, x[right], y[right], limits)])
            )
        n, found = json.loads(file.read_text())
        rows.append((name, f"{options.norm} {eps:g}", n, [Found(*each) for each in found]))
    print("| defense | eps | images | ours | best peer | union | only a peer |")
    print("| --- | --- | ---: | ---: | --- | ---: | ---: |")
    return 0 if all([report(*row) for row in rows]) else 1


if __name__ == "__main__":
    sys.exit(main())
