"""Kept adversarial images of a run are scored again: in another batch, and in float64."""

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from robust.attacks import isolated
from robust.defenses.base import Defense
from robust.errors import ConfigError, in_short
from robust.evaluation.attacked_images import AttackedImages
from robust.evaluation.blocks import CALLS
from robust.evaluation.fingerprints import model_sha256
from robust.loading.trained_run import TrainedRun
from robust.loading.trust import trusting
from robust.report.card.verified import Found, label
from robust.results.kept.forms import decode
from robust.results.kept.stored import Frame, kept_path, read_frames
from robust.results.rates import Rate
from robust.results.records import AttackInfo, Evaluation
from robust.results.rows import Column
from robust.results.run_folder import Reader
from robust.threat import ThreatModel, distance
from robust.types import Batch, Images
from robust.vocabulary import limit_of

_IN_FLOAT64 = "is classified correctly in float64"


class _Scored(NamedTuple):
    """What predicts again: the network, its copy in float64, and how many images at once."""

    defense: Defense
    exact: nn.Module
    batch: int
    calls: int = 1
    """Of a random network, which judge an image."""

    @property
    def chance(self) -> int:
        """The most calls that are wrong by chance, where most calls are right.

        Other calls than those on record judge here. An image that is misclassified in about half of
        them may be on record as a success. It does not stand if that is beyond the interval.
        """
        few = sum(Rate(hits, self.calls).interval[1] < 0.5 for hits in range(self.calls))
        return max(0, few - 1)


def rescore(folder: Path, batch: int, trust: Sequence[str]) -> Found:
    """Return what of a run does not stand when its network scores again.

    Args:
        folder: Of the run.
        batch: Images that are scored at once.
        trust: Packages whose classes its files may name, too.

    Raises:
        ConfigError: If the run cannot be read.
    """
    found = Found([], [])
    with trusting(trust):
        run = TrainedRun.load(folder)
        run.data.prepare_data()
        run.data.setup("test")
        defense = run.defense.eval()
        scored = _Scored(defense, copy.deepcopy(defense).double(), batch)
        (files,) = Reader().read([folder])
        for path, evaluation in files.evaluations.items():
            _rescore(run, path, evaluation, scored, found)
    return found


def _rescore(
    run: TrainedRun, path: Path, evaluation: Evaluation, scored: _Scored, found: Found
) -> None:
    header = evaluation.header
    images = AttackedImages(run.data, header.split, header.seed)
    if images.fingerprint() != header.data_sha256:
        found.looked.append(f"{label(path)}: it is of other images, which are not scored again")
        return
    if model_sha256(scored.defense) != header.model_sha256:
        found.faults.append(
            f"{label(path)}: the network is not what was attacked; its checkpoint, its code or its "
            "arguments are others."
        )
        return
    scored = scored._replace(calls=max(header.judged, CALLS if header.random else 1))
    kept = kept_path(path)
    frames = read_frames(kept)[0] if kept.is_file() else []
    with isolated(scored.defense, scored.defense.device, 0):
        looked = [_look_at(frame, evaluation, images, scored) for frame in frames]
    found.faults.extend(f"{label(path)}: {fault}" for each in looked for fault in each.faults)
    counted = sum(len(frame.index) * len(frame.views) for frame in frames)
    successes = _successes(evaluation)
    found.looked.append(
        f"{label(path)}: {counted} of {successes} successes, scored again {scored.batch} at once "
        f"and in float64{_in_calls(scored)}"
    )
    if ties := sum(each.ties for each in looked):
        found.looked.append(
            f"{label(path)}: {ties} of these are ties of the two best scores in float32, which "
            "float64 gives to the right class"
        )


def _in_calls(scored: _Scored) -> str:
    if scored.calls == 1:
        return ""
    return f", in {scored.calls} calls each, of which more than {scored.chance} have to be wrong"


def _successes(evaluation: Evaluation) -> int:
    return sum(
        int(info.misclassified_within_eps(evaluation.select(view, name)).sum())
        for view in evaluation.views
        for name, info in evaluation.header.attacks.items()
    )


