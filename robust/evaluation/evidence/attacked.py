"""What evidence is gathered on: a defense, its views, and the images that were attacked."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from robust.attacks.adaptive.search import Found
from robust.defenses.base import Defense
from robust.evaluation.attacked_images import AttackedImages
from robust.evaluation.blocks import views_of
from robust.evaluation.suite import Suite
from robust.results.records import AttackInfo
from robust.results.rows import Column
from robust.threat import ThreatModel
from robust.types import Images, Labels, View


@dataclass(frozen=True)
class Attacked:
    """A defense that was attacked.

    Args:
        suite: The attacks.
        defense: What was attacked.
        images: On which data.
        found: What a search found for the adaptive view, if there was one.
    """

    suite: Suite
    defense: Defense
    images: AttackedImages
    found: Found | None

    @cached_property
    def views(self) -> dict[View, nn.Module]:
        """What the attacks differentiated, by view."""
        known = views_of(self.suite, self.defense, self.found)
        modules = {name: module for (module, _), names in known.items() for name in names}
        return {name: modules[name] for name in self.suite.views}

    @property
    def count(self) -> int:
        """Number of images that were attacked."""
        return self.images.at_most(self.suite.limit)

    def at(self, index: Column | range) -> tuple[Images, Labels]:
        """Return some images on the device of the defense, with their labels."""
        batches = [self.images.samples(int(i), int(i) + 1) for i in index]
        x = torch.cat([batch.x for batch in batches])
        return x.to(self.defense.device), torch.cat([b.y for b in batches]).to(self.defense.device)


def threat_model_of(info: AttackInfo) -> ThreatModel:
    """Return what an attack may do."""
    return ThreatModel(info.norm, info.eps)
