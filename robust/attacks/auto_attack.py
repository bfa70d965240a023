"""AutoAttack is the standard version of Croce and Hein 2020, https://arxiv.org/abs/2003.01690."""

from collections.abc import Iterator
from typing import Literal, final

import torch
from torch import Tensor, nn

from robust.attacks.base import Attack, check_choice
from robust.attacks.gradient.apgd import APGD
from robust.attacks.minimal.fab import FAB
from robust.attacks.query.square import Square
from robust.errors import ConfigError
from robust.threat import ThreatModel
from robust.types import Images, Labels


@final
class AutoAttack(Attack):
    """AutoAttack runs four attacks, each on the images that the earlier ones left robust.

    They are APGD on the cross-entropy, targeted APGD on the logits ratio for the classes of the
    highest scores, targeted FAB, and Square. All are as long as in the authors' standard version.
    torchattacks' class of this name takes ten steps instead of a hundred. Each attack leaves an
    image as soon as it is misclassified as any class.

    For a network of fewer than four classes the targeted ratio is not defined. There APGD climbs
    the difference of the target's and the label's score (`robust.losses`). FAB is left out for two
    classes: its only target would be the other class, which APGD has tried.

    Args:
        model: View to attack.
        eps: Radius in pixel units, not negative.
        norm: Linf or L2.
        steps: Gradient steps of APGD and FAB.
        targets: Target classes of APGD and FAB, as many as there are at most.
        queries: Forward passes of Square.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        eps: float = 8 / 255,
        norm: Literal["Linf", "L2"] = "Linf",
        steps: int = 100,
        targets: int = 9,
        queries: int = 5000,
    ) -> None:
        super().__init__(model)
        self.supported_mode = ["default"]
        for name, count in (("steps", steps), ("targets", targets), ("queries", queries)):
            if count < 1:
                raise ConfigError(f"Expected `{name}` to be at least 1, but got {count}.")
        check_choice("norm", norm, ("Linf", "L2"))
        self.threat_model = ThreatModel(norm, eps)
        self.norm, self.eps = norm, eps
        self.steps, self.targets, self.queries = steps, targets, queries

    def forward(self, images: Images, labels: Labels) -> Images:
        """Return adversarial images of the same shape; unchanged where none was found."""
        seeds = self.sample_seeds
        if seeds is None:
            seeds = torch.randint(2**62, (len(images),), device=images.device)
        x_adv = images.clone()
        with torch.no_grad():
            scores = self.get_logits(images)
        left = (scores.argmax(dim=1) == labels).nonzero().squeeze(1)
        for number, attack in enumerate(self._attacks_in_turn(scores.shape[1])):
            if not len(left):
                break
            attack.set_device(images.device)
            attack.sample_seeds = seeds[left] + number
            attack.judge, attack.transferred = self.judge, self.transferred
            attack.cells = self.cells
            found = attack(images[left], labels[left])
            success = self._successes(images[left], found, labels[left])
            x_adv[left[success]] = found[success]
            left = left[~success]
        return x_adv

    def _attacks_in_turn(self, classes: int) -> Iterator[Attack]:
        targets = min(self.targets, classes - 1)
        yield APGD(self.model, self.eps, self.steps, self.norm)
        for rank in range(targets):
            yield APGD(self.model, self.eps, self.steps, self.norm, "dlr", rank=rank)
        if classes > 2:
            yield FAB(self.model, self.eps, self.norm, self.steps, targets)
        yield Square(self.model, self.norm, self.eps, self.queries)

    def _successes(self, x: Images, x_adv: Images, y: Labels) -> Tensor:
        finite = x_adv.isfinite().flatten(1).all(dim=1)
        near = self.threat_model.distance(x, x_adv) <= self.threat_model.limit
        return finite & near & (self.predict(x_adv.nan_to_num()) != y)
