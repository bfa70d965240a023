"""A network with data-dependent activation is deployed with a template, and has an adaptive view.

Wang et al. 2018, https://arxiv.org/abs/1809.08516, section 3.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, cast, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from robust.attacks.views import shrunk
from robust.defenses.wnll.laplacian import WeightedNonlocalLaplacian
from robust.errors import ConfigError
from robust.types import Images, Scores

Features = Float[Tensor, "n d"]
Queries = Literal["single", "batch"]
Adaptive = Literal["both", "implicit", "linear"]

_UNCUT = 0.01
"""This share of the implicit scores has no cut-off."""
_SMALLEST_SCORE = 1e-6
"""Scores below it are rounding errors of the solution."""
_LIFT = 1e-3
"""The score of the deployed prediction is raised so far above the others where it was not."""


@final
class Interpolation(nn.Module):
    """This layer interpolates the scores of features from labelled templates.

    Args:
        layer: Interpolates.
        network: Ends in the linear layer whose outputs, behind a ReLU, are the features.
        templates: Number of templates, over which the scores are averaged.
        size: Images of a template.
        recipe: Numbers that say how the templates are chosen. Those of a checkpoint that were
            chosen otherwise, or of another size or number, are not loaded.
        num_classes: Number of classes.
        queries: ``batch`` interpolates over all queries together, ``single`` over each alone.

    Raises:
        ConfigError: If the network does not end in a linear layer; when called, if there is no
            template yet.
    """

    def __init__(
        self,
        layer: WeightedNonlocalLaplacian,
        network: nn.Module,
        templates: int,
        size: int,
        recipe: Sequence[int],
        num_classes: int,
        queries: Queries,
    ) -> None:
        super().__init__()
        self.layer = layer
        self.num_classes, self.queries = num_classes, queries
        self._told = False
        # In a list: it is a part of the network already.
        self._last = [last_linear(network)]
        self.inputs: Tensor
        self.labels: Tensor
        self.recipe: Tensor
        # Of the linear layer, which may still learn.
        self.register_buffer("inputs", torch.zeros(templates, size, self.last.in_features))
        # -1 before the template is chosen.
        self.register_buffer("labels", torch.full((templates, size), -1))
        self.register_buffer("recipe", torch.tensor(recipe))

    @property
    def has_templates(self) -> bool:
        """Whether there are templates yet."""
        return bool(self.labels.min() >= 0)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        *args: Any,  # noqa: ANN401
    ) -> None:
        names = ("inputs", "labels", "recipe")
        stored = [state_dict.get(prefix + name) for name in names]
        own = [self.inputs, self.labels, self.recipe]
        same = all(s is not None and s.shape == o.shape for s, o in zip(stored, own, strict=True))
        if not same or not torch.equal(cast(Tensor, stored[2]).cpu(), self.recipe.cpu()):
            self.labels.fill_(-1)
            state_dict.update((prefix + n, o) for n, o in zip(names, own, strict=True))
        super()._load_from_state_dict(state_dict, prefix, *args)

    @property
    def last(self) -> nn.Linear:
        """The network's last layer, whose outputs are the features before a ReLU."""
        return self._last[0]

    def forward(self, features: Features) -> Scores:
        """Return the mean scores over the templates, in [0, 1]; they sum to one."""
        together = self.queries == "batch" and len(features) > 1
        if self.queries == "batch" and len(features) == 1 and not self._told:
            self._told = True
            rank_zero_info(
                "With `queries: batch`, an image came by itself: its graph has no other."
            )
        layer = self.layer if together else self.layer.alone
        with torch.autocast(features.device.type, enabled=False):
            scores = [layer(features, *template) for template in self._templates()]
            return torch.stack(scores).mean(dim=0)

    def log_kernel(self, features: Features) -> Scores:
        """Return the log of the mean over the templates of the scores without a cut-off."""
        with torch.autocast(features.device.type, enabled=False):
            logs = [self.layer.log_kernel(features, *one) for one in self._templates()]
            return torch.stack(logs).logsumexp(dim=0) - math.log(len(logs))

    def _templates(self) -> list[tuple[Features, Float[Tensor, "n k"]]]:
        if not self.has_templates:
            raise ConfigError(
                "Expected a template, but there is none yet. Train the defense, load a checkpoint "
                "of it, or call `set_template`."
            )
        with torch.no_grad():
            features = self.last(self.inputs).relu()
        return list(zip(features, F.one_hot(self.labels, self.num_classes).float(), strict=True))

    def inputs_of(self, network: nn.Module, x: Images) -> Features:
        """Return what the network's last layer sees of images.

        Raises:
            ConfigError: If the network's outputs are not those of that layer.
        """
        seen: list[Tensor] = []
        made: list[Tensor] = []

        def keep(layer: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
            seen.append(inputs[0])
            made.append(outputs)

        handle = self.last.register_forward_hook(keep)
        try:
            outputs = network(x)
        finally:
            handle.remove()
        if len(made) != 1 or made[0] is not outputs:
            raise ConfigError(
                "Expected a network that ends in its last linear layer, but "
                f"{type(network).__name__} does not. Choose another `model.init_args.network`."
            )
        return seen[0].float()


@final
class AdaptiveView(nn.Module):
    """The adaptive view predicts as the defense does, with a gradient for an informed attacker.

    The graph is cut off after 15 neighbours. So the interpolated scores are exactly constant where
    an image, and the points around it, only have neighbours of its class. Therefore ``implicit``
    mixes a hundredth of other scores into the deployed ones: those on a graph that is not cut off,
    of each query alone with each template. It takes logarithms, which do not saturate. Where WNLL
    has a gradient, this has its exact one, through the other queries of a batch too. Elsewhere it
    has that of the graph without cut-off.

    ``linear`` are the scores of the linear head that the network was trained with. ``both`` is the
    mean of those two and of the scores without a cut-off. There each of the three gives the
    features of an image a gradient of the same length, the linear head's. The exact gradient is the
    best guide near the border between classes and the worst far from it. Where the deployed
    prediction is not on top, it is put there, by a constant.

    Args:
        network: Images to features, with a gradient.
        interpolation: What is deployed upon them.
        linear: The linear head.
        adaptive: Which of them.
    """

    def __init__(
        self,
        network: nn.Module,
        interpolation: Interpolation,
        linear: nn.Module,
        adaptive: Adaptive,
    ) -> None:
        super().__init__()
        self.network, self.interpolation, self.linear = network, interpolation, linear
        self.adaptive = adaptive

    def forward(self, x: Images) -> Scores:
        """Return scores of a spread of 10 at most."""
        features = self.network(x)
        if self.adaptive == "linear":
            deployed, scores = self.interpolation(features), shrunk(self.linear(features))
        elif self.adaptive == "implicit":
            deployed, scores = self._implicit(features)
        else:
            to_linear, to_implicit, to_uncut = _Balanced.apply(features)
            deployed, implicit = self._implicit(to_implicit)
            uncut = shrunk(self.interpolation.log_kernel(to_uncut))
            scores = (shrunk(self.linear(to_linear)) + implicit + uncut) / 3
        predicted = deployed.argmax(dim=1, keepdim=True)
        top, best = scores.detach().max(dim=1, keepdim=True)
        lift = top + _LIFT - scores.detach().gather(1, predicted)
        return scores.scatter_add(1, predicted, torch.where(best == predicted, 0.0, lift))

    def _implicit(self, features: Features) -> tuple[Scores, Scores]:
        """Return the deployed scores, and the logarithms that `implicit` has instead."""
        deployed = self.interpolation(features)
        logs = torch.where(deployed > _SMALLEST_SCORE, deployed, 1).log()
        logs = logs.masked_fill(deployed <= _SMALLEST_SCORE, -torch.inf)
        uncut = self.interpolation.log_kernel(features) + math.log(_UNCUT)
        return deployed, shrunk(torch.logaddexp(logs, uncut))


class _Balanced(torch.autograd.Function):
    """This has three copies forward; backward it adds their gradients, as long as the first."""

    @staticmethod
    def forward(ctx: Any, features: Features) -> tuple[Tensor, ...]:  # noqa: ANN401
        return features.clone(), features.clone(), features.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:  # noqa: ANN401
        length, *others = (grad.norm(dim=1, keepdim=True) for grad in grads)
        # A gradient of zero stays zero, where dividing by its length would give NaN.
        scaled = (
            grad * torch.where(other > 0, length / other, 0.0)
            for grad, other in zip(grads[1:], others, strict=True)
        )
        return grads[0] + sum(scaled)


def last_linear(network: nn.Module) -> nn.Linear:
    """Return the last linear layer of a network.

    Raises:
        ConfigError: If it has none.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise ConfigError(
            "Expected a network that ends in a linear layer, but "
            f"{type(network).__name__} has none. Choose another `model.init_args.network`."
        )
    return layers[-1]
