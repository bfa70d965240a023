"""Samples that are attacked together: what the evaluation of a test and of an epoch share."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool
from lightning.pytorch import Trainer
from torch import Tensor, nn

from robust.attacks import sample_seeds
from robust.defenses.base import Defense
from robust.evaluation.records import AttackInfo
from robust.evaluation.rows import Row
from robust.evaluation.suite import random_targets
from robust.tracking import log_adversarial_table
from robust.types import Batch, Images, Labels, Scores, View
from robust.words import limit_of


class Block(NamedTuple):
    """Samples on the defense's device, with its clean scores."""

    x: Images
    y: Labels
    index: Labels  # type: ignore[assignment] # a column, not tuple's method
    scores: Scores

    def at(self, chosen: Bool[Tensor, " n"]) -> "Block":
        """Those samples of it."""
        return Block(*(part[chosen] for part in self))


class Produced(NamedTuple):
    """Rows of one attack on one block, once for each of the views that are one module."""

    views: list[str]
    attack: str
    rows: list[Row]
    x_adv: Images


@torch.no_grad()
def score(defense: Defense, batch: Batch) -> Block:
    """A batch on the defense's device, with its scores."""
    x, y, index = (part.to(defense.device) for part in batch)
    return Block(x, y, index, defense(x))


def judged(defense: Defense, name: View) -> tuple[nn.Module, Defense | None]:
    """The view of that name, and who judges its images; None for the view itself."""
    module = defense.view(name)
    # A paper's attacker judged by what they saw.
    return module, None if module is defense or name == "published" else defense


def seed_of(*parts: int | str) -> int:
    """A seed of 56 bits that is a hash of ``parts``."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:7], "big")


def targets_of(info: AttackInfo, block: Block, seed: int) -> Labels:
    """The class that each image shall become; -1 if untargeted."""
    if info.target == "random":
        # Not of the attack's name: one target an image.
        seeds = sample_seeds(seed_of(seed), block.index)
        return random_targets(seeds, block.y, block.scores.shape[1])
    return torch.full_like(block.y, -1 if info.target is None else info.target)


def rows_of(view: str, attack: str, columns: dict[str, Tensor]) -> Iterator[Row]:
    """Columns of a block as rows."""
    values = {key: column.tolist() for key, column in columns.items()}
    for i in range(len(values["index"])):
        yield Row(view=view, attack=attack, **{key: column[i] for key, column in values.items()})


def standing(info: AttackInfo, columns: dict[str, Tensor]) -> Bool[Tensor, " n"]:
    """Which samples are still of their label, or were turned only beyond `eps`: `AttackInfo.broke`.

    Args:
        info: The attack.
        columns: What it did to a block, by the names of `Row`.
    """
    turned = columns["attacked"] & (columns["adv_pred"] != columns["label"])
    return ~(turned & (columns[info.norm.lower()] <= limit_of(info.eps)))


def log_examples(trainer: Trainer, block: Block, produced: Produced, count: int) -> None:
    """Log what an attack made of the first ``count`` images that it attacked."""
    rows = produced.rows[: len(block.y)]
    chosen = [i for i, row in enumerate(rows) if row.attacked][:count]
    if not chosen:
        return
    for view in produced.views:
        log_adversarial_table(
            trainer.loggers,
            view,
            produced.attack,
            block.x[chosen],
            produced.x_adv[chosen],
            block.y[chosen],
            torch.tensor([rows[i].clean_pred for i in chosen]),
            torch.tensor([rows[i].adv_pred for i in chosen]),
        )
