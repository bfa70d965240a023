"""The basic iterative method and its variants step along gradient signs from the image itself.

Kurakin et al. 2017 (https://arxiv.org/abs/1607.02533); equations of Tuna et al. 2022
(https://arxiv.org/abs/2202.07342).
"""

from typing import final

from torch import nn

from robust.attacks.gradient.base import GradientAttack, Precision
from robust.losses import Loss
from robust.threat import ThreatModel


@final
class BIM(GradientAttack):
    """BIM is the basic iterative method, without a random start.

    Kurakin et al. 2017; Tuna et al. 2022, Eq. 4 and Table VII.

    Args:
        model: View to attack.
        eps: Linf radius in pixel units, not negative.
        alpha: Length of a step; a tenth of ``eps`` if None, as in Table VII.
        steps: Gradient steps.
        loss: What to climb where the view names no objective.
        early_stop: Whether an image stays as it is once it is misclassified.
        precision: Of the gradients: ``float32``, ``bfloat16`` or ``float64``. Success is decided
            in the precision of the images.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        eps: float = 8 / 255,
        alpha: float | None = None,
        steps: int = 20,
        loss: Loss = "cross_entropy",
        early_stop: bool = True,
        precision: Precision = "float32",
    ) -> None:
        super().__init__(
            model,
            threat_model=ThreatModel("Linf", eps),
            alpha=eps / 10 if alpha is None else alpha,
            steps=steps,
            loss=loss,
            early_stop=early_stop,
            precision=precision,
        )


@final
class TargetedBIM(GradientAttack):
    """TargetedBIM is the targeted basic iterative method, without a random start.

    Tuna et al. 2022, Eq. 5 and Table VII.

    Args:
        model: View to attack.
        eps: Linf radius in pixel units, not negative.
        alpha: Length of a step; a tenth of ``eps`` if None, as in Table VII.
        steps: Gradient steps.
        difference: False descends the target's loss, as foolbox does; True is Eq. 5, which climbs
            the label's loss minus the target's.

    Raises:
        ConfigError: If an argument is out of range, or no target class is given for Eq. 5.
    """

    def __init__(
        self,
        model: nn.Module,
        eps: float = 8 / 255,
        alpha: float | None = None,
        steps: int = 20,
        difference: bool = False,
    ) -> None:
        super().__init__(
            model,
            threat_model=ThreatModel("Linf", eps),
            alpha=eps / 10 if alpha is None else alpha,
            steps=steps,
            difference=difference,
        )


@final
class MIFGSM(GradientAttack):
    """MIFGSM is momentum iterative FGSM.

    Dong et al. 2018, Eq. 6 and 7, https://arxiv.org/abs/1710.06081.

    Args:
        model: View to attack.
        eps: Linf radius in pixel units, not negative.
        alpha: Length of a step; ``eps / steps`` if None, as in the paper.
        steps: Gradient steps.
        decay: What remains of the momentum, not negative; 1 in the paper.
        loss: What to climb where the view names no objective.
        early_stop: Whether an image stays as it is once it is misclassified.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        eps: float = 8 / 255,
        alpha: float | None = None,
        steps: int = 10,
        decay: float = 1.0,
        loss: Loss = "cross_entropy",
        early_stop: bool = True,
    ) -> None:
        super().__init__(
            model,
            threat_model=ThreatModel("Linf", eps),
            alpha=eps / max(steps, 1) if alpha is None else alpha,
            steps=steps,
            decay=decay,
            loss=loss,
            early_stop=early_stop,
        )


@final
class IFGSM(GradientAttack):
    """IFGSM is iterated FGSM, each step of which is as long as its budget.

    Wang et al. 2018, Eq. 5, https://arxiv.org/abs/1809.08516. The paper's formula
    does not project, so ten steps of 0.02 may reach 0.2. Its code does.

    Args:
        model: View to attack.
        step: Length of a step in pixel units, not negative: the paper's eps.
        steps: Gradient steps.
        project: Whether to stay within ``step`` of the image. If not, the attack's ``eps`` is
            ``steps * step``, which its threat model must allow.
        loss: What to climb where the view names no objective.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        step: float = 8 / 255,
        steps: int = 10,
        project: bool = True,
        loss: Loss = "cross_entropy",
    ) -> None:
        reach = step if project else step * steps
        super().__init__(
            model,
            threat_model=ThreatModel("Linf", reach),
            alpha=step,
            steps=steps,
            loss=loss,
            early_stop=False,
        )
