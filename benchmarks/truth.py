"""Is there an image that a peer's attack finds on a defense, and none of ours?

    python benchmarks/truth.py --defense ibol [--norm L2] [--images 50]

Each defense of ``configs/`` for MNIST is trained shortly and kept (`truth_networks.py`). Ours are
the attacks of `strong` and `quick`, those of `standard` but AutoAttack, and in L2 those of
`minimal`. Each gets the images that those before it left. The peers are fra31's AutoAttack
(``pyautoattack``) and attacks of adversarial-library, as far as they are installed. APGD, DDN and
AutoAttack get all images. The others, which are rarely the best, get those that ours left. All
attack through the adaptive view, and the defense says whether an image within eps is misclassified.

What an attack found is written to ``truth.csv`` of ``--kept`` at once, and is not measured again;
``--again ours`` measures ours again. The table is of all that is there, and with ``--table``
nothing is measured. A network that classifies fewer than half of the images correctly is left out.
Exit status 1 if one is, or if a peer alone found more than one image of a hundred.
"""

import argparse
import csv
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import peers
import torch
from torch import Tensor, nn
from truth_networks import names, trained, usual_eps

from robust.attacks import craft, sample_seeds
from robust.commands.process import keep_freed_memory
from robust.defenses import Defense
from robust.evaluation.budget import within
from robust.loading.suites import evaluation_of_suite
from robust.threat import ThreatModel
from robust.types import Norm

Attack = Callable[[Defense, Tensor, Tensor], Tensor]

SUITES = {
    "Linf": ("strong", "quick", "standard"),
    "L2": ("strong", "quick", "standard", "minimal"),
}
_LONG = ("standard autoattack",)
"""Attacks of ours that are left out, as a peer's is the same and takes most of the time."""
Kind = Literal["ours", "peer", "peer on the rest"]


class Images(NamedTuple):
    """Images of a defense: those it classifies correctly of the first so many from one on."""

    defense: str
    norm: Norm
    eps: float
    first: int
    images: int
    seed: int


class Found(NamedTuple):
    """Which images of a defense one attack found, and its cost in CPU seconds."""

    attack: str
    kind: Kind
    images: list[int]
    cpu: float
    right: int
    """Images that the defense classifies correctly, of all that were attacked."""


def ours(norm: Norm, eps: float, seed: int) -> Iterator[tuple[str, Attack]]:
    """Yield the attacks of our suites."""
    for suite in SUITES[norm]:
        attacks = within(evaluation_of_suite(suite).suite, eps, norm).suite.builders
        for name, build in attacks.items():
            if f"{suite} {name}" in _LONG:
                continue
            yield f"{suite} {name}", partial(_crafted, build, seed)


def _crafted(build: Any, seed: int, defense: Defense, x: Tensor, y: Tensor) -> Tensor:  # noqa: ANN401
    seeds, view = sample_seeds(seed, torch.arange(len(y))), defense.view("adaptive")
    return craft(build, view, x, y, sample_seeds=seeds, judge=defense).x_adv


def theirs(norm: Norm, eps: float, seed: int) -> Iterator[tuple[str, Kind, Attack]]:
    """Yield the attacks of the peers that are installed."""
    library = peers.library("adv_lib.attacks")
    order = {"Linf": float("inf"), "L2": 2.0}[norm]
    if library is not None:
        functions: dict[str, tuple[Kind, peers.Run]] = {
            "apgd": ("peer", partial(library.apgd, eps=eps, norm=order)),
            "apgd_targeted": ("peer", partial(library.apgd_targeted, eps=eps, norm=order)),
            "fmn": ("peer on the rest", partial(library.fmn, norm=order, steps=300)),
            "pdpgd": ("peer on the rest", partial(library.pdpgd, norm=order)),
        }
        if norm == "L2":
            functions["ddn"] = "peer", partial(library.ddn, steps=300, levels=None)
            functions["alma"] = "peer on the rest", library.alma
        for name, (kind, function) in functions.items():
            yield f"adv-lib {name}", kind, partial(_on_view, function, seed)
    if (other := peers.library("pyautoattack")) is not None:
        run = partial(_standard, other, norm, eps, seed)
        yield "pyautoattack", "peer", partial(_on_view, run, seed)


def _standard(
    library: Any,  # noqa: ANN401
    norm: Norm,
    eps: float,
    seed: int,
    view: nn.Module,
    x: Tensor,
    y: Tensor,
) -> Tensor:
    attack = library.AutoAttack(view, norm=norm, eps=eps, seed=seed, version="standard")
    found: Tensor = attack.run_standard_evaluation(x, y, batch_size=len(y))[0]
    return found


def _on_view(attack: peers.Run, seed: int, defense: Defense, x: Tensor, y: Tensor) -> Tensor:
    torch.manual_seed(seed)
    return attack(defense.view("adaptive"), x, y).detach()


def measure(
    defense: Defense,
    x: Tensor,
    y: Tensor,
    these: Images,
    known: Mapping[str, Found],
    wanted: Sequence[str] = (),
) -> Iterator[Found]:
    """Run the attacks of which nothing is known, ours on what is left of those before them.

    Of the peers it runs those that are ``wanted``, or all.
    """
    limits, everyone = ThreatModel(these.norm, these.eps), torch.arange(len(y))
    left = everyone
    for name, run in ours(these.norm, these.eps, these.seed):
        found = known.get(f"{name}, ours")
        if found is None and len(left):
            found = _found(name, "ours", run, defense, x, y, limits, left)
            yield found
        if found is not None:
            left = left[~torch.isin(left, torch.tensor(found.images, dtype=torch.long))]
    for name, kind, run in theirs(these.norm, these.eps, these.seed):
        rows = everyone if kind == "peer" else left
        if name not in known and len(rows) and (not wanted or name in wanted):
            yield _found(name, kind, run, defense, x, y, limits, rows)


