"""Every floor uses these types: tensors with their shapes, and one batch of samples."""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Float, Int64
from torch import Tensor, nn
from torchattacks.attack import Attack as TorchAttack

from robust.vocabulary import Norm as Norm
from robust.vocabulary import View as View

Images = Float[Tensor, "n c h w"]
"""They are pixels in [0, 1]; eps, sigma and every distance are in the same units."""
Labels = Int64[Tensor, " n"]
Scores = Float[Tensor, "n k"]
"""They are any real numbers, one per class; the argmax is the prediction. Not always logits."""
Scalar = Float[Tensor, ""]

AttackCallable = Callable[[nn.Module], TorchAttack]
"""It builds an attack on a view; in YAML ``{class_path: torchattacks.PGD, init_args: {...}}``."""


class Batch(NamedTuple):
    """A batch has samples with the index of each in its data set, as seeds and records use it."""

    x: Tensor
    y: Tensor
    index: Tensor  # type: ignore[assignment] # a column, not tuple's method
