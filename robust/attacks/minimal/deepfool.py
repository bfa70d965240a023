"""DeepFool steps to the nearest face of a linearized classifier, for a full batch at once.

Moosavi-Dezfooli, Fawzi and Frossard 2016, https://arxiv.org/abs/1511.04599.
"""

from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robust.attacks.base import Attack, check_choice
from robust.attacks.judging import confirmed, mask_class, normalized
from robust.errors import ConfigError
from robust.types import Images, Labels, Scores

# Added to every step, as in the original implementation, which adds 1e-4 in L2. At the boundary the
# exact step is smaller than the spacing of the pixels' floating-point numbers. So an image would
# stay an ulp short of it for ever. Spread over an image, both are a few millionths a pixel.
_NUDGE = {"L2": 1e-4, "Linf": 1e-5}


@final
class DeepFool(Attack):
    r"""DeepFool steps to the nearest boundary of the linearized scores, until it succeeds.

    With differences of scores :math:`f_k = s_k - s_y` and their gradients :math:`w_k`, the boundary
    of class k is :math:`|f_k| / \|w_k\|_q` away, q the dual norm. The step to the nearest goes
    along :math:`w_k` (L2) or its sign (Linf) and is ``1 + overshoot`` times as long. Images are
    clipped to [0, 1] after each step. Untargeted only.

    An image that is misclassified is returned unchanged, and so is one for which no step succeeds.

    Args:
        model: View to attack.
        norm: What is kept small, L2 or Linf.
        steps: Largest number of steps; each costs a forward and ``candidates`` - 1 backward passes
            of the images that are not misclassified yet.
        candidates: The classes looked at, best scores of the clean image first, its own included.
        overshoot: Excess of a step over the distance to the boundary; the paper's is 0.02.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        norm: Literal["L2", "Linf"] = "L2",
        steps: int = 50,
        candidates: int = 10,
        overshoot: float = 0.02,
    ) -> None:
        super().__init__(model)
        check_choice("norm", norm, ("L2", "Linf"))
        if steps < 1:
            raise ConfigError(f"Expected `steps` to be at least 1, but got {steps}.")
        if candidates < 2:
            raise ConfigError(
                f"Expected `candidates` to be at least 2, but got {candidates}. "
                "The image's own class is one of them."
            )
        if not overshoot >= 0:
            raise ConfigError(f"Expected `overshoot` to be non-negative, but got {overshoot}.")
        self.supported_mode = ["default"]
        self.norm, self.steps = norm, steps
        self.candidates, self.overshoot = candidates, overshoot

    def forward(self, images: Images, labels: Labels) -> Images:
        """Return adversarial images of the same shape."""
        result = images.clone()
        rows = torch.arange(len(images), device=images.device)
        x, y, others = images, labels, torch.empty(0)
        for step in range(self.steps + 1):
            x, scores = self._scored(x)
            remaining = scores.argmax(dim=1) == y
            if step == 0:
                others = self._others(scores, y)
            if not remaining.all():
                result[rows[~remaining]] = x.detach()[~remaining]
                rows, x, y, others = rows[remaining], x[remaining], y[remaining], others[remaining]
                # The misclassified ones would go through every backward pass.
                x, scores = self._scored(x) if len(rows) and step < self.steps else (x, scores)
            if not len(rows) or step == self.steps:
                break
            x = (x.detach() + self._step(scores, x, y, others)).clamp(0, 1)
        return confirmed(self.get_logits, images, result, labels)

    def _scored(self, x: Images) -> tuple[Images, Scores]:
        x = x.detach().requires_grad_()
        return x, self.get_logits(x)

    def _others(self, scores: Scores, y: Labels) -> Tensor:
        """Return the candidate classes of each image, (n, candidates - 1), without its own."""
        count = min(self.candidates, scores.shape[1]) - 1
        return mask_class(scores.detach(), y).topk(count, dim=1).indices

    def _step(self, scores: Scores, x: Images, y: Labels, others: Tensor) -> Images:
        own = scores.gather(1, y.view(-1, 1))
        gaps = scores.gather(1, others) - own
        nearest = x.new_full((len(x),), torch.inf)
        best = torch.zeros_like(x)
        for k, gap in enumerate(gaps.unbind(dim=1)):
            last = k == gaps.shape[1] - 1
            (gradient,) = torch.autograd.grad(gap.sum(), x, retain_graph=not last)
            distance, direction = self._face(gap.detach(), gradient)
            closer = distance < nearest
            nearest = torch.where(closer, distance, nearest)
            best = torch.where(closer.view(-1, 1, 1, 1), direction, best)
        # No image is farther than the box's diagonal or side: a flat score asks for more.
        limit = 1.0 if self.norm == "Linf" else x[0].numel() ** 0.5
        length = (nearest.clamp_max(limit) + _NUDGE[self.norm]) * (1 + self.overshoot)
        return best * length.view(-1, 1, 1, 1)

    def _face(self, gap: Tensor, gradient: Images) -> tuple[Float[Tensor, " n"], Images]:
        """Return the distance of the boundary ``gap = 0``, and the direction there of norm one.

        Where the gradient is zero the distance is infinite and the direction is zero.
        """
        unit, size = normalized(gradient)
        if self.norm == "Linf":
            size = size * unit.flatten(1).abs().sum(dim=1)
            unit = unit.sign()
        distance = gap.abs() / size
        return distance.where(size > 0, torch.inf), unit
