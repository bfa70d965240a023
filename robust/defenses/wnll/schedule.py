"""Papers have learning rates for which torch has no scheduler."""

from typing import final

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from robust.errors import check_at_least


@final
class WangSchedule(LambdaLR):
    """This scheduler has the learning rates of Wang et al.'s linear stages, by epoch.

    They are those of their code, for 200 epochs each. A stage begins with lr / (10 i + 1), i from
    0. From epoch 80 it is that times 0.5 ** (epoch // 40): a quarter, at 120 an eighth, at 160 a
    sixteenth. Shorter stages have the same shares of ``linear_epochs``.

    Args:
        optimizer: Whose rates follow.
        linear_epochs: Length of a linear stage, as of the defense.
        wnll_epochs: Length of what follows it, 0 for nothing.
    """

    def __init__(
        self, optimizer: Optimizer, linear_epochs: int = 200, wnll_epochs: int = 10
    ) -> None:
        check_at_least("linear_epochs", linear_epochs, 1)
        check_at_least("wnll_epochs", wnll_epochs, 0)

        def factor(epoch: int) -> float:
            loop, within = divmod(epoch, linear_epochs + wnll_epochs)
            of_200 = min(within, linear_epochs - 1) * 200 // linear_epochs
            return 0.5 ** (of_200 // 40 if of_200 >= 80 else 0) / (10 * loop + 1)

        super().__init__(optimizer, factor)
