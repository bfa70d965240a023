"""The header of records: what was attacked, how, and on which data."""

from lightning.pytorch import Trainer

from robust.attacks.views import EOT
from robust.data.module_arguments import usual_batch
from robust.defenses.base import Defense
from robust.evaluation.attacked_images import AttackedImages
from robust.evaluation.fingerprints import model_sha256
from robust.evaluation.masking_signs import differs_by_call
from robust.evaluation.suite import Suite
from robust.results.records import Header

_SOME = 64
"""Images of which two calls of the defense are compared."""


def header_of(
    suite: Suite, trainer: Trainer, defense: Defense, images: AttackedImages, count: int
) -> Header:
    """Return the header of the records of a suite.

    Args:
        suite: What is attacked, and how.
        trainer: Whose processes agree upon it.
        defense: What is attacked.
        images: On which data.
        count: Number of images that are attacked.
    """
    source = suite.source
    adaptive = source.differentiated() if source is not None else defense.adaptive_view()
    some = images.samples(0, min(_SOME, usual_batch(images.data.shape), count)).x
    some = some.to(defense.device)
    # One answer for all processes, since it is part of the name of the records.
    random = trainer.strategy.reduce_boolean_decision(differs_by_call(defense, some), all=False)
    return Header(
        suite=suite.name,
        attacks=dict(suite.infos),
        seed=suite.seed,
        block=min(suite.block, usual_batch(images.data.shape)),
        data=images.data.name,
        split=suite.split,
        data_sha256=images.fingerprint(),
        model_sha256=model_sha256(defense),
        adaptive_sha256=model_sha256(adaptive),
        source_sha256=None if source is None else model_sha256(source.defense),
        source_view=None if source is None else source.view,
        random=random,
        averaged=random and any(isinstance(module, EOT) for module in adaptive.modules()),
    )