class _Looked(NamedTuple):
    """What does not stand of a frame, and how many successes are ties of float32."""

    faults: list[str]
    ties: int = 0


def _look_at(
    frame: Frame, evaluation: Evaluation, images: AttackedImages, scored: _Scored
) -> _Looked:
    """Return each success of a frame that does not stand, with why."""
    info = evaluation.header.attacks.get(frame.attack)
    if info is None or not len(frame.index) or frame.index.max() >= images.size:
        return _Looked([f"kept images of {frame.attack}, which the records do not have."])
    clean = _samples(images, frame.index)
    try:
        x_adv = torch.from_numpy(decode(clean.x.numpy(), frame.form, frame.images))
    except ValueError as error:
        return _Looked([f"kept images of {frame.attack} cannot be read ({error})."])
    recorded, views = _recorded(frame, info, evaluation), ", ".join(frame.views)
    reasons = dict(_reasons(clean, x_adv, info, scored, recorded))
    tied = reasons[_IN_FLOAT64] & _is_tied(scored.defense, x_adv, clean, scored.batch)
    reasons[_IN_FLOAT64] &= ~tied
    faults = [
        f"the success of {frame.attack} ({views}) on image {frame.index[i]} {reason}."
        for reason, fails in reasons.items()
        for i in np.flatnonzero(fails)
    ]
    return _Looked(faults, int(tied.sum()))


def _reasons(
    clean: Batch, x_adv: Images, info: AttackInfo, scored: _Scored, recorded: Column
) -> Iterator[tuple[str, Column]]:
    """Yield why successes may not stand, and which of them do not for that reason."""
    yield "is not in the records", ~recorded
    far = distance(clean.x, x_adv, info.norm) > limit_of(limit_of(info.eps))
    outside = (x_adv.flatten(1) < 0).any(1) | (x_adv.flatten(1) > 1).any(1)
    yield f"leaves {ThreatModel(info.norm, info.eps)}", (far | outside).numpy()
    yield (
        f"is classified correctly, {scored.batch} at once",
        _is_right(scored.defense, x_adv, clean.y.numpy(), scored),
    )
    try:
        exact = _is_right(scored.exact, x_adv.double(), clean.y.numpy(), scored)
    except RuntimeError as error:
        raise ConfigError(
            f"Expected a network that scores float64, but it cannot ({in_short(error)}). Use "
            "--numbers."
        ) from None
    yield _IN_FLOAT64, exact


def _is_right(model: nn.Module, x: Images, y: Column, scored: _Scored) -> Column:
    """Return which images are classified correctly; of a random network, beyond chance."""
    wrong = [_predicted(model, x, scored.batch) != y for _ in range(scored.calls)]
    is_right: Column = np.sum(wrong, axis=0) <= scored.chance
    return is_right


@torch.no_grad()
def _predicted(model: nn.Module, x: Images, batch: int) -> Column:
    predicted: Column = _scores(model, x, batch).argmax(dim=1).numpy()
    return predicted


@torch.no_grad()
def _is_tied(model: nn.Module, x: Images, clean: Batch, batch: int) -> Column:
    """Return which images get another class, whose score is exactly that of their own."""
    scores = _scores(model, x, batch)
    own = scores.gather(1, clean.y[:, None])[:, 0]
    tied: Column = (scores.argmax(dim=1).ne(clean.y) & own.eq(scores.amax(dim=1))).numpy()
    return tied


def _scores(model: nn.Module, x: Images, batch: int) -> Tensor:
    return torch.cat([model(x[start : start + batch]) for start in range(0, len(x), batch)])


def _samples(images: AttackedImages, index: Column) -> Batch:
    first, last = int(index.min()), int(index.max())
    block = images.samples(first, last + 1)
    chosen = torch.from_numpy(index - first)
    return Batch(*(part[chosen] for part in block))


def _recorded(frame: Frame, info: AttackInfo, evaluation: Evaluation) -> Column:
    """Return which successes of a frame all its views have on record."""
    found = np.ones(len(frame.index), bool)
    for view in frame.views:
        rows = evaluation.select(view, frame.attack)
        found &= np.isin(frame.index, rows["index"][info.misclassified_within_eps(rows)])
    return found
