"""Samples that are attacked together: what the evaluation of a test and of an epoch share."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool
from lightning.pytorch import Trainer
from torch import Tensor, nn

from robust.attacks import craft, isolated, sample_seeds
from robust.attacks.adaptive.search import Found
from robust.attacks.views import Several
from robust.defenses.base import Defense
from robust.errors import ConfigError
from robust.evaluation.masking_signs import has_tie
from robust.evaluation.suite import Suite
from robust.evaluation.targets import random_targets
from robust.io.notes import Figures
from robust.results.records import AttackInfo, Evaluation
from robust.results.rows import Row
from robust.threat import distance
from robust.tracking import log_adversarial_table
from robust.types import Batch, Images, Labels, Norm, Scores, View
from robust.vocabulary import limit_of


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
    """A batch on the defense's device, with its scores.

    Raises:
        ConfigError: If a score is no number: nothing that is counted afterwards would mean much.
    """
    x, y, index = (part.to(defense.device) for part in batch)
    scores = defense(x)
    bad = scores.isnan().any(dim=1)
    if bad.any():
        raise ConfigError(
            f"Expected scores that are numbers, but of {len(x)} clean images {int(bad.sum())} got "
            "NaN. The training has diverged: lower the learning rate, or take an earlier "
            "checkpoint."
        )
    return Block(x, y, index, scores)


def view_and_judge(defense: Defense, name: View) -> tuple[nn.Module, Defense | None]:
    """The view of that name, and who judges its images; None for the view itself."""
    module = defense.view(name)
    # The attacker of a paper judged by what they saw.
    return module, None if module is defense or name == "published" else defense


Views = dict[tuple[nn.Module, Defense | None], list[str]]
"""The modules to attack and their judges, each with the names of the views that it is."""


def views_of(suite: Suite, defense: Defense, found: Found | None) -> Views:
    """Return the views of a suite.

    Args:
        suite: It names them, or the source that images are crafted on.
        defense: Whose views they are.
        found: What a search found for the adaptive one, if there was one.
    """
    source = suite.source
    if source is not None:
        source.defense.to(defense.device)
        return {(source.differentiated(), None): ["transfer"]}
    views: Views = {}
    for name in suite.views:
        known = view_and_judge(defense, name)
        if name == "adaptive" and found is not None:
            known = found.views, defense
        views.setdefault(known, []).append(name)
    return views


def passed(module: nn.Module, judge: nn.Module | None) -> list[nn.Module]:
    """Return the modules whose forward passes are those of an attack.

    Args:
        module: What is attacked.
        judge: Who says what succeeds, if that is another.
    """
    each = list(module.each()) if isinstance(module, Several) else [module]
    return each if judge is None else [*each, judge]


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


CALLS = 10
"""Of a random defense, that judge an adversarial image: one lucky call is no success."""


@torch.no_grad()
def judged(defense: Defense, x: Images, y: Labels, calls: int) -> tuple[Scores, Labels]:
    """Return the scores of images and their classes, by the majority of some calls.

    Args:
        defense: What is called.
        x: The images.
        y: Their labels, which count as predicted unless most calls say another class.
        calls: How many; more than one of a random defense.
    """
    if calls == 1:
        scores = defense(x)
        return scores, scores.argmax(dim=1)
    with isolated(defense, x.device, seed=calls), torch.no_grad():
        each = [defense(x) for _ in range(calls)]
    votes = torch.stack([F.one_hot(s.argmax(dim=1), s.shape[1]) for s in each]).sum(dim=0)
    is_right = 2 * votes.gather(1, y[:, None]).squeeze(1) >= calls
    others = votes.scatter(1, y[:, None], -1).argmax(dim=1)
    return each[0], torch.where(is_right, y, others)


@torch.no_grad()
def attacked(
    suite: Suite,
    defense: Defense,
    through: tuple[nn.Module, Defense | None],
    name: str,
    block: Block,
    calls: int = 1,
) -> tuple[dict[str, Any], Images]:
    """Return the columns of one attack on a block, and its images.

    Args:
        suite: The attack is one of it.
        defense: What is attacked.
        through: The view, and who judges its images; the view itself if None.
        name: Of the attack.
        block: The samples.
        calls: Of the defense, in most of which an image has to be misclassified.
    """
    info, (module, judge) = suite.infos[name], through
    x, y, clean = block.x, block.y, block.scores.argmax(dim=1)
    target = targets_of(info, block, suite.seed)
    chosen = (clean == y) & (y != target)
    allowed = suite.allowed(name)
    crafted = craft(
        suite.builders[name],
        module,
        x[chosen],
        y[chosen],
        target=None if info.target is None else target[chosen],
        seed=seed_of(suite.seed, name, int(block.index[0])),
        sample_seeds=sample_seeds(seed_of(suite.seed, name), block.index[chosen]),
        judge=judge,
        transferred=suite.source is not None,
        allowed=allowed,
    )
    allowed.check(x[chosen], crafted.x_adv, name, budget=not info.minimal)
    x_adv, scores = x.clone(), block.scores.clone()
    x_adv[chosen] = crafted.x_adv.to(x.dtype)
    predicted = clean.clone()
    scores[chosen], predicted[chosen] = judged(defense, x_adv[chosen], y[chosen], calls)
    signs = {"not_finite": crafted.not_finite, "dropped": crafted.dropped}
    columns = {
        "index": block.index,
        "label": y,
        "target": target,
        "attacked": chosen,
        "clean_pred": clean,
        "adv_pred": predicted,
        "clean_tie": has_tie(block.scores),
        "adv_tie": has_tie(scores),
        **{norm.lower(): distance(x, x_adv, norm) for norm in get_args(Norm)},
        "forwards": chosen * crafted.forwards,
        "seconds": chosen * crafted.seconds,
        **{key: chosen.masked_scatter(chosen, sign) for key, sign in signs.items()},
    }
    return columns, x_adv


def is_robust(info: AttackInfo, columns: dict[str, Tensor]) -> Bool[Tensor, " n"]:
    """Return which samples are not misclassified: see `AttackInfo.misclassified_within_eps`.

    Args:
        info: The attack.
        columns: What it did to a block, by the names of `Row`.
    """
    misclassified = columns["attacked"] & (columns["adv_pred"] != columns["label"])
    return ~(misclassified & (columns[info.norm.lower()] <= limit_of(info.eps)))


def complete(evaluation: Evaluation, asked: Sequence[str], count: int) -> Evaluation:
    """The first ``count`` samples, through views of which all attacks are on record.

    Of another view than those ``asked`` for, part may be on record: what is missing would count as
    samples that an attack left alone.

    Raises:
        ConfigError: If a view that was asked for lacks records.
    """
    first = evaluation.first(count)
    attacks = evaluation.header.attacks
    lacking = {
        view: attack
        for view in {*asked, *first.views}
        for attack in attacks
        if len(first.select(view, attack)) != count
    }
    for view in (view for view in asked if view in lacking):
        raise ConfigError(
            f"Expected {count} records of {lacking[view]} through the {view} view, but got "
            f"{len(first.select(view, lacking[view]))}. Something else has changed the record "
            "files: evaluate again."
        )
    kept = ~np.isin(first.rows["view"], list(lacking))
    return first.having(first.rows.where(kept))


def log_examples(trainer: Trainer, block: Block, produced: Produced, count: int) -> None:
    """Log the first ``count`` images that an attack made.

    If they cannot be logged, a note says so, and the attacks go on.
    """
    rows = produced.rows[: len(block.y)]
    chosen = [i for i, row in enumerate(rows) if row.attacked][:count]
    if not chosen:
        return
    with Figures().step(f"W&B's table of images of {produced.attack}"):
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
                getattr(getattr(trainer, "datamodule", None), "class_names", ()),
            )
