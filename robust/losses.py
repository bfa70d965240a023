"""Losses of scores that several attacks climb; scores may be any real numbers, not only logits."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from robust.types import Labels, Scores


def cross_entropy(scores: Scores, y: Labels) -> Float[Tensor, " n"]:
    """Cross-entropy of the softmax of each sample's scores."""
    return F.cross_entropy(scores, y, reduction="none")


def margin(scores: Scores, y: Labels) -> Float[Tensor, " n"]:
    """Best score of another class minus the score of ``y``; positive where ``y`` is not predicted.

    Carlini and Wagner 2017, https://arxiv.org/abs/1608.04644, f_6 without its clipping.
    """
    label = y.unsqueeze(1)
    others = scores.scatter(1, label, -float("inf"))
    return others.amax(dim=1) - scores.gather(1, label).squeeze(1)


def dlr(scores: Scores, y: Labels) -> Float[Tensor, " n"]:
    """Difference of logits ratio: the margin over the distance of the best to the third score.

    Croce and Hein 2020, https://arxiv.org/abs/2003.01690, Eq. 6. Unchanged when all scores are
    shifted or scaled. Of two classes there is no third score; the margin alone is then the loss.
    """
    if scores.shape[1] < 3:
        return margin(scores, y)
    ordered = scores.sort(dim=1, descending=True).values
    return margin(scores, y) / (ordered[:, 0] - ordered[:, 2]).clamp_min(1e-12)


def targeted_dlr(scores: Scores, y: Labels, target: Labels) -> Float[Tensor, " n"]:
    """The ratio that grows as ``target`` overtakes ``y``. Croce and Hein 2020, Eq. 7.

    It needs four classes; of fewer, the difference of the two scores is the loss.
    """
    chosen = scores.gather(1, target.unsqueeze(1)) - scores.gather(1, y.unsqueeze(1))
    if scores.shape[1] < 4:
        return chosen.squeeze(1)
    ordered = scores.sort(dim=1, descending=True).values
    scale = ordered[:, 0] - (ordered[:, 2] + ordered[:, 3]) / 2
    return chosen.squeeze(1) / scale.clamp_min(1e-12)
