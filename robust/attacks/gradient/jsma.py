"""The Jacobian saliency map attack changes few features, each by ``theta``.

Papernot et al. 2016, https://arxiv.org/abs/1511.07528.
"""

from typing import Literal, NamedTuple, final, get_args

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from robust.attacks.base import Attack, check_choice
from robust.attacks.judging import is_adversarial, mask_class
from robust.errors import ConfigError
from robust.types import Images, Labels, Scores

TargetRule = Literal["random", "nearest", "least_likely"]
Outputs = Literal["scores", "probabilities"]

# Pairs looked at together, over all images: 16 MiB a tensor in float32.
_BLOCK = 2**22


class Features(NamedTuple):
    """These features of the flattened image change next."""

    features: Int64[Tensor, "n pixels"]
    found: Bool[Tensor, " n"]
    """Whether the image has any; if not, what is chosen for it means nothing."""


@final
class JSMA(Attack):
    """JSMA, the Jacobian saliency map attack, changes one or two features at a step.

    Papernot et al. 2016, Eq. 8 to 10. Let alpha be the derivative of the target's output, and beta
    that of the sum of the others. A step changes by ``theta`` the feature of the largest
    ``-alpha * beta`` among those with alpha > 0 and beta < 0. For pairs, alpha and beta are sums
    over the two. A negative ``theta`` darkens: both signs are then the other ones. Each feature is
    changed once at most, and only if it can still move.

    An image leaves as soon as it is of the target class. Untargeted, it leaves as soon as it is
    misclassified, also as a class other than the one aimed at. It keeps its changes if features or
    ``gamma`` run out. It is returned unchanged if it was misclassified from the start. The attack
    bounds the number of changed features and has no ``eps``.

    Zantedeschi et al. 2017 (https://arxiv.org/abs/1707.06728) run it on pairs, probabilities and a
    random target with ``theta=0.1, gamma=1``. Since each feature is changed once, no pixel moves by
    more than 0.1 however many do.

    A step takes one backward pass for probabilities, two for scores. The best pair is found
    exactly, without looking at all pairs, in bounded memory: see `best_pair`.

    Args:
        model: View to attack.
        theta: Change of a feature in pixel units, in [-1, 1], not 0.
        gamma: Share of the image's features (values, not pixels) that may change, in (0, 1].
        pixels: Features that a step changes, 1 or 2.
        target_rule: Class to aim at if untargeted, never the label: ``random``, ``nearest``
            (the largest other score) or ``least_likely``.
        outputs: What is differentiated: the ``probabilities`` that softmax makes of the view's
            scores, or the ``scores`` themselves. Probabilities do not care about what is added to
            all scores alike; scores do, and give up sooner: where one of two scores is constant,
            beta is 0 and no feature is salient.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        theta: float = 1.0,
        gamma: float = 0.1,
        pixels: int = 2,
        target_rule: TargetRule = "random",
        outputs: Outputs = "probabilities",
    ) -> None:
        super().__init__(model)
        if not (-1 <= theta <= 1 and theta != 0):
            raise ConfigError(
                f"Expected `theta` to be in [-1, 1] and not 0, but got {theta}. "
                "Give the change of a feature in pixel units."
            )
        if not 0 < gamma <= 1:
            raise ConfigError(
                f"Expected `gamma` to be in (0, 1], but got {gamma}. Give the share of features."
            )
        if pixels not in (1, 2):
            raise ConfigError(f"Expected `pixels` to be 1 or 2, but got {pixels}.")
        check_choice("target_rule", target_rule, get_args(TargetRule))
        check_choice("outputs", outputs, get_args(Outputs))
        self.theta, self.gamma, self.pixels = theta, gamma, pixels
        self.target_rule, self.outputs = target_rule, outputs

    def forward(self, images: Images, labels: Labels) -> Images:
        """Return adversarial images of the same shape."""
        target = self.target(images, labels)
        goal = self._aim(images, labels) if target is None else target
        x_adv = images.flatten(1).clone()
        unused = x_adv < 1 if self.theta > 0 else x_adv > 0
        active = torch.arange(len(images), device=images.device)
        for _ in range(self._steps(x_adv.shape[1])):
            if not len(active):
                break
            x = x_adv[active].view(-1, *images.shape[1:])
            scores, alpha, beta = self._jacobian(x, goal[active])
            chosen = self._choose(alpha, beta, unused[active])
            aimed = None if target is None else goal[active]
            proceeds = chosen.found & ~is_adversarial(scores, labels[active], aimed)
            active, index = active[proceeds], chosen.features[proceeds]
            rows = active.view(-1, 1)
            x_adv[rows, index] = (x_adv[rows, index] + self.theta).clamp(0, 1)
            unused[rows, index] = False
        return x_adv.view_as(images)

    def _steps(self, features: int) -> int:
        # Rounding may put an integer number of features just below itself.
        return int(self.gamma * features + 1e-6) // self.pixels

    @torch.no_grad()
    def _aim(self, images: Images, labels: Labels) -> Labels:
        """Return a class other than the label."""
        if not len(images):
            return labels
        scores: Tensor = self.get_logits(images)
        if self.target_rule == "random":
            others = scores.shape[1] - 1
            index = (self.random_streams(images).uniform() * others).long().clamp_max(others - 1)
            return index + (index >= labels)
        sign = 1 if self.target_rule == "nearest" else -1
        return mask_class(sign * scores, labels).argmax(dim=1)

    def _jacobian(
        self, x: Images, goal: Labels
    ) -> tuple[Scores, Float[Tensor, "n d"], Float[Tensor, "n d"] | None]:
        """Return scores, alpha, and beta; None where beta is ``-alpha``, as for probabilities."""
        x = x.detach().requires_grad_()
        scores = self.get_logits(x)
        if self.outputs == "probabilities":
            # Of log p: p times smaller than that of p, which orders the features alike, and does
            # not underflow.
            return scores.detach(), _gradient(_of(scores.log_softmax(dim=1), goal), x), None
        of_goal = _of(scores, goal)
        beta = _gradient(scores.sum(dim=1) - of_goal, x)
        return scores.detach(), _gradient(of_goal, x), beta

    def _choose(
        self,
        alpha: Float[Tensor, "n d"],
        beta: Float[Tensor, "n d"] | None,
        unused: Bool[Tensor, "n d"],
    ) -> Features:
        sign = 1 if self.theta > 0 else -1
        gain = _scaled(sign * alpha, unused)
        if beta is None:
            value, index = gain.topk(self.pixels, dim=1)
            return Features(index, value.sum(dim=1) > 0)
        loss = _scaled(-sign * beta, unused)
        return best_feature(gain, loss) if self.pixels == 1 else best_pair(gain, loss)


def best_feature(gain: Float[Tensor, "n d"], loss: Float[Tensor, "n d"]) -> Features:
    """Return the feature of the largest ``gain * loss`` among those where both are positive.

    Args:
        gain: Rise of the target's output with each feature; -inf rules the feature out.
        loss: Fall of the others' output with each feature; -inf rules the feature out.
    """
    saliency = _saliency(gain, loss)
    value, index = saliency.max(dim=1, keepdim=True)
    return Features(index, value[:, 0] > 0)


def best_pair(gain: Float[Tensor, "n d"], loss: Float[Tensor, "n d"]) -> Features:
    """Return the pair of the largest ``(gain_p + gain_q) * (loss_p + loss_q)``, both sums positive.

    The search is exact without all pairs. If another feature has no smaller gain and no smaller
    loss than p, then p may be replaced by it, unless it is q. So the features with at most one such
    other contain a best pair. They are few (tens of thousands, in practice) unless gain and loss
    oppose each other. Then the pairs are searched in blocks of `_BLOCK`.

    Args:
        gain: Rise of the target's output with each feature; -inf rules the feature out.
        loss: Fall of the others' output with each feature; -inf rules the feature out. There are
            at least two features.
    """
    index, gain, loss = _undominated(gain, loss)
    best, pair = gain.new_zeros(len(gain)), index[:, :2].clone()
    count = index.shape[1]
    height = max(1, _BLOCK // max(len(gain) * count, 1))
    for start in range(0, count, height):
        rows = slice(start, start + height)
        saliency = _saliency(
            gain[:, rows, None] + gain[:, None, :], loss[:, rows, None] + loss[:, None, :]
        )
        saliency.diagonal(offset=start, dim1=1, dim2=2).zero_()
        value, flat = saliency.flatten(1).max(dim=1)
        within = torch.stack([flat // count + start, flat % count], dim=1)
        better = value > best
        best = torch.where(better, value, best)
        pair = torch.where(better[:, None], index.gather(1, within), pair)
    return Features(pair, best > 0)


def _undominated(
    gain: Float[Tensor, "n d"], loss: Float[Tensor, "n d"]
) -> tuple[Int64[Tensor, "n k"], Float[Tensor, "n k"], Float[Tensor, "n k"]]:
    """Return index, gain and loss of features with at most one other as good in both."""
    gain, index = gain.sort(dim=1, descending=True, stable=True)
    loss = loss.gather(1, index)
    # Earlier features have no smaller gain. The second largest loss so far is the largest of what
    # each one leaves over when it meets the largest before it.
    largest = loss.cummax(dim=1).values
    second = torch.minimum(loss[:, 1:], largest[:, :-1]).cummax(dim=1).values
    kept = loss.isfinite() & gain.isfinite()
    kept[:, 2:] &= loss[:, 2:] > second[:, :-1]
    count = max(2, int(kept.sum(dim=1).max())) if len(kept) else 2
    front = kept.to(torch.int8).sort(dim=1, descending=True, stable=True).indices[:, :count]
    ruled_out = ~kept.gather(1, front)
    return (
        index.gather(1, front),
        gain.gather(1, front).masked_fill(ruled_out, -torch.inf),
        loss.gather(1, front).masked_fill(ruled_out, -torch.inf),
    )


def _saliency(gain: Float[Tensor, "n ..."], loss: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
    # Not positive is not admissible: of two negative numbers the product would be positive.
    return gain.clamp_min(0).mul_(loss.clamp_min(0))


def _scaled(gradient: Float[Tensor, "n d"], unused: Bool[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Divide by the largest of each image, so that products neither overflow nor vanish."""
    gradient = gradient.masked_fill(~(unused & gradient.isfinite()), 0)
    largest = gradient.abs().amax(dim=1, keepdim=True)
    scaled = gradient / largest.clamp_min(torch.finfo(gradient.dtype).tiny)
    return scaled.masked_fill(~unused, -torch.inf)


def _of(scores: Scores, label: Labels) -> Float[Tensor, " n"]:
    return scores.gather(1, label.view(-1, 1))[:, 0]


def _gradient(values: Float[Tensor, " n"], x: Images) -> Float[Tensor, "n d"]:
    """Return the derivatives of each value by its image; zero where it does not depend on it."""
    if not values.requires_grad:
        return torch.zeros_like(x).flatten(1).detach()
    (gradient,) = torch.autograd.grad(
        values.sum(), x, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return gradient.flatten(1)
