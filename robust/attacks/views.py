"""Pieces of views: modules from pixels to class scores on which ordinary gradient attacks work.

A defense that hides its gradient is attacked through a view that does not. Its adaptive view is put
together from these pieces (Athalye, Carlini and Wagner 2018, https://arxiv.org/abs/1802.00420).
"""

from typing import Any, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robust.duck_typing import ByAttribute
from robust.errors import ConfigError
from robust.types import Images, Labels, Scores


@runtime_checkable
class HasObjective(Protocol, metaclass=ByAttribute):
    """A view that names the loss an attacker should climb instead of cross-entropy."""

    def objective(self, outputs: Scores, y: Labels) -> Float[Tensor, " n"]:
        """Loss of each sample; the attacker wants it large."""
        ...


@runtime_checkable
class HasTargetedObjective(Protocol, metaclass=ByAttribute):
    """A view whose objective is another one where the attacker has a target class."""

    def targeted_objective(self, outputs: Scores, target: Labels) -> Float[Tensor, " n"]:
        """Loss of each sample at its target class; the attacker wants it small."""
        ...


def named_objective(
    view: nn.Module, outputs: Scores, y: Labels, *, targeted: bool
) -> Float[Tensor, " n"] | None:
    """The loss of each sample that ``view`` names; None if it names none.

    Args:
        view: What is attacked.
        outputs: What it says of the images.
        y: Labels, whose loss is to rise; or if ``targeted`` target classes, whose loss is to fall.
        targeted: Whether ``y`` is what the images shall become.
    """
    if targeted and isinstance(view, HasTargetedObjective):
        return view.targeted_objective(outputs, y)
    return view.objective(outputs, y) if isinstance(view, HasObjective) else None


class _StraightThrough(torch.autograd.Function):
    """The exact value forward, the substitute's gradient backward."""

    @staticmethod
    def forward(ctx: Any, exact: Tensor, substitute: Tensor) -> Tensor:  # noqa: ANN401
        return exact.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:  # noqa: ANN401
        return None, grads[0]


@final
class BPDA(nn.Module):
    """Backward pass differentiable approximation, of an input transform or of a later layer.

    Forward is exactly ``transform``; the gradient is that of ``substitute``. Athalye et al. 2018,
    section 4.1.

    Args:
        transform: Tensors to tensors of the same shape; need not be differentiable.
        substitute: A differentiable stand-in; the identity by default.
    """

    def __init__(self, transform: nn.Module, substitute: nn.Module | None = None) -> None:
        super().__init__()
        self.transform = transform
        self.substitute = substitute if substitute is not None else nn.Identity()

    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """What ``transform`` makes of ``x``."""
        with torch.no_grad():
            exact: Tensor = self.transform(x)
        if not torch.is_grad_enabled():
            return exact
        return _StraightThrough.apply(exact, self.substitute(x))  # type: ignore[no-any-return]


@final
class EOT(nn.Module):
    """Expectation over transformation: mean scores of a randomized module over ``samples`` draws.

    Athalye et al. 2018, section 4.2. Every call draws anew from the global random state, which
    ``craft`` seeds.

    Raises:
        ConfigError: If ``samples`` is below 1.
    """

    def __init__(self, module: nn.Module, samples: int) -> None:
        super().__init__()
        if samples < 1:
            raise ConfigError(f"Expected `samples` to be at least 1, but got {samples}.")
        self.module = module
        self.samples = samples

    def forward(self, x: Images) -> Scores:
        """Mean scores."""
        return torch.stack([self.module(x) for _ in range(self.samples)]).mean(dim=0)


@runtime_checkable
class Randomized(Protocol, metaclass=ByAttribute):
    """An input transform that may draw, over whose draws an attacker then averages."""

    def redrawn(self) -> tuple[nn.Module, int] | None:
        """It with new draws from the global random state at every call, and how many to average.

        None if it draws nothing.
        """
        ...


def straight_through(transform: nn.Module, network: nn.Module) -> nn.Module:
    """``network`` behind ``transform``, with the gradient let straight through the transform.

    Behind a transform that draws (`Randomized`), scores are still those of ``transform``, so that
    the view predicts like the defense; the gradient is that of the mean scores over fresh draws.
    Where every call of ``transform`` draws anew, the view too predicts anew.
    """
    redrawn = transform.redrawn() if isinstance(transform, Randomized) else None
    if redrawn is None:
        return nn.Sequential(BPDA(transform), network)
    fresh, samples = redrawn
    mean = EOT(nn.Sequential(BPDA(fresh), network), samples)
    return BPDA(nn.Sequential(transform, network), substitute=mean)


@final
class Rescale(nn.Module):
    """Scores divided by a temperature, and then as far as float32's cross-entropy needs.

    Cross-entropy on logits of several hundred is as flat as on squeezed scores: its softmax is one
    in float32 for nearly every image. Dividing by the training temperature helps a net that was
    trained for few epochs; after twenty, the logits differ by a hundred even then. So the scores of
    each image are also shrunk until they span at most ``span``. The factor is a constant to the
    gradient, which keeps its direction, and to the order of the scores, which keeps the prediction.
    But it changes on the way of an image, so that lengths of gradients at two places no longer
    compare: an attack that weighs them and whose loss does not saturate asks for ``shrink=False``.

    Args:
        module: Images to scores.
        temperature: Divisor of all scores, positive.
        span: Largest difference of two scores of an image, positive; e^-10 is still far above the
            rounding of one.

    Raises:
        ConfigError: If ``temperature`` or ``span`` is not positive.
    """

    def __init__(self, module: nn.Module, temperature: float = 1.0, span: float = 10.0) -> None:
        super().__init__()
        for name, value in (("temperature", temperature), ("span", span)):
            if not value > 0:
                raise ConfigError(f"Expected `{name}` to be positive, but got {value}.")
        self.module = module
        self.temperature = temperature
        self.span = span

    def forward(self, x: Images, *, shrink: bool = True) -> Scores:
        """Rescaled scores; divided by the temperature alone unless ``shrink``."""
        scores: Scores = self.module(x) / self.temperature
        return shrunk(scores, self.span) if shrink else scores


def shrunk(scores: Scores, span: float = 10.0) -> Scores:
    """Scores of which those of an image differ by ``span`` at most; see `Rescale`."""
    spread = scores.amax(dim=1, keepdim=True) - scores.amin(dim=1, keepdim=True)
    # A spread of zero gives an infinite factor, which the clamp makes one.
    return scores * (spread.detach().reciprocal() * span).clamp_max(1)
