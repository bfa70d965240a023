"""Views consist of these modules, from pixels to class scores, which gradient attacks can follow.

A defense that hides its gradient is attacked through a view that does not. Its adaptive view is put
together from these pieces (Athalye, Carlini and Wagner 2018, https://arxiv.org/abs/1802.00420).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robust.duck_typing import ByAttribute
from robust.errors import ConfigError
from robust.transforms.quantized import Quantized
from robust.types import Images, Labels, Scores


@runtime_checkable
class HasObjective(Protocol, metaclass=ByAttribute):
    """Such a view names the loss that an attacker should climb instead of cross-entropy."""

    def objective(self, outputs: Scores, y: Labels) -> Float[Tensor, " n"]:
        """Return the loss of each sample; the attacker wants it large."""
        ...


@runtime_checkable
class HasTargetedObjective(Protocol, metaclass=ByAttribute):
    """Such a view names another loss for attackers that have a target class."""

    def targeted_objective(self, outputs: Scores, target: Labels) -> Float[Tensor, " n"]:
        """Return the loss of each sample at its target class; the attacker wants it small."""
        ...


def named_objective(
    view: nn.Module, outputs: Scores, y: Labels, *, targeted: bool
) -> Float[Tensor, " n"] | None:
    """Return the loss of each sample that ``view`` names; None if it names none.

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
    """This has the exact value forward, and the substitute's gradient backward."""

    @staticmethod
    def forward(ctx: Any, exact: Tensor, substitute: Tensor) -> Tensor:  # noqa: ANN401
        return exact.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:  # noqa: ANN401
        return None, grads[0]


def with_gradient_of(exact: Tensor, substitute: Tensor) -> Tensor:
    """Return the values of ``exact``, with the gradient of ``substitute``, which is as large."""
    return _StraightThrough.apply(exact, substitute)  # type: ignore[no-any-return]


@final
class BPDA(nn.Module):
    """BPDA is exactly ``transform`` forward, with the gradient of ``substitute`` backward.

    Backward pass differentiable approximation, of an input transform or of a later layer: Athalye
    et al. 2018, section 4.1.

    Args:
        transform: Tensors to tensors of the same shape; need not be differentiable.
        substitute: A differentiable stand-in. By default the identity, or `SoftSteps` if the
            transform is `Quantized`.
    """

    def __init__(self, transform: nn.Module, substitute: nn.Module | None = None) -> None:
        super().__init__()
        self.transform = transform
        self.substitute = substitute if substitute is not None else _stand_in(transform)

    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return what ``transform`` makes of ``x``."""
        with torch.no_grad():
            exact: Tensor = self.transform(x)
        if not torch.is_grad_enabled():
            return exact
        return with_gradient_of(exact, self.substitute(x))


@final
class EOT(nn.Module):
    """EOT gives the mean scores of a random module over ``samples`` of its calls.

    Expectation over transformation: Athalye et al. 2018, section 4.2. Every call takes new random
    numbers from the global random state, which ``craft`` seeds.

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
        """Return the mean scores."""
        return torch.stack([self.module(x) for _ in range(self.samples)]).mean(dim=0)


@final
class SoftSteps(nn.Module):
    """SoftSteps stands in for a quantizing transform, by the slopes of soft steps.

    A soft step is sigmoid(k (x - t)) at each threshold t. Its slope says which values can cross
    the threshold for little. The straight-through gradient does not, and an attack in L2 then
    spends its budget on values that cross none. Small k look further, and large ones are exact
    near the threshold. The slope here is the mean over several k, so that one pass does for all of
    them. Where there are many thresholds, a value crosses several, and the straight gradient is
    right: of n thresholds, the soft part is one n-th.

    Only its gradient means anything, which is what `BPDA` asks for.

    Args:
        thresholds: Where the transform changes its level, in ascending order.
    """

    def __init__(self, thresholds: Sequence[float]) -> None:
        super().__init__()
        self.thresholds = tuple(thresholds)
        self.straight = False
        """Whether the gradient goes straight through; ``craft`` tries that, too."""

    def forward(self, x: Images) -> Images:
        """Return images whose derivative by ``x`` is the slope at each value."""
        return x if self.straight else x * self.slope(x.detach())

    def slope(self, x: Images) -> Images:
        """Return the slope at each value, relative to that at a threshold."""
        thresholds = x.new_tensor(self.thresholds)
        halfway = (thresholds[1:] + thresholds[:-1]) / 2
        share = 1 / len(thresholds)
        way = (x - thresholds[torch.bucketize(x, halfway)]) / share
        return 1 - share + share * soft_slope(way)