def _found(
    name: str,
    kind: Kind,
    run: Attack,
    defense: Defense,
    x: Tensor,
    y: Tensor,
    limits: ThreatModel,
    rows: Tensor,
) -> Found:
    start = time.process_time()
    x_adv = run(defense, x[rows].clone(), y[rows].clone()).nan_to_num().clamp(0, 1)
    cpu = time.process_time() - start
    with torch.no_grad():
        wrong = defense(x_adv).argmax(dim=1) != y[rows]
    near = limits.distance(x[rows], x_adv) <= limits.limit
    found = Found(name, kind, rows[wrong & near].tolist(), cpu, len(y))
    told = f"  {name}: {len(found.images)} of {len(rows)}, {cpu:.1f} CPU s"
    print(told, file=sys.stderr, flush=True)
    return found


class Notes:
    """This is the CSV file of all that was measured."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.known: dict[Images, dict[str, Found]] = {}
        if not file.exists():
            return
        with file.open(newline="") as lines:
            for defense, norm, eps, first, images, seed, *found in csv.reader(lines):
                numbers = float(eps), int(first), int(images), int(seed)
                attack, kind, rows, cpu, right = found
                these = Images(defense, cast(Norm, norm), *numbers)
                images_found = [int(row) for row in rows.split()]
                self._take(
                    these, Found(attack, cast(Kind, kind), images_found, float(cpu), int(right))
                )

    def _take(self, these: Images, found: Found) -> None:
        self.known.setdefault(these, {})[found.attack + ", ours" * (found.kind == "ours")] = found

    def add(self, these: Images, found: Found) -> None:
        """Write down what an attack found; what was known of it counts no longer."""
        self._take(these, found)
        rows = " ".join(map(str, found.images))
        with self.file.open("a", newline="") as lines:
            line = (*these, found.attack, found.kind, rows, f"{found.cpu:.2f}", found.right)
            csv.writer(lines).writerow(line)


def report(these: Images, found: Iterable[Found]) -> bool:
    """Print a row of the table, and return whether no peer is alone beyond one of a hundred.

    The seconds are those of `strong`, of all of ours, and of the best peer.
    """
    found = list(found)
    mine = {image for each in found if each.kind == "ours" for image in each.images}
    peer, n = [each for each in found if each.kind != "ours"], found[0].right
    others = {image for each in peer for image in each.images}
    best = max(
        (each for each in peer if each.kind == "peer"),
        key=lambda each: len(each.images),
        default=None,
    )
    told = "" if best is None else f"{n - len(best.images)} ({best.attack})"
    strong = next((each for each in found if each.attack == "strong strong"), None)
    alone = sorted(others - mine)
    left = "" if strong is None else n - len(strong.images)
    all_of_ours = sum(each.cpu for each in found if each.kind == "ours")
    first, last = ("-" if each is None else f"{each.cpu:.0f}" for each in (strong, best))
    print(
        f"| {these.defense} | {these.norm} {these.eps:g} | {n} | {left} | {n - len(mine)} | "
        f"{told} | {n - len(mine | others)} | {len(alone)} | {first}, {all_of_ours:.0f}, {last} |"
    )
    return len(alone) <= max(1, n // 100)


def _attacked(these: Images, notes: Notes, options: argparse.Namespace) -> bool:
    """Measure what is not known of a defense, unless it classifies few images correctly."""
    known = notes.known.setdefault(these, {})
    if options.again == "ours":
        known = {name: found for name, found in known.items() if found.kind != "ours"}
        notes.known[these] = known
    run = trained(these.defense, options.kept, options.batches)
    defense = run.defense.eval()
    x, y, _ = run.data.test_samples(these.first, these.first + these.images)
    with torch.no_grad():
        right = defense(x).argmax(dim=1) == y
    title = f"{these.defense}, {these.norm} {these.eps:g}"
    if 2 * right.sum() < len(y):
        told = f"{title}: only {right.sum()} of {len(y)} images are classified correctly, left out"
        print(told, file=sys.stderr, flush=True)
        return False
    print(title, file=sys.stderr, flush=True)
    for found in measure(defense, x[right], y[right], these, dict(known), options.peer):
        notes.add(these, found)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--defense", action="append", choices=names())
    parser.add_argument("--norm", choices=list(SUITES), action="append", help="both if not given")
    parser.add_argument("--eps", type=float, help="that of the defense if not given")
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--first", type=int, default=0, help="index of the first image")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batches", type=int, default=100, help="of an epoch of the training")
    parser.add_argument("--peer", action="append", default=[], help="such as 'adv-lib ddn'")
    parser.add_argument("--again", choices=["ours"], help="measure ours again")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    parser.add_argument("--kept", type=Path, default=Path("runs/truth"))
    options = parser.parse_args()
    keep_freed_memory()
    warnings.simplefilter("ignore")
    options.kept.mkdir(parents=True, exist_ok=True)
    notes, complete = Notes(options.kept / "truth.csv"), True
    for name in [] if options.table else options.defense or names():
        for norm in options.norm or SUITES:
            eps = usual_eps(name, norm) if options.eps is None else options.eps
            these = Images(name, cast(Norm, norm), eps, options.first, options.images, options.seed)
            complete &= _attacked(these, notes, options)
    print("| defense | eps | images | strong | ours | best peer | union | only a peer | CPU s |")
    print("| --- | --- | ---: | ---: | ---: | --- | ---: | ---: | --- |")
    rows = [report(these, found.values()) for these, found in notes.known.items() if found]
    return 0 if complete and all(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
