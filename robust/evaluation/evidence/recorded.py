"""What records say of each image: which attack is the strongest, and what all attacks leave."""

from typing import NamedTuple

import numpy as np

from robust.results import signs
from robust.results.metrics import robust_accuracy
from robust.results.rates import Rate
from robust.results.records import Evaluation
from robust.results.rows import Column


class Images(NamedTuple):
    """Images of records through one view that are classified correctly."""

    index: Column  # type: ignore[assignment] # a column, not tuple's method
    robust: Column
    """Whether all attacks fail on it."""

    def among(self, index: Column) -> Rate:
        """Return how many of some images are robust."""
        return Rate(int(self.robust[np.isin(self.index, index)].sum()), len(index))


def strongest(part: Evaluation, view: str) -> str:
    """Return the attack that leaves least through a view, and the longest of several.

    An attack that follows gradients for many steps comes before others, one without a target too.
    """
    attacks = part.header.attacks
    names = [name for name in attacks if len(part.select(view, name))]
    for wanted in (signs.is_iterated, lambda info: info.target is None):
        names = [name for name in names if wanted(attacks[name])] or names

    def left(name: str) -> tuple[float, float]:
        rows = part.select(view, name)
        return robust_accuracy(rows, attacks[name]).value, -float(rows["forwards"].mean())

    return min(names, key=left)


def correct_images(part: Evaluation, view: str, *, iterated: bool = False) -> Images:
    """Return the images that are classified correctly, and which of them attacks leave.

    Args:
        part: Records under one threat model.
        view: The view.
        iterated: Whether only attacks of many steps count; of none, all images are left.
    """
    attacks = part.header.attacks
    first = part.select(view, next(iter(attacks)))
    correct = first["clean_pred"] == first["label"]
    robust = correct.copy()
    for name, info in attacks.items():
        if not iterated or signs.is_iterated(info):
            robust &= info.robust(part.select(view, name))
    return Images(first["index"][correct], robust[correct])


def left_by(part: Evaluation, view: str, attack: str, index: Column) -> Rate:
    """Return how many of some images one attack leaves."""
    rows = part.select(view, attack)
    robust = part.header.attacks[attack].robust(rows)
    return Images(rows["index"], robust).among(index)


def seconds_of(part: Evaluation) -> float:
    """Return how long all attacks took."""
    return float(part.rows["seconds"].sum())
