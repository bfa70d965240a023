"""What of a suite is on record, what is not, and what is robust so far."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any, final

from robust.evaluation.blocks import Block, is_robust
from robust.evaluation.suite import Suite
from robust.results.records import AttackInfo, Evaluation
from robust.tracking.progress import Parts

Views = Sequence[str]
"""The names of one module, which is attacked once for all of them."""


@final
class Attacking:
    """Attacking knows what of a suite a process has to do, and counts what it has done.

    Args:
        suite: The attacks.
        views: Of each module that is attacked, its names.
        share: The blocks of this process.
        known: Records of an earlier evaluation.
        processes: How many attack, each a share of its own.
    """

    def __init__(
        self,
        suite: Suite,
        views: Sequence[Views],
        share: Sequence[range],
        known: Evaluation,
        processes: int = 1,
    ) -> None:
        self._suite, self._recorded = suite, {row[:3] for row in known.rows}
        self._robust = {_name(names): _robust_on_record(known, names) for names in views}
        every = [(names, attack) for names in views for attack in suite.attacks]
        totals = sum(map(len, share))
        done = {
            _part(names, attack): sum(
                len(block) for block in share if attack not in self.missing(names, block)
            )
            for names, attack in every
        }
        title = suite.name if processes == 1 else f"{suite.name} (process 1 of {processes})"
        self.parts = Parts(title, dict.fromkeys(done, totals), done, "attacks on images")
        """How much is done, for a display."""

    def missing(self, views: Views, block: range) -> list[str]:
        """Return the attacks that are not on record of all images of a block.

        Args:
            views: Names of what is attacked.
            block: Indices of the images.
        """
        return [
            name
            for name in self._suite.attacks
            if any((v, name, i) not in self._recorded for v in views for i in block)
        ]

    @contextlib.contextmanager
    def attack(self, views: Views, name: str, block: Block) -> Iterator[dict[str, Any]]:
        """Count an attack on a block, and yield a place for its columns of `attacked`.

        Args:
            views: Names of what is attacked.
            name: Of the attack.
            block: The images.
        """
        info, columns = self._suite.infos[name], dict[str, Any]()
        correct = int((block.scores.argmax(dim=1) == block.y).sum())
        with self.parts.part(_part(views, name), len(block.y), correct, _most(info)):
            yield columns
        robust = self._robust[_name(views)]
        left = zip(block.index.tolist(), is_robust(info, columns).tolist(), strict=True)
        robust.update({i: is_left and robust.get(i, True) for i, is_left in left})
        self.parts.note = _so_far(robust)


_QUERIES = ("queries", "n_queries")
"""Arguments that bound the forward passes for an image."""
_STEPPING = {"PGD", "PGDL2", "APGD", "BIM", "MIFGSM", "DDN", "FMN"}
"""Attacks that take a forward pass a step, from each of their starts."""
_STARTS = ("restarts", "n_restarts", "samples", "eot_iter")


def _most(info: AttackInfo) -> int | None:
    """Return how many forward passes an image takes at most; None if its arguments do not say."""
    known = info.arguments
    for key in _QUERIES:
        if key in known:
            return int(known[key])
    if info.name not in _STEPPING or "steps" not in known:
        return None
    steps = int(known["steps"]) + int(known.get("far_steps", 0)) + 2  # where a climb begins, ends
    return steps * math.prod(int(known.get(key, 1)) for key in _STARTS) + 1


def _name(views: Views) -> str:
    return " and ".join(views)


def _part(views: Views, attack: str) -> str:
    return f"{attack}, {_name(views)}"


def _so_far(robust: dict[int, bool]) -> str:
    return f"robust so far {100 * sum(robust.values()) / len(robust):.1f} % of {len(robust)}"


def _robust_on_record(known: Evaluation, views: Views) -> dict[int, bool]:
    """Return which images are robust under the attacks on record."""
    robust: dict[int, bool] = {}
    for name, info in known.header.attacks.items():
        rows = known.select(views[0], name)
        for i, is_left in zip(rows["index"].tolist(), info.robust(rows).tolist(), strict=True):
            robust[i] = is_left and robust.get(i, True)
    return robust
