"""A network of somebody else, of any kind, as a module from pixels to scores."""

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from robust.errors import ConfigError
from robust.networks.normalize import Normalize
from robust.types import Images
from robust.vocabulary import Channels


@final
class Foreign(nn.Module):
    """It calls a network that was written elsewhere, behind a normalization of its own.

    Scores of a network without a gradient have one that is zero. Output objects with ``.logits``,
    as those of Hugging Face, are taken for their logits. Weights of another precision get images of
    that precision. A network that takes batches of one size alone gets such batches, filled up.

    Args:
        network: Normalized images to scores.
        mean: One number a channel, in pixels of [0, 1]; or one for all. No normalization if None.
        std: As ``mean``, and positive.
        channels: Order of the channels that the network was trained with.
        batch_size: Of a network that takes no other; None if any will do.

    Raises:
        ConfigError: If only one of mean and std is given, or they cannot be used.
    """

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        channels: Channels = "rgb",
        batch_size: int | None = None,
    ) -> None:
        super().__init__()
        if (mean is None) != (std is None):
            raise ConfigError(
                "Expected both `mean` and `std` or none of them, but got one. Give the other, too."
            )
        self.normalize = nn.Identity() if mean is None else Normalize(mean, std or ())
        self.network = network
        self.channels = channels
        self.batch_size = batch_size
        self.called = _name(network)
        self.program = _program(network)

    def train(self, mode: bool = True) -> "Foreign":
        """Set the mode of all parts that have modes; an exported program has none."""
        self.training = mode
        try:
            self.network.train(mode)
        except (NotImplementedError, AttributeError):
            self.network.training = mode
        return self

    def forward(self, x: Images) -> Any:  # noqa: ANN401 (whatever a network returns)
        """Scores of the network; whatever else it returns is returned as it is."""
        x = x.flip(1) if self.channels == "bgr" else x
        x = self.normalize(x.contiguous())  # for networks that use `view`
        size = self.batch_size
        if size is None or len(x) == size:
            return self._scores(x)
        blocks = torch.split(x, size)
        last = blocks[-1]
        filled = torch.cat([last, last[-1:].expand(size - len(last), *last.shape[1:])])
        return torch.cat([self._scores(block) for block in (*blocks[:-1], filled)])[: len(x)]

    def _scores(self, x: Images) -> Any:  # noqa: ANN401
        returned = self._returned(x.to(_precision(self.network)))
        scores = getattr(returned, "logits", returned)
        if not isinstance(scores, Tensor) or not scores.is_floating_point() or scores.ndim != 2:
            return scores
        if x.requires_grad and torch.is_grad_enabled():
            # Attacks ask for a gradient. A network without one has a zero, and that is told.
            scores = scores + 0 * x.flatten(1).sum(dim=1, keepdim=True)
        return scores.float()

    def _returned(self, x: Images) -> Any:  # noqa: ANN401
        try:
            return self.network(x)
        except RuntimeError as error:
            # torch's own words where images are handed to NumPy.
            if not torch.is_grad_enabled() or "requires grad" not in str(error):
                raise
            with torch.no_grad():
                return self.network(x.detach())


@final
class Called(nn.Module):
    """It is a module that calls a function.

    Args:
        function: Images to scores.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        # By its place torchattacks knows the device, and prints a line where there is none.
        self.place = nn.Parameter(torch.zeros(()), requires_grad=False)

    def forward(self, x: Images) -> Any:  # noqa: ANN401 (whatever a function returns)
        """What the function returns."""
        return self.function(x)


def name_of(network: object) -> str:
    """Return what messages call a network: its class, or that of the one which it calls."""
    return network.called if isinstance(network, Foreign) else type(network).__name__


def find_batch_size(network: Foreign, shape: tuple[int, int, int], hint: int | None = None) -> None:
    """Set the batch size of a network that takes one alone; one that takes any stays as it is.

    Args:
        network: Whose batch size to find. Its mode and gradients are the caller's to keep.
        shape: (C, H, W) of an image.
        hint: A size to try first, such as that of the example of an exported program.
    """
    device = next((value.device for value in network.state_dict().values()), torch.device("cpu"))
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)).to(device)
    hint = hint or _size_of_graph(network.network)
    for size in (None, *([hint] if hint else []), *_SIZES):
        network.batch_size = size
        if _takes(network, images) and (size is not None or _takes(network, images[:1])):
            return
    network.batch_size = None


_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 10, 50, 100, 500, 1000)
"""Batch sizes that programs are exported with, the likeliest first."""


def _size_of_graph(network: nn.Module) -> int | None:
    """Return the batch size that the graph of an exported program has, if it is fixed."""
    for node in network.graph.nodes if isinstance(network, GraphModule) else ():
        if node.op == "placeholder" and hasattr(node.meta.get("val"), "shape"):
            size = next(iter(node.meta["val"].shape), None)
            return size if isinstance(size, int) else None
    return None


@torch.no_grad()
def _takes(network: Foreign, images: Tensor) -> bool:
    try:
        scores = network(images)
    except Exception:  # of any network
        return False
    # An object that is no tensor is of no batch size, and refused later.
    return not isinstance(scores, Tensor) or (scores.ndim > 0 and len(scores) == len(images))


def _precision(network: nn.Module) -> torch.dtype:
    parameters = network.parameters()
    floating = (value.dtype for value in parameters if value.is_floating_point())
    return next(floating, torch.float32)


def _name(network: nn.Module) -> str:
    if isinstance(network, Called):
        return getattr(network.function, "__name__", type(network.function).__name__)
    named = getattr(network, "original_name", None)  # of a TorchScript program
    return named if isinstance(named, str) else type(network).__name__


def _program(network: nn.Module) -> str | None:
    """Hash of the code that a program carries with it, which the class of the program is not."""
    if not isinstance(getattr(network, "code", None), str):
        return None
    codes = (getattr(module, "code", "") for module in network.modules())
    text = "\n".join(code for code in codes if isinstance(code, str))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def per_channel(numbers: Any, count: int, name: str) -> list[float] | None:  # noqa: ANN401
    """Return one number for each channel, as a caller gives them: one for all, or one each.

    Args:
        numbers: What the caller gave.
        count: Number of channels of the images.
        name: What it is, for the message.

    Raises:
        ConfigError: If there are other than one or ``count`` numbers, or one is not finite.
    """
    if numbers is None:
        return None
    try:
        given = [float(value) for value in _listed(numbers)]
    except (TypeError, ValueError):
        raise ConfigError(
            f"Expected numbers as `{name}`, but got {numbers!r:.60}. Give one for each channel."
        ) from None
    if not all(map(math.isfinite, given)) or len(given) not in (1, count):
        shown = ", ".join(f"{value:g}" for value in given[:9]) or "none"
        raise ConfigError(
            f"Expected one finite number as `{name}`, or one for each of the {count} channels of "
            f"the images, but got {shown}. Give so many."
        )
    return given * count if len(given) == 1 else given


def _listed(numbers: Any) -> list[Any]:  # noqa: ANN401
    if isinstance(numbers, int | float):
        return [numbers]
    return list(numbers.flatten().tolist() if hasattr(numbers, "flatten") else numbers)
