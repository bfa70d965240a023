"""A network is tried on two random images before any work is done, in eval and in train mode."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, NoReturn

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from robust.errors import ConfigError, Stopped, in_short
from robust.networks.foreign import name_of
from robust.types import Images, Scores

Mode = Literal["eval", "train"]

_WATCHED = ("val/loss", "val/clean_acc", "train/loss")
"""Every training logs these, and a scheduler may watch them."""
_CHANGED = 1e-3
"""This share of the largest score is never reached by rounding in a batch of another size."""


class Probe(NamedTuple):
    """A probe has a network and images to try it on, and says where it does not fit."""

    network: nn.Module
    images: Images
    """At least two images, behind the input transform."""
    source: str
    """The images in words, such as ``the 1x28x28 images of mnist``."""

    @property
    def name(self) -> str:
        """The class of the network."""
        return name_of(self.network)

    def check_eval(self) -> None:
        """Raise unless the network gives finite scores of each image, with a gradient.

        Raises:
            ConfigError: If it does not, with what it returned or did, and what to do.
        """
        self.network.eval()
        with torch.no_grad():
            scores = self._scores("eval", self.images)
            again = self._scores("eval", self.images)
            alone = self._scores("eval", self.images[:1])
        # A random network is found by the evaluation (`robust.evaluation.masking_signs`).
        if not _differ(scores, again) and _differ(scores[:1], alone):
            self._refuse(
                f"Expected scores of an image that do not depend on its batch, but {self.name} "
                "gives others alone than among two. Use running statistics at test."
            )
        x = self.images.clone().requires_grad_()
        self._backward("eval", self._called("eval", x), [x])

    def check_training(self, batch_size: int) -> None:
        """Raise unless the network also works in train mode, with batches of ``batch_size``.

        Raises:
            ConfigError: If it does not, with what it returned or did, and what to do.
        """
        self.network.train()
        outputs = self._scores("train", self.images)
        weights = [weight for weight in self.network.parameters() if weight.requires_grad]
        if weights:
            self._backward("train", outputs, weights)
        if batch_size == 1:
            try:
                self.network(self.images[:1].clone())
            except Exception as error:
                self._refuse(
                    f"Expected `data.init_args.batch_size` to be at least 2 for {self.name}, but "
                    f"got 1, which it refuses in train mode ({in_short(error)})."
                )

    def _scores(self, mode: Mode, images: Images) -> Scores:
        given = images.clone()
        returned = self._called(mode, given)
        if not isinstance(returned, Tensor):
            self._refuse(
                f"Expected {self.name} to return one tensor of scores, but in {mode} mode it "
                f"returned {_described(returned)}. Return the scores alone."
            )
        if returned.ndim != 2 or len(returned) != len(images):
            self._refuse(
                f"Expected {self.name} to return scores of shape (N, K), but in {mode} mode it "
                f"returned {_described(returned)} for {len(images)} images. Return a score for "
                "each class."
            )
        if not returned.is_floating_point():
            self._refuse(
                f"Expected {self.name} to return floating-point scores, but in {mode} mode it "
                f"returned {_described(returned)}. Return the scores, not the classes."
            )
        if returned.layout is not torch.strided or returned.device != images.device:
            self._refuse(
                f"Expected {self.name} to return a dense tensor on {images.device}, but in {mode} "
                f"mode it returned {returned.layout} on {returned.device}. Return plain scores."
            )
        if not torch.equal(given, images):
            self._refuse(
                f"Expected {self.name} to leave its input as it is, but in {mode} mode it changes "
                "it in place. Let it work on a copy, such as `x = x.clone()`."
            )
        if not returned.isfinite().all() and self._is_finite():
            self._refuse(
                f"Expected {self.name} to return finite scores, but in {mode} mode it returned NaN "
                "or infinity for random images in [0, 1]. Fix what it computes."
            )
        return returned

    def _called(self, mode: Mode, images: Images) -> object:
        try:
            return self.network(images)
        except Stopped:
            raise
        # Whatever a network of somebody else raises, it is the network that does not fit.
        except (Exception, SystemExit) as error:
            where = "" if mode == "eval" else " in train mode"
            self._refuse(
                f"Expected a network for {self.source}, but {self.name} does not take them{where} "
                f"({in_short(error)}). Choose another `model.init_args.network` or `data`."
            )

    def _backward(self, mode: Mode, outputs: object, inputs: Sequence[Tensor]) -> None:
        of = "its input" if mode == "eval" else "its weights"
        assert isinstance(outputs, Tensor), "seen by `_scores`"
        try:
            gradients = torch.autograd.grad(outputs.sum(), inputs, allow_unused=True)
        except Exception as error:
            self._refuse(
                f"Expected {self.name} to have a gradient of {of} in {mode} mode, but it fails "
                f"({in_short(error)}). Put what has no gradient into `transform`."
            )
        if all(gradient is None for gradient in gradients):
            self._refuse(
                f"Expected the scores of {self.name} to depend on {of} in {mode} mode, but there "
                "is no gradient. Put what has no gradient into `transform`."
            )

    def _is_finite(self) -> bool:
        """Say whether the weights are; a diverged training gets another message."""
        return all(bool(value.isfinite().all()) for value in self.network.state_dict().values())

    def _refuse(self, message: str) -> NoReturn:
        raise ConfigError(message) from None


def try_optimizer(optimize: Callable[[list[nn.Parameter]], Any]) -> None:
    """Raise unless what ``optimize`` builds of weights takes a step, and its scheduler another.

    Args:
        optimize: Parameters to an optimizer, or a dict of it and its scheduler, as Lightning's
            ``configure_optimizers`` returns them.

    Raises:
        ConfigError: If a number is not finite, or a scheduler watches what is not there.
        Exception: What they raise.
    """
    weight = nn.Parameter(torch.ones(2, 2))
    built = optimize([weight])
    both = built if isinstance(built, dict) else {"optimizer": built}
    optimizer, scheduler = both["optimizer"], both.get("lr_scheduler")
    monitor = scheduler["monitor"] if isinstance(scheduler, dict) else None
    scheduler = scheduler["scheduler"] if isinstance(scheduler, dict) else scheduler
    for name, value in optimizer.param_groups[0].items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(
                f"Expected `{name}` of {type(optimizer).__name__} to be finite, but got {value}. "
                "Fix `model.init_args.optimizer`."
            )

    def closure() -> float:
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    with torch.enable_grad():
        optimizer.step(closure)
    if isinstance(scheduler, ReduceLROnPlateau):
        if monitor not in _WATCHED and not str(monitor).startswith("val/worst_robust_acc/"):
            raise ConfigError(
                f"Expected a scheduler that watches one of {', '.join(_WATCHED)}, but got "
                f"{monitor}. Use lightning.pytorch.cli.ReduceLROnPlateau, with its `monitor`."
            )
    elif scheduler is not None:
        scheduler.step()


def _differ(one: Scores, other: Scores) -> bool:
    largest = one.abs().max()
    return bool((one - other).abs().max() > _CHANGED * largest)


def _described(value: object) -> str:
    if isinstance(value, Tensor):
        kind = str(value.dtype).removeprefix("torch.")
        return f"{kind} of shape {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} of {len(value)} values"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"an object of {type(value).__name__}"
