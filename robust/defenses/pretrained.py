"""A network that was trained elsewhere, to be attacked, or trained further, like any defense."""

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
import torch.nn.functional as F
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from robust.attacks.views import Rescale
from robust.defenses.base import Defense
from robust.networks.foreign import Foreign
from robust.types import Images, Labels, Scalar, Scores
from robust.vocabulary import Channels, Outputs


@final
class Pretrained(Defense):
    """A network that was trained elsewhere, with its own normalization.

    Its adaptive view is known from what it returns. Logits and logarithms of probabilities are
    shrunk, so that cross-entropy does not saturate (see `Rescale`). Of probabilities the view
    takes the scores before the softmax where there is one, else their logarithms.

    Examples:
        >>> layers = [torch.nn.Flatten(), torch.nn.Linear(784, 10), torch.nn.Softmax(dim=1)]
        >>> network = torch.nn.Sequential(*layers)
        >>> defense = robust.Pretrained(network, mean=[0.13], std=[0.31], outputs="probabilities")
        >>> defense(torch.rand(2, 1, 28, 28)).sum(dim=1).round().tolist()
        [1.0, 1.0]

    Args:
        network: Normalized images to scores.
        mean: One number a channel, in pixels of [0, 1]; no normalization if None.
        std: As ``mean``, and positive.
        outputs: What the network returns.
        adaptive: Builds the adaptive view of a module from pixels in [0, 1] to scores. It has to
            predict as that module does. If None, the view is what the outputs say.
        channels: Order of the channels that the network was trained with.
        batch_size: Of a network that takes no other; None if any will do.
        optimizer: Builds the optimizer, should it be trained further.
        scheduler: Builds a learning-rate scheduler.

    Raises:
        ConfigError: If only one of mean and std is given, or they cannot be used.
    """

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        outputs: Outputs = "logits",
        adaptive: Callable[[nn.Module], nn.Module] | None = None,
        channels: Channels = "rgb",
        batch_size: int | None = None,
        optimizer: OptimizerCallable = lambda parameters: torch.optim.Adam(parameters, lr=1e-4),
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        foreign = Foreign(network, mean, std, channels, batch_size)
        super().__init__(foreign, None, optimizer, scheduler)
        self.outputs_are = outputs
        self.adaptive = adaptive

    def training_loss(self, x: Images, y: Labels) -> Scalar:
        """Cross-entropy of the probabilities that the outputs stand for."""
        scores = self(x)
        if self.outputs_are == "probabilities":
            return F.nll_loss(_logarithms(scores), y)
        return F.cross_entropy(scores, y)

    def adaptive_view(self) -> nn.Module:
        """The caller's own view; else logits, or what stands for them, kept from saturating."""
        if self.adaptive is not None:
            return self.adaptive(self.network)
        if self.outputs_are == "probabilities":
            return Rescale(BeforeSoftmax(self.network))
        return Rescale(self.network)


@final
class BeforeSoftmax(nn.Module):
    """What the last softmax of a network is of; where there is none, the logarithm of its outputs.

    Probabilities of a network that is sure are exactly 0 and 1 in float32, and their logarithms
    have no gradient. What the softmax was given still has one, and orders the classes alike.

    Args:
        network: Images to probabilities.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Images) -> Scores:
        """Scores before the softmax, or logarithms."""
        seen = _Softmaxes()
        with seen:
            probabilities: Scores = self.network(x)
        for given, returned in reversed(seen.calls):
            if torch.equal(returned, probabilities):
                # A network that leaves torch on its way has a gradient here, but not to x.
                return given + 0 * x.flatten(1).sum(dim=1, keepdim=True)
        return _logarithms(probabilities)


class _Softmaxes(TorchFunctionMode):
    """It notes what each softmax over classes is given and returns, however it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Tensor, Tensor]] = []

    def __torch_function__(
        self,
        function: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: Any = (),  # noqa: ANN401
        kwargs: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        returned = function(*args, **(kwargs or {}))
        given = args[0] if args else (kwargs or {}).get("input")
        if getattr(function, "__name__", "").startswith("softmax") and isinstance(given, Tensor):
            dim = (kwargs or {}).get("dim", args[1] if len(args) > 1 else None)
            if given.ndim == 2 and dim in (1, -1):
                self.calls.append((given, returned))
        return returned


def _logarithms(probabilities: Tensor) -> Tensor:
    return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()
