"""Every defense shares steps, metrics and optimizer, and must say how it is to be attacked."""

import copy
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import nn
from torch.nn.parameter import is_lazy

from robust.attacks import isolated
from robust.attacks.views import straight_through
from robust.data import ImageDataModule
from robust.data.of_trainer import image_module
from robust.defenses.probe import Probe, try_optimizer
from robust.errors import ConfigError, in_short
from robust.networks.foreign import Foreign, name_of
from robust.types import Batch, Images, Labels, Scalar, Scores, View


class Defense(LightningModule, ABC):
    """A defense classifies images in [0, 1], and says how it is trained and attacked.

    The class is abstract. A subclass is final, and says what it minimizes (`training_loss`) and
    through which module an attacker who knows it would attack (`adaptive_view`).

    Examples:
        >>> class Plain(robust.Defense):
        ...     def training_loss(self, x, y):
        ...         return torch.nn.functional.cross_entropy(self(x), y)
        ...
        ...     def adaptive_view(self):
        ...         return self.outputs_view()

        >>> Plain(robust.MLP())(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])

    Args:
        network: Images to outputs of shape (N, K). Normalization, if any, is its first layer.
        transform: Input transform in training and at test; the identity if None.
        optimizer: Builds the optimizer of the trainable parameters; Adam with 1e-3 by default.
        scheduler: Builds a learning-rate scheduler, stepped once an epoch; none if None.
    """

    redrawn_buffers: ClassVar[frozenset[str]] = frozenset()
    """`on_restored` makes these entries of the state again where the arguments ask for others."""

    def __init__(
        self,
        network: nn.Module,
        transform: nn.Module | None = None,
        optimizer: OptimizerCallable = lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__()
        # Convolutions run faster so, in training and under attack.
        # A network of somebody else may count on its own order, such as by `view`.
        fits = all(not is_lazy(p) and p.ndim < 5 for p in network.parameters())
        fits = fits and not isinstance(network, Foreign)
        self.network = network.to(memory_format=torch.channels_last) if fits else network
        self.transform = transform if transform is not None else nn.Identity()
        self.optimizer = optimizer
        self.scheduler = scheduler

    @property
    def is_deployable(self) -> bool:
        """Whether the network, as far as it is trained, is the one that will be deployed."""
        return True

    @abstractmethod
    def training_loss(self, x: Images, y: Labels) -> Scalar:
        """Return what a training step minimizes, averaged over the batch."""

    @abstractmethod
    def adaptive_view(self) -> nn.Module:
        """Return what to attack properly: scores like the defense's, with gradients that work."""

    def published_view(self) -> nn.Module:
        """Return what the paper's attacker saw: no transform unless a subclass says otherwise.

        Papers on input transforms attacked the network behind them, and judged with them.
        """
        if isinstance(self.transform, nn.Identity):
            return self
        bare = copy.copy(self)
        # A copy of the registry, so that the defense keeps its transform; the layers are shared.
        bare._modules = {**self._modules, "transform": nn.Identity()}
        return bare

    def forward(self, x: Images) -> Scores:
        """Return the scores of the deployed model; the argmax is its prediction."""
        return self.outputs(x)

    def outputs(self, x: Images) -> Scores:
        """Return the outputs of the network behind the input transform."""
        return self.network(self.transform(x))  # type: ignore[no-any-return]

    def outputs_view(self) -> nn.Module:
        """Return the network's outputs, with the gradient let straight through the transform.

        If the transform is random, the gradient is averaged over it (see `straight_through`).
        """
        if isinstance(self.transform, nn.Identity):
            return self.network
        return straight_through(self.transform, self.network)

    def view(self, name: View) -> nn.Module:
        """Return the view of that name."""
        if name == "adaptive":
            return self.adaptive_view()
        return self if name == "deployed" else self.published_view()

    def on_restored(self, data: ImageDataModule) -> None:
        """Make what the arguments ask for and the checkpoint lacks, from the training data."""

    def setup(self, stage: str) -> None:
        """Check that network and data fit before any work is done."""
        datamodule = image_module(self.trainer)
        if datamodule is not None:
            self.check_fit(datamodule.shape, datamodule.num_classes, datamodule.name)
            if stage == "fit":
                self.check_training(datamodule.shape, datamodule.name, datamodule.batch_size)

    def check_fit(self, shape: tuple[int, int, int], num_classes: int, name: str) -> None:
        """Raise if images of ``shape`` (C, H, W) do not pass, or scores are not one per class.

        Raises:
            ConfigError: If they do not, with both shapes and which setting to change.
        """
        network = name_of(self.network)
        with isolated(self, self._device_of_weights, seed=0):
            probe = self._probe(shape, name)
            probe.check_eval()
            try:
                with torch.no_grad():
                    scores = self(_some_images(shape, self._device_of_weights)[:1])
            except RuntimeError as error:
                raise ConfigError(
                    f"Expected a network for {probe.source}, but {network} does not take them "
                    f"({in_short(error)}). Choose another `model.init_args.network` or `data`."
                ) from None
        if scores.shape != (1, num_classes):
            raise ConfigError(
                f"Expected one score for each of the {num_classes} classes of {name}, but "
                f"{network} gives {scores.shape[-1]}. Set "
                "`model.init_args.network.init_args.num_classes`."
            )

    def check_training(self, shape: tuple[int, int, int], name: str, batch_size: int) -> None:
        """Raise if network, optimizer or scheduler would fail in the first step of a training.

        Buffers, modes, gradients and random state are left as they were.

        Args:
            shape: (C, H, W) of an image.
            name: Of the data, for the message.
            batch_size: Of a training step.

        Raises:
            ConfigError: If one would, with what fails and which setting to change.
        """
        buffers = {key: value.clone() for key, value in self.named_buffers()}
        with isolated(self, self._device_of_weights, seed=0):
            try:
                self._probe(shape, name).check_training(batch_size)
            finally:
                for key, value in self.named_buffers():
                    if key in buffers:
                        value.copy_(buffers[key])
        self._check_optimizer()

    def _probe(self, shape: tuple[int, int, int], name: str) -> Probe:
        images = _some_images(shape, self._device_of_weights)
        source = f"the {'x'.join(map(str, shape))} images of {name}"
        try:
            with torch.no_grad():
                seen = self.transform(images)
        except Exception as error:
            raise ConfigError(
                f"Expected an input transform for {source}, but {type(self.transform).__name__} "
                f"does not take them ({in_short(error)}). Choose another `model.init_args."
                "transform` or `data`."
            ) from None
        return Probe(self.network, seen, source)

    @property
    def _device_of_weights(self) -> torch.device:
        # In `setup`, Lightning already names the GPU as `self.device`; the weights come later.
        return next((p.device for p in self.parameters()), self.device)

    def training_step(self, batch: Batch, batch_idx: int) -> Scalar:
        """Minimize `training_loss`."""
        try:
            loss = self.training_loss(batch.x, batch.y)
        except ValueError as error:
            # torch's own words for batch normalization of one sample.
            if len(batch.y) > 1 or "more than 1 value per channel" not in str(error):
                raise
            raise ConfigError(
                f"Expected at least two images in a training batch for "
                f"{type(self.network).__name__}, but got 1. Raise `data.init_args.batch_size`, or "
                "give more images."
            ) from None
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch.y))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log accuracy and cross-entropy of the deployed scores."""
        self._log_clean("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Log accuracy and cross-entropy of the deployed scores over the tested images."""
        self._log_clean("test", batch)

    def _log_clean(self, stage: str, batch: Batch) -> None:
        scores = self(batch.x)
        accuracy = (scores.argmax(dim=1) == batch.y).float().mean()
        metrics = {
            f"{stage}/clean_acc": accuracy,
            f"{stage}/loss": F.cross_entropy(scores, batch.y),
        }
        self.log_dict(metrics, prog_bar=True, batch_size=len(batch.y), sync_dist=True)

    def configure_optimizers(self) -> Any:  # noqa: ANN401
        """Return the optimizer of the trainable parameters, with its scheduler if there is one.

        Raises:
            ConfigError: If one of them refuses its arguments.
        """
        trainable = [p for p in self.parameters() if p.requires_grad]
        try:
            return self._optimize(trainable)
        except ConfigError:
            raise
        # Of any class, with any arguments.
        except Exception as error:
            raise ConfigError(
                "Expected an optimizer and scheduler whose arguments are in range, but: "
                f"{in_short(error)}. Fix `model.init_args.optimizer` or `scheduler`."
            ) from None

    def _optimize(self, parameters: list[nn.Parameter]) -> Any:  # noqa: ANN401
        optimizer = self.optimizer(parameters)
        if self.scheduler is None:
            return optimizer
        scheduler = self.scheduler(optimizer)
        # Lightning's own scheduler that watches a metric says which.
        monitor = getattr(scheduler, "monitor", None)
        watched = {"scheduler": scheduler, "monitor": monitor}
        return {"optimizer": optimizer, "lr_scheduler": watched if monitor else scheduler}

    def _check_optimizer(self) -> None:
        """Raise unless optimizer and scheduler take a step, tried on two weights of their own."""
        self.configure_optimizers()
        try:
            try_optimizer(self._optimize)
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(
                "Expected an optimizer and scheduler that can take a step, but: "
                f"{in_short(error)}. Fix `model.init_args.optimizer` or `scheduler`."
            ) from None


def _some_images(shape: tuple[int, int, int], device: torch.device) -> Images:
    """Return two random images in [0, 1], always the same."""
    random = torch.Generator().manual_seed(0)
    return torch.rand(2, *shape, generator=random).to(device)


def check_temperature(temperature: float) -> float:
    """Return ``temperature`` if it is positive.

    Raises:
        ConfigError: If it is not.
    """
    if not temperature > 0:
        raise ConfigError(f"Expected `temperature` to be positive, but got {temperature}.")
    return temperature
