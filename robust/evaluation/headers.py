"""The header of records: what was attacked, how, and on which data."""

import hashlib

from lightning.pytorch import Trainer

from robust.attacks.adaptive.search import Found, Search
from robust.attacks.views import EOT
from robust.data.module_arguments import usual_batch
from robust.defenses.base import Defense
from robust.evaluation.attacked_images import AttackedImages
from robust.evaluation.blocks import CALLS
from robust.evaluation.fingerprints import code_sha256, model_sha256
from robust.evaluation.masking_signs import differs_by_call
from robust.evaluation.suite import Suite
from robust.results.records import Header

_SOME = 64
"""Images of which two calls of the defense are compared."""


def search(
    suite: Suite, trainer: Trainer, defense: Defense, images: AttackedImages
) -> Found | None:
    """Return the views that a search finds, which is the same on all processes.

    Args:
        suite: Within whose threat model views are tried; None is the answer if it needs none.
        trainer: Whose processes agree.
        defense: What is attacked.
        images: Of which the first ones are tried, whatever the limit.
    """
    if suite.source is not None or "adaptive" not in suite.views:
        return None
    some = images.samples(0, min(_SEARCHED, usual_batch(images.data.shape), images.size))
    x, y = some.x.to(defense.device), some.y.to(defense.device)
    random = _is_random(trainer, defense, images)
    return Search(defense, defense.adaptive_view(), random, suite.threat_model).run(x, y)


_SEARCHED = 200
"""Images that a search looks at."""


def header_of(
    suite: Suite,
    trainer: Trainer,
    defense: Defense,
    images: AttackedImages,
    found: Found | None = None,
) -> Header:
    """Return the header of the records of a suite.

    Args:
        suite: What is attacked, and how.
        trainer: Whose processes agree upon it.
        defense: What is attacked.
        images: On which data.
        found: What a search for views found, if there was one.
    """
    source = suite.source
    adaptive = source.differentiated() if source is not None else defense.adaptive_view()
    random = _is_random(trainer, defense, images)
    attacked = adaptive if found is None else found.views
    return Header(
        suite=suite.name,
        attacks=dict(suite.infos),
        seed=suite.seed,
        block=min(suite.block, usual_batch(images.data.shape)),
        data=images.data.name,
        split=suite.split,
        data_sha256=images.fingerprint(),
        model_sha256=model_sha256(defense),
        adaptive_sha256=_sha256(model_sha256(adaptive), found),
        source_sha256=None if source is None else model_sha256(source.defense),
        source_view=None if source is None else source.view,
        random=random,
        judged=CALLS if random else 1,
        averaged=random and any(isinstance(module, EOT) for module in attacked.modules()),
    )


def _sha256(adaptive: str, found: Found | None) -> str:
    """Return the hash of what a search starts from, since that decides what it finds."""
    if found is None:
        return adaptive
    return hashlib.sha256(f"{adaptive}{code_sha256([Search])}".encode()).hexdigest()[:16]


def _is_random(trainer: Trainer, defense: Defense, images: AttackedImages) -> bool:
    """Return whether two calls of the defense differ, the same for all processes."""
    count = min(_SOME, usual_batch(images.data.shape), images.size)
    some = images.samples(0, count).x.to(defense.device)
    differs = differs_by_call(defense, some)
    return bool(trainer.strategy.reduce_boolean_decision(differs, all=False))
