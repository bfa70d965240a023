"""A suite: what is attacked, how, and on which images. All that a config says of it is plain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from robust.defenses.base import Defense
from robust.errors import ConfigError, check_at_least
from robust.evaluation.inheritance import inheriting
from robust.evaluation.plan import plan
from robust.io.names import check_name, chosen
from robust.results.records import AttackInfo, Target
from robust.threat import OpenThreatModel, ThreatModel
from robust.types import AttackCallable, View
from robust.vocabulary import Split, no_usual_eps


@dataclass(frozen=True)
class Source:
    """A transfer attack is crafted on another defense, through one of its views.

    Args:
        defense: The other defense.
        view: What the attacks differentiate.
    """

    defense: Defense
    view: View = "adaptive"

    def differentiated(self) -> nn.Module:
        """Return what a transfer attack differentiates."""
        return self.defense.view(self.view)


@dataclass(frozen=True)
class Suite:
    """A suite has named attacks, what each of them may do, and the images that they get.

    An attack that was given no ``eps`` or no ``norm`` has that of its threat model.

    Args:
        name: It is in the names of record files.
        attacks: What builds each attack on a view, by name.
        threat_model: What the attacks may do, unless `threat_models` says otherwise.
        threat_models: Threat models of single attacks, by their names.
        targets: Target classes of targeted attacks, by their names. ``random`` chooses one of the
            other classes for each image, the same in all attacks that have it.
        views: What the attacks differentiate.
        limit: Number of images, from the first; all if None.
        block: Images that are crafted together. It bounds memory, and is part of the protocol. Of
            images larger than 32x32 RGB it is at most as many as take the memory of 500 of those.
        seed: It seeds every attack, together with its name and the block.
        split: Whether images of the ``test`` set are attacked, or of the ``train`` set.
        source: The defense that images are crafted on, if not on the attacked one.

    Raises:
        ConfigError: If the suite does not hold together (see `plan`), or a number is out of range.
    """

    name: str
    attacks: Mapping[str, AttackCallable] = field(default_factory=dict)
    threat_model: ThreatModel = ThreatModel()  # noqa: RUF009 (frozen)
    threat_models: Mapping[str, ThreatModel] = field(default_factory=dict)
    targets: Mapping[str, Target] = field(default_factory=dict)
    views: Sequence[View] = ("deployed", "adaptive")
    limit: int | None = 1000
    block: int = 250
    seed: int = 0
    split: Split = "test"
    source: Source | None = None
    builders: Mapping[str, AttackCallable] = field(init=False, repr=False, compare=False)
    """What builds each attack on a view, with the eps and the norm that it inherits."""
    infos: Mapping[str, AttackInfo] = field(init=False, repr=False, compare=False)
    """Each attack as it will be run."""

    def __post_init__(self) -> None:
        check_name("`evaluation.suite`", self.name, is_file=True)
        check_at_least("block", self.block, 1)
        if self.limit is not None:
            check_at_least("limit", self.limit, 1)
        if not self.views:
            raise ConfigError("Expected at least one of `views`, but got none. Name deployed, say.")
        object.__setattr__(self, "views", tuple(dict.fromkeys(self.views)))
        builders = {
            name: inheriting(attack, self.allowed(name)) for name, attack in self.attacks.items()
        }
        infos = plan(builders, self.threat_model, self.threat_models, self.targets)
        object.__setattr__(self, "builders", builders)
        object.__setattr__(self, "infos", infos)

    def allowed(self, name: str) -> ThreatModel:
        """Return the threat model of an attack."""
        return self.threat_models.get(name, self.threat_model)

    def on(self, data: str) -> "Suite":
        """Return the suite as it attacks a data set, whose eps it may take.

        Args:
            data: Name of the data set.

        Raises:
            ConfigError: If it takes that, and none is known.
        """
        models = [self.threat_model, *self.threat_models.values()]
        if not any(isinstance(model, OpenThreatModel) for model in models):
            return self
        return replace(
            self,
            threat_model=self._closed(self.threat_model, data),
            threat_models={n: self._closed(model, data) for n, model in self.threat_models.items()},
        )

    def _closed(self, model: ThreatModel, data: str) -> ThreatModel:
        if not isinstance(model, OpenThreatModel):
            return model
        found = model.on(data)
        if found is None:
            raise no_usual_eps(self.name, model.norm, data)
        return found

    def only(self, patterns: Sequence[str]) -> "Suite":
        """Return the suite with some of its attacks.

        Args:
            patterns: Names of attacks, or patterns such as ``bim_*``.

        Raises:
            ConfigError: If no attack is meant, or one of the patterns means none.
        """
        kept = chosen(self.attacks, patterns)
        return replace(
            self,
            attacks={name: value for name, value in self.attacks.items() if name in kept},
            threat_models={n: model for n, model in self.threat_models.items() if n in kept},
            targets={name: target for name, target in self.targets.items() if name in kept},
        )
