"""The keys of ``evaluation`` in YAML and flags, which are flat, and what they describe."""

from collections.abc import Sequence

from robust.errors import ConfigError
from robust.evaluation.callback import AttackEvaluation
from robust.evaluation.suite import Suite
from robust.results.records import Target
from robust.threat import NamedThreatModel, ThreatModel, threat_model_named
from robust.types import AttackCallable, Norm, View
from robust.vocabulary import AskedEvidence, Split


def evaluation_of(
    suite: str = "none",
    attacks: dict[str, AttackCallable] | None = None,
    threat_model: NamedThreatModel = NamedThreatModel(),  # noqa: B008 (frozen)
    eps_on: dict[Norm, dict[str, float]] | None = None,
    threat_models: dict[str, ThreatModel] | None = None,
    targets: dict[str, Target] | None = None,
    views: Sequence[View] = ("deployed", "adaptive"),
    limit: int | None = 1000,
    block: int = 250,
    seed: int = 0,
    split: Split = "test",
    examples: int = 4,
    records: str | None = None,
    every_n_epochs: int = 0,
    val_limit: int = 100,
    robustness: bool = False,
    evidence: AskedEvidence | None = None,
    features: str | None = None,
) -> AttackEvaluation:
    """Return the evaluation that a config describes.

    Args:
        suite: Name of the suite, in the names of its record files.
        attacks: Attacks by name. One without ``eps`` or ``norm`` has that of its threat model.
        threat_model: What the attacks may do, unless `threat_models` says otherwise. Its ``eps``
            may be ``usual``, for the one that papers take on the data set.
        eps_on: Where that differs, by norm and data set; ``other`` for all that are not named.
        threat_models: Threat models of single attacks, by their names.
        targets: Target classes of targeted attacks, by their names. ``random`` chooses one of the
            other classes for each image, the same in all attacks that have it.
        views: What the attacks differentiate.
        limit: Number of images, from the first; all if None.
        block: Images that are crafted together. It bounds memory, and is part of the protocol.
        seed: It seeds every attack, together with its name and the block.
        split: Whether images of the ``test`` set are attacked, or of the ``train`` set.
        examples: Adversarial images per view and attack that go to W&B.
        records: Folder of the record files; ``records`` in the run's folder if None.
        every_n_epochs: Validation after every so many epochs, and after the last, logs the worst
            case of the suite as ``val/worst_robust_acc/<view>``. The view is the adaptive one if
            it is among `views`, and the deployed one otherwise. Never if 0.
        val_limit: Number of validation images for that, from the first.
        robustness: Whether a test also measures `RobustnessMetrics`, of the same images and views.
        evidence: How much a test tries to see whether the attacks would have found what is there.
            Nothing if null; `evaluate.py` then tries what is ``quick``.
        features: Layer of the network whose input are the features of the attack unit test; the
            last linear one if null.

    Raises:
        ConfigError: If the suite does not hold together, or a number is out of range.
    """
    if attacks is not None and not attacks:
        raise ConfigError("Expected at least one of `attacks`, but got none. Name one, or null.")
    return AttackEvaluation(
        Suite(
            suite,
            attacks or {},
            threat_model_named(threat_model, eps_on or {}),
            threat_models or {},
            targets or {},
            views,
            limit,
            block,
            seed,
            split,
        ),
        records=records,
        examples=examples,
        every_n_epochs=every_n_epochs,
        val_limit=val_limit,
        robustness=robustness,
        evidence=evidence,
        features=features,
    )
