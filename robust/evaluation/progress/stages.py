"""What comes before and after the attacks of a suite, each under a name of its own."""

from lightning.pytorch import Trainer

from robust.attacks.adaptive.search import Found
from robust.defenses.base import Defense
from robust.evaluation.attacked_images import AttackedImages
from robust.evaluation.evidence.stage import Stage
from robust.evaluation.headers import search
from robust.evaluation.suite import Suite
from robust.results.evidence.recorded import Evidence
from robust.results.records import Evaluation
from robust.tracking.progress import Display, Steps, beating


def searched(
    suite: Suite, trainer: Trainer, defense: Defense, images: AttackedImages, display: Display
) -> Found | None:
    """Return what a search for views finds; see `search`.

    Args:
        suite: Within whose threat model views are tried.
        trainer: Whose processes agree.
        defense: What is attacked.
        images: Of which the first ones are tried.
        display: Where it is shown.
    """
    steps = Steps(f"{suite.name}: search for adaptive views")
    with display.of(steps.status), beating([defense], steps.beat):
        return search(suite, trainer, defense, images)


def gathered(
    stage: Stage, evaluation: Evaluation, known: Evidence | None, display: Display
) -> Evidence:
    """Return the evidence of a stage; see `Stage.run`.

    Args:
        stage: It gathers the evidence.
        evaluation: Records of the suite, through all views.
        known: Evidence that is kept beside the records.
        display: Where it is shown.
    """
    steps = Steps(f"{stage.suite.name}: evidence", stage.steps)
    with display.of(steps.status), beating([stage.defense, *stage.views.values()], steps.beat):
        return stage.run(evaluation, known, steps.begin)
