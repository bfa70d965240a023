"""Projected gradient descent is the attack of Madry et al. 2018, https://arxiv.org/abs/1706.06083."""

from collections.abc import Sequence
from typing import Literal, final

from torch import nn

from robust.attacks.gradient.base import GradientAttack, Precision
from robust.losses import Loss
from robust.threat import ThreatModel


@final
class PGD(GradientAttack):
    """PGD, projected gradient descent, begins at random points of the ball. Madry et al. 2018.

    Args:
        model: View to attack.
        eps: Radius in pixel units, not negative.
        alpha: Length of a step in pixel units, or of the first one if `falling`. If None it is
            ``2.5 * eps / steps``, or ``eps`` if `falling`.
        steps: Gradient steps from each start; Madry et al. take 40 of 0.01 on MNIST.
        norm: Linf (sign of the gradient), L2 (its direction) or L1 (the signs of its largest 1 %;
            Tramer and Boneh 2019, https://arxiv.org/abs/1904.13000).
        random_start: Start uniformly in the ball, or at the image.
        restarts: Starts; an image that is misclassified after one skips the later ones.
        loss: What to climb where the view names no objective. Of several losses, the restarts climb
            one after the other: some images yield to the margin alone, some to the log-odds alone.
        early_stop: Whether an image stays as it is once it is misclassified.
        precision: Of the gradients: ``float32``, ``bfloat16`` or ``float64``. Success is decided
            in the precision of the images.
        falling: Whether the steps become shorter, on a line that ends at zero after the last one.
            The long ones leave what is around the start, the short ones settle on a maximum.
        decay: What remains of the momentum at each step, not negative; 0 for none.
        far_steps: Steps towards another class beyond the ball, from which each start is brought
            back into it. The restarts aim at one class after the other. Some images yield to such
            starts alone. With 0, starts are those of `random_start`.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        eps: float = 8 / 255,
        alpha: float | None = None,
        steps: int = 20,
        norm: Literal["Linf", "L2", "L1"] = "Linf",
        random_start: bool = True,
        restarts: int = 1,
        loss: Loss | Sequence[Loss] = "cross_entropy",
        early_stop: bool = True,
        precision: Precision = "float32",
        falling: bool = False,
        decay: float = 0.0,
        far_steps: int = 0,
    ) -> None:
        usual = eps if falling else 2.5 * eps / max(steps, 1)
        super().__init__(
            model,
            threat_model=ThreatModel(norm, eps),
            alpha=usual if alpha is None else alpha,
            steps=steps,
            random_start=random_start,
            restarts=restarts,
            loss=loss,
            early_stop=early_stop,
            precision=precision,
            falling=falling,
            decay=decay,
            far_steps=far_steps,
        )
