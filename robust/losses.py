"""Losses of scores that several attacks climb; scores may be any real numbers, not only logits."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from robust.types import Labels, Scores

Loss = Literal["cross_entropy", "log_odds", "margin", "dlr"]
"""What a configuration calls them; the functions of this module have the same names."""


def cross_entropy(scores: Scores, y: Labels) -> Float[Tensor, " n"]:
    """Cross-entropy of the softmax of each sample's scores, as PyTorch and TensorFlow compute it.

    The gradient at a score is its softmax, less one at the label. In float32 that difference is
    zero at the label once its score exceeds the others by 17, as it does for most images of a net
    trained to the end: the label's term is lost, and one step that follows the rest is blunt. Once
    it exceeds them by 104, the whole gradient is zero. See `log_odds`.
    """
    return F.cross_entropy(scores, y, reduction="none")


def log_odds(scores: Scores, y: Labels) -> Float[Tensor, " n"]:
    """Logarithm of the odds against ``y``: log((1 - p) / p) for its softmax p.

    Cross-entropy is the softplus of it. So both have gradients of one direction, in which every
    attack here steps by a length of its own; but this one neither rounds nor vanishes, however sure
    the net is and however large its scores are.
    """
    return _less_label(scores, y).logsumexp(dim=1)


def margin(scores: Scores, y: Labels) -> Float[Tensor, " n"]:
    """Best score of another class minus the score of ``y``; positive where ``y`` is not predicted.

    Carlini and Wagner 2017, https://arxiv.org/abs/1608.04644, f_6 without its clipping.
    """
    return _less_label(scores, y).amax(dim=1)


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


def _less_label(scores: Scores, y: Labels) -> Scores:
    """By how much each other class is ahead of ``y``; minus infinity at ``y`` itself."""
    label = y.unsqueeze(1)
    return (scores - scores.gather(1, label)).scatter(1, label, -float("inf"))


NAMED: Mapping[Loss, Callable[[Scores, Labels], Float[Tensor, " n"]]] = MappingProxyType(
    {
        "cross_entropy": cross_entropy,
        "log_odds": log_odds,
        "margin": margin,
        "dlr": dlr,
    }
)
"""The losses that need no target class."""
