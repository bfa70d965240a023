"""Tables and figures go to W&B."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jaxtyping import Float
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import Logger, WandbLogger
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from robust.results.evidence.verdict_tags import with_verdict
from robust.tracking.tracker import Tracker
from robust.types import Images, Labels

if TYPE_CHECKING:
    import wandb

EXAMPLES = "test/examples"
"""The table with adversarial images of a test."""


@rank_zero_only
def log_adversarial_table(
    loggers: Iterable[Logger],
    view: str,
    attack: str,
    x: Images,
    x_adv: Images,
    y: Labels,
    clean_pred: Labels,
    adv_pred: Labels,
    names: Sequence[str] = (),
) -> None:
    """Show images beside their adversarial ones in W&B, in the table ``test/examples``.

    It has those of all views and attacks, and is logged when the test ends. The third image is the
    difference on grey, amplified until its largest change is black or white. The column
    ``amplified`` says how much.

    Args:
        loggers: Loggers; only those of this package for W&B are used.
        view: What the attacker differentiated.
        attack: Its name in the suite.
        x: Clean images.
        x_adv: Adversarial images.
        y: True labels.
        clean_pred: Predictions on ``x``.
        adv_pred: Predictions on ``x_adv``.
        names: Names of the classes; their numbers are shown without.
    """
    targets = [logger for logger in loggers if isinstance(logger, Tracker)]
    if not targets:
        return
    columns = ["view", "attack", "label", "clean prediction", "adversarial prediction"]
    columns += ["clean", "adversarial", "difference", "amplified"]
    rows = []
    for i in range(len(x)):
        delta = x_adv[i] - x[i]
        largest = delta.abs().max().item()
        gain = 0.5 / largest if largest > 0 else 1.0
        images = [_image(pixels) for pixels in (x[i], x_adv[i], 0.5 + gain * delta)]
        classes = [_class(int(labels[i]), names) for labels in (y, clean_pred, adv_pred)]
        rows.append([view, attack, *classes, *images, round(gain, 1)])
    for logger in targets:
        logger.add_rows(EXAMPLES, columns, rows)


@rank_zero_only
def log_figures(loggers: Iterable[Logger], figures: Mapping[str, str | Path]) -> None:
    """Show PNG files in W&B.

    Args:
        loggers: Loggers; only those of W&B are used.
        figures: The file to show under each key.
    """
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            for key, path in figures.items():
                logger.log_image(key, [str(path)])


@rank_zero_only
def log_table(
    loggers: Iterable[Logger],
    key: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str | int | float]],
) -> None:
    """Show a table in W&B.

    Args:
        loggers: Loggers; only those of W&B are used.
        key: Its name in W&B.
        columns: Names of the columns.
        rows: One value a column.
    """
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_table(key, list(columns), [list(row) for row in rows])


def _class(label: int, names: Sequence[str]) -> int | str:
    return names[label] if label < len(names) else label


def _image(pixels: Float[Tensor, "c h w"]) -> "wandb.Image":
    """Return an image for W&B, grey or RGB; other numbers of channels as their mean."""
    import wandb  # a second, which a command without it need not wait for

    if len(pixels) not in (1, 3):
        pixels = pixels.mean(0, keepdim=True)
    # As a PIL image, because W&B stretches the contrast of tensors and drops sides of one pixel.
    return wandb.Image(to_pil_image((pixels.detach().clamp(0, 1) * 255).round().byte().cpu()))


@rank_zero_only
def log_verdict(loggers: Iterable[Logger], word: str, reason: str, tags: Sequence[str]) -> None:
    """Show a verdict in the summary of a run in W&B, and among its tags.

    Args:
        loggers: Loggers; only those of W&B are used.
        word: The verdict.
        reason: Why; empty if there is nothing to say.
        tags: As `robust.results.evidence.verdict_tags.tags_of` returns them.
    """
    for logger in loggers:
        if isinstance(logger, WandbLogger) and not logger.experiment.disabled:
            recorded = logger.experiment
            recorded.summary.update({"verdict": word, "verdict_reason": reason})
            recorded.tags = with_verdict(recorded.tags or (), tags)