def soft_slope(way: Tensor) -> Tensor:
    """Return the slope of soft steps as far as ``way`` from a threshold, relative to that at it."""
    # The slope of sigmoid(k z) is k / 4 / cosh(k z / 2)^2.
    slopes = [k * (way * (k / 2)).cosh().square().reciprocal() for k in _HARDNESS]
    return torch.stack(slopes).sum(dim=0) / sum(_HARDNESS)


_HARDNESS = (5, 10, 20, 40)
"""Of soft steps, for a single threshold."""


def _stand_in(transform: nn.Module) -> nn.Module:
    if isinstance(transform, Quantized):
        return SoftSteps(transform.level_thresholds)
    return nn.Identity()


@runtime_checkable
class Randomized(Protocol, metaclass=ByAttribute):
    """Such an input transform may be random, and an attacker then averages over its calls."""

    def resampled(self) -> tuple[nn.Module, int] | None:
        """Return the transform with new random numbers at every call, and how many to average.

        The numbers come from the global random state. None if the transform is not random.
        """
        ...


def straight_through(transform: nn.Module, network: nn.Module) -> nn.Module:
    """Put ``network`` behind ``transform``, with the gradient let straight through the transform.

    Behind a quantizing transform (`Quantized`), the gradient is that of `SoftSteps`.

    Behind a random transform (`Randomized`), scores are still those of ``transform``, so that the
    view predicts like the defense. The gradient is that of the mean scores over new random numbers.
    Where two calls of ``transform`` differ, two predictions of the view may differ, too.
    """
    resampled = transform.resampled() if isinstance(transform, Randomized) else None
    if resampled is None:
        return nn.Sequential(BPDA(transform), network)
    fresh, samples = resampled
    mean = EOT(nn.Sequential(BPDA(fresh), network), samples)
    return BPDA(nn.Sequential(transform, network), substitute=mean)


@final
class Rescale(nn.Module):
    """Rescale divides scores by a temperature, and then as far as float32's cross-entropy needs.

    Cross-entropy on logits of several hundred is as flat as on squeezed scores: its softmax is one
    in float32 for nearly every image. Dividing by the training temperature helps a network that was
    trained for few epochs. After twenty, the logits differ by a hundred even then. So the scores of
    each image are also shrunk until they span at most ``span``.

    The factor is constant for the gradient, whose direction and the order of the scores stay. But
    it changes on the way of an image, so that lengths of gradients at two points do not compare. An
    attack that compares them, and whose loss does not saturate, asks for ``shrink=False``.

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
        """Return rescaled scores; divided by the temperature alone unless ``shrink``."""
        scores: Scores = self.module(x) / self.temperature
        return shrunk(scores, self.span) if shrink else scores


def shrunk(scores: Scores, span: float = 10.0) -> Scores:
    """Return scores that differ by at most ``span`` within an image; see `Rescale`."""
    spread = scores.amax(dim=1, keepdim=True) - scores.amin(dim=1, keepdim=True)
    # A spread of zero gives an infinite factor, which the clamp makes one.
    return scores * (spread.detach().reciprocal() * span).clamp_max(1)


@final
class Several(nn.Module):
    """Several views of a network are attacked one after the other; the worst of each image counts.

    Its scores are those of the first one. ``craft`` goes through all of them, so that none replaces
    another.

    Args:
        views: Modules from pixels to scores, by their names.
    """

    def __init__(self, views: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.views = nn.ModuleDict(dict(views))

    def each(self) -> list[nn.Module]:
        """Return the views in their order."""
        return list(self.views.values())

    def forward(self, x: Images) -> Scores:
        """Return the scores of the first view."""
        return self.each()[0](x)  # type: ignore[no-any-return]
