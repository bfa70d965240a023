"""Words that every floor speaks: tensors with their shapes, and one batch of samples."""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Float, Int64
from torch import Tensor, nn
from torchattacks.attack import Attack as TorchAttack

from robust.vocabulary import Norm as Norm
from robust.vocabulary import View as View

Images = Float[Tensor, "n c h w"]
"""Pixels in [0, 1]; eps, sigma and every distance are in the same units."""
Labels = Int64[Tensor, " n"]
Scores = Float[Tensor, "n k"]
"""Any real numbers, one per class; the argmax is the prediction. Not always logits."""
Scalar = Float[Tensor, ""]

AttackCallable = Callable[[nn.Module], TorchAttack]
"""Builds an attack on a view; in YAML ``{class_path: torchattacks.PGD, init_args: {...}}``."""


class Batch(NamedTuple):
    """Samples with the place of each in its dataset, which is what seeds and records refer to."""

    x: Tensor
    y: Tensor
    index: Tensor  # type: ignore[assignment] # a column, not tuple's method
