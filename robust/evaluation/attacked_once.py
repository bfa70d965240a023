"""One attack on images that a caller has, run and checked as the records of a suite are."""

from dataclasses import dataclass

import torch

from robust.attacks import craft, isolated, sample_seeds
from robust.defenses.base import Defense
from robust.errors import ConfigError, in_short
from robust.evaluation.blocks import seed_of, view_and_judge
from robust.evaluation.plan import plan
from robust.threat import ThreatModel
from robust.types import AttackCallable, Images, Labels, View


@dataclass(frozen=True)
class AttackedOnce:
    """An attack of this kind runs once, outside of a suite, within its threat model.

    Args:
        name: For messages, and part of its seed.
        build: Builds it on a view.
        threat_model: What it may do.
        view: What it differentiates.
        target: Class that each image shall become; any other than its own if None.
        seed: Of its random numbers.
        block: Images that are attacked together.
    """

    name: str
    build: AttackCallable
    threat_model: ThreatModel
    view: View = "adaptive"
    target: int | None = None
    seed: int = 0
    block: int = 250

    def craft(self, defense: Defense, x: Images, y: Labels) -> Images:
        """Return adversarial images of the type of ``x``.

        Raises:
            ConfigError: If the defense does not take the images, or a label is none of its classes.
            ThreatModelViolation: If the attack did more than its threat model allows.
        """
        targets = {} if self.target is None else {self.name: self.target}
        info = plan({self.name: self.build}, self.threat_model, {}, targets)[self.name]
        self._check_samples(defense, x, y)
        starts = range(0, len(x), self.block)
        parts = (slice(start, start + self.block) for start in starts)
        return torch.cat([self._craft(defense, x, y, part, info.minimal) for part in parts])

    def _craft(self, defense: Defense, x: Images, y: Labels, part: slice, minimal: bool) -> Images:
        module, judge = view_and_judge(defense, self.view)
        images, labels = x[part], y[part]
        index = torch.arange(part.start, part.start + len(images), device=x.device)
        crafted = craft(
            self.build,
            module,
            images,
            labels,
            target=None if self.target is None else torch.full_like(labels, self.target),
            seed=seed_of(self.seed, self.name, part.start),
            sample_seeds=sample_seeds(seed_of(self.seed, self.name), index),
            judge=judge,
            allowed=self.threat_model,
        )
        self.threat_model.check(images, crafted.x_adv, self.name, budget=not minimal)
        return crafted.x_adv.to(x.dtype)

    def _check_samples(self, defense: Defense, x: Images, y: Labels) -> None:
        try:
            with isolated(defense, x.device, 0), torch.no_grad():
                classes = defense(x[:1]).shape[1]
        except RuntimeError as error:
            raise ConfigError(
                f"Expected images that {type(defense.network).__name__} takes, but it does not "
                f"take those of shape {tuple(x.shape[1:])} ({in_short(error)}). Give others."
            ) from None
        target = 0 if self.target is None else self.target
        for key, label in (("y", int(y.max())), ("target", target)):
            if not 0 <= label < classes:
                raise ConfigError(
                    f"Expected `{key}` to be of the {classes} classes of the network, but got "
                    f"{label}. Number them from 0."
                )
