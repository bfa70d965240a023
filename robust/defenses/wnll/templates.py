"""A template of `robust.defenses.WNLL` has training images, which are chosen and checked here.

Wang et al. 2018, https://arxiv.org/abs/1809.08516, section 3.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Int64
from lightning.pytorch import Callback
from torch import Tensor

from robust.data import ImageDataModule
from robust.data.loaders import evaluation_pieces, split
from robust.duck_typing import ByAttribute
from robust.errors import ConfigError
from robust.types import Images, Labels

Sampling = Literal["balanced", "random"]


def templates_of(
    data: ImageDataModule, count: int, size: int, num_classes: int, sampling: Sampling, seed: int
) -> Iterator[tuple[Images, Labels]]:
    """Yield images in [0, 1] and labels of ``count`` templates, of what a network is trained on.

    Args:
        data: Whose `trained_samples` they are of.
        count: Number of templates; number i has the seed ``seed + i``.
        size: Number of images, see `sample_template`.
        num_classes: Number of classes.
        sampling: How they are chosen, see `sample_template`.
        seed: Of the first.

    Raises:
        ConfigError: As `sample_template`.
    """
    samples, trained = data.trained_samples()
    for i in range(count):
        chosen = trained[sample_template(samples.y[trained], size, num_classes, sampling, seed + i)]
        yield samples.x[chosen].float() / 255, samples.y[chosen]


def sample_template(
    labels: Labels, size: int, num_classes: int, sampling: Sampling, seed: int
) -> Int64[Tensor, " l"]:
    """Return the index of each image of a template among samples of those labels.

    Args:
        labels: Of the training samples.
        size: Of the template.
        num_classes: Number of classes.
        sampling: ``balanced`` takes as many of each class, or one more; ``random`` any.
        seed: Fixes the template.

    Raises:
        ConfigError: If there are too few, or the template lacks a class.
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    if sampling == "balanced":
        share, rest = divmod(size, num_classes)
        indices = [order[labels[order] == c] for c in range(num_classes)]
        order = torch.cat([of[: share + (c < rest)] for c, of in enumerate(indices)])
    chosen = order[:size]
    check_template(labels[chosen], size, num_classes)
    return chosen


def check_template(labels: Labels, size: int, num_classes: int) -> None:
    """Raise unless there are as many labels as expected, and each class is among them.

    Raises:
        ConfigError: If there are not, with both numbers.
    """
    classes = len(set(labels.tolist()))
    if len(labels) != size or classes != num_classes:
        raise ConfigError(
            f"Expected a template of {size} training images with each of {num_classes} classes, "
            f"but got {len(labels)} images of {classes} classes. Choose another `template_size`, "
            "`template_draw` or `template_seed`."
        )


@runtime_checkable
class _Blocks(Protocol, metaclass=ByAttribute):
    @property
    def block(self) -> int: ...
    @property
    def limit(self) -> int | None: ...


def check_batches(data: ImageDataModule, callbacks: Sequence[Callback], processes: int) -> None:
    """Raise if validation, test or attacks would have a batch of one image.

    Args:
        data: With the sizes of batches and of the sets.
        callbacks: Those with a ``block`` and a ``limit`` show the first test images in blocks.
        processes: Among which validation and test are shared.

    Raises:
        ConfigError: If one of them would.
    """
    held_out = split(len(data.train_labels), data.val_fraction, data.seed)[1]
    alone = any(
        piece.stop - piece.start == 1
        for n in (len(held_out), data.test_size)
        for rank in range(processes)
        for piece in evaluation_pieces(n, data.eval_batch_size, rank, processes)
    )
    for callback in callbacks:
        if isinstance(callback, _Blocks):
            limit = data.test_size if callback.limit is None else callback.limit
            alone |= callback.block == 1 or min(limit, data.test_size) % callback.block == 1
    if alone:
        raise ConfigError(
            "Expected batches of at least two images with `queries: batch`, which interpolates "
            "over a batch, but the last or each of them would have 1. Change "
            "`data.init_args.eval_batch_size`, `evaluation.block` or the number of images, or set "
            "`queries` to single."
        )
