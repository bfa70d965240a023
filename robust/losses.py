"""Several attacks climb these losses of scores, which may be any real numbers, not only logits."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from robust.types import Labels, Scores

Loss = Literal["cross_entropy", "log_odds", "margin", "dlr", "probability_margin"]
"""These are their names in configurations, and those of the functions of this module."""


def cross_entropy(scores: Scores, y: Labels) -> Float[Tensor, " n"]:
    """Return the cross-entropy of each sample, as PyTorch and TensorFlow compute it.

    The gradient at a score is its softmax, less one at the label. In float32 that difference is
    zero at the label once its score exceeds the others by 17. That is so for most images of a
    network trained to the end. Then the label's term is missing, and a step that follows the rest
    is weak. Once the score exceeds the others by 104, all of the gradient is zero. See `log_odds`.
    """
    return F.cross_entropy(scores, y, reduction="none")


def log_odds(scores: Scores, y: Labels) -> Float[Tensor, " n"]:
    """Return the logarithm of the odds against ``y``: log((1 - p) / p) for its softmax p.

    Cross-entropy is the softplus of it. So both have gradients of one direction, in which every
    attack here steps by a length of its own. But this gradient neither rounds nor vanishes, also
    where the network is very confident or its scores are large.
    """
    return _less_label(scores, y).logsumexp(dim=1)


def margin(scores: Scores, y: Labels) -> Float[Tensor, " n"]:
    """Return the best other score minus that of ``y``; positive where ``y`` is not predicted.

    Carlini and Wagner 2017, https://arxiv.org/abs/1608.04644, f_6 without its clipping.
    """
    return _less_label(scores, y).amax(dim=1)


def probability_margin(scores: Scores, y: Labels) -> Float[Tensor, " n"]:
    """Return the probability of the best other class minus that of ``y``.

    The loss of the probability margin attack, Xie et al. 2024, https://arxiv.org/abs/2411.15210. It
    weighs images, and losses of one image along its way, by how undecided the network is. Where the
    softmax rounds to one, it is as flat as cross-entropy.
    """
    return margin(scores.softmax(dim=1), y)


def dlr(scores: Scores, y: Labels) -> Float[Tensor, " n"]:
    """Return the margin over the distance of the best to the third score, the logits ratio.

    Croce and Hein 2020, https://arxiv.org/abs/2003.01690, Eq. 6. It does not change when all scores
    are shifted or scaled. Two classes have no third score; the margin alone is then the loss.
    """
    if scores.shape[1] < 3:
        return margin(scores, y)
    ordered = scores.sort(dim=1, descending=True).values
    return margin(scores, y) / (ordered[:, 0] - ordered[:, 2]).clamp_min(1e-12)


def targeted_dlr(scores: Scores, y: Labels, target: Labels) -> Float[Tensor, " n"]:
    """Return the ratio that grows as ``target`` overtakes ``y``. Croce and Hein 2020, Eq. 7.

    It needs four classes; with fewer, the difference of the two scores is the loss.
    """
    chosen = scores.gather(1, target.unsqueeze(1)) - scores.gather(1, y.unsqueeze(1))
    if scores.shape[1] < 4:
        return chosen.squeeze(1)
    ordered = scores.sort(dim=1, descending=True).values
    scale = ordered[:, 0] - (ordered[:, 2] + ordered[:, 3]) / 2
    return chosen.squeeze(1) / scale.clamp_min(1e-12)


def _less_label(scores: Scores, y: Labels) -> Scores:
    """Return by how much each class is ahead of ``y``; minus infinity at ``y`` itself."""
    label = y.unsqueeze(1)
    return (scores - scores.gather(1, label)).scatter(1, label, -float("inf"))


NAMED: Mapping[Loss, Callable[[Scores, Labels], Float[Tensor, " n"]]] = MappingProxyType(
    {
        "cross_entropy": cross_entropy,
        "log_odds": log_odds,
        "margin": margin,
        "dlr": dlr,
        "probability_margin": probability_margin,
    }
)
"""These losses need no target class."""
