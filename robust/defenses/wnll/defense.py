"""WNLL is the data-dependent activation of Wang et al. 2018, section 3.

https://arxiv.org/abs/1809.08516.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Literal, cast, final, get_args

import torch
import torch.nn.functional as F
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer

from robust.attacks.views import BPDA, Rescale, Several
from robust.data import ImageDataModule
from robust.data.of_trainer import image_module, required_image_module
from robust.defenses.base import Defense
from robust.defenses.crafting import frozen
from robust.defenses.standard import Standard
from robust.defenses.wnll.interpolation import (
    Adaptive,
    AdaptiveView,
    Features,
    Interpolation,
    Queries,
)
from robust.defenses.wnll.laplacian import WeightedNonlocalLaplacian
from robust.defenses.wnll.templates import Sampling, check_batches, check_template, templates_of
from robust.errors import ConfigError, check_at_least
from robust.types import Batch, Images, Labels, Scalar, Scores

NetworkCallable = Callable[[int], nn.Module]
"""It builds a network of that many outputs; in YAML its class path, with its other arguments."""

_BLOCK = 250
"""The number of images of a template in a forward pass."""
_SLOWER = 0.01
"""The learning rate of the WNLL stage, as a share of that of the linear stage."""


@final
class WNLL(Defense):
    """Classes are interpolated from labelled training images by the graph of their features.

    The last linear layer of the network and a ReLU are the paper's buffer block, of ``width``
    features. On these a linear head is trained, which is not deployed: `WNLL` replaces it at test.
    Training alternates until ``max_epochs`` (section 3.2). All of the network is trained for
    ``linear_epochs`` through the linear head. Then the buffer's linear layer alone is trained for
    ``wnll_epochs``, through the value of `WNLL` with the gradient of the linear head. The authors'
    code went on from the best test epoch of a stage; this goes on from its last.

    The template is sampled once from the images that the network is trained on: after the transform
    of a `robust.data.TrainingSet`, and without those for validation. It is in the checkpoint as the
    inputs of the buffer block. The arguments may ask for other templates than the checkpoint's, as
    with ``--model.templates=10`` at evaluation. Those are sampled when it is read. The training is
    the same with any, except its WNLL stage.

    Examples:
        >>> defense = robust.WNLL(robust.MLP, width=64, template_size=100)
        >>> defense.in_wnll_stage
        False

    Args:
        network: Builds the network of ``width`` outputs; it must end in a linear layer.
        width: Features in the graph, at least 1; 64 in the paper.
        num_classes: At least 2.
        template_size: Labelled images in the graph, at least ``num_classes`` and ``neighbors``; 500
            in the paper.
        templates: Number of templates, over which the scores are averaged.
        template_draw: ``balanced`` has as many images of each class, as far as that goes;
            ``random`` samples from all.
        template_seed: Fixes the templates, whatever the seed of the training.
        queries: ``batch`` interpolates over all images of a batch together, as the paper does. So
            an image's scores depend on the others: in an attack, on those that are still attacked
            with it. A test batch or block of one is refused. Where an attack leaves one image of
            many, that is interpolated alone, which is said once. ``single`` gives the scores of
            each image alone with the template.
        neighbors: Of the graph, see `WeightedNonlocalLaplacian`.
        scale_neighbor: Entry of the list of neighbours that scales a point's weights.
        exponent: 2, or 4 as in the authors' code.
        precision: What the system is solved in.
        linear_epochs: Length of a linear stage.
        wnll_epochs: Length of a WNLL stage.
        wnll_stage: False leaves out the WNLL stage, which did nothing in the authors' code.
        wnll_lr: Learning rate of the WNLL stage number i from 1 on is ``wnll_lr / i``, without
            weight decay; a hundredth of the linear stage's last if None. The stage does not
            converge: scores in [0, 1] that replace logits never satisfy cross-entropy. So the
            features grow for as long as it lasts, and the linear head no longer fits. The authors'
            0.05 ruins it.
        head: What is deployed: ``wnll``, or the ``linear`` head that it is compared with, a softmax
            network of the same weights. The training is the same.
        adaptive: What the adaptive view differentiates, see `AdaptiveView`. With ``both``, attacks
            go through ``implicit`` on what the mean left: some images are found only so. An image
            that is left by both costs twice as much.
        transform: Input transform; the identity if None.
        optimizer: Builds the optimizer.
        scheduler: Builds a learning-rate scheduler.

    Raises:
        ConfigError: If an argument is out of range, or the network does not end in a linear layer.
            Also if the template lacks a class, or if an evaluation has batches of one with
            ``queries: batch``.
    """

    redrawn_buffers: ClassVar[frozenset[str]] = frozenset(
        f"interpolation.{name}" for name in ("inputs", "labels", "recipe")
    )

    def __init__(
        self,
        network: NetworkCallable,
        width: int = 64,
        num_classes: int = 10,
        template_size: int = 500,
        templates: int = 1,
        template_draw: Sampling = "balanced",
        template_seed: int = 0,
        queries: Queries = "single",
        neighbors: int = 15,
        scale_neighbor: int = 8,
        exponent: Literal[2, 4] = 2,
        precision: Literal["float32", "float64"] = "float32",
        linear_epochs: int = 200,
        wnll_epochs: int = 10,
        wnll_stage: bool = True,
        wnll_lr: float | None = None,
        head: Literal["wnll", "linear"] = "wnll",
        adaptive: Adaptive = "both",
        transform: nn.Module | None = None,
        optimizer: OptimizerCallable = lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        for name, value, least in (
            ("width", width, 1),
            ("num_classes", num_classes, 2),
            ("templates", templates, 1),
            ("template_seed", template_seed, 0),
            ("linear_epochs", linear_epochs, 1),
            ("wnll_epochs", wnll_epochs, 1),
        ):
            check_at_least(name, value, least)
        if wnll_lr is not None and not wnll_lr > 0:
            raise ConfigError(f"Expected `wnll_lr` to be positive, but got {wnll_lr}.")
        if template_size < num_classes:
            raise ConfigError(
                "Expected `template_size` to be at least the number of classes, but got "
                f"{template_size} for {num_classes}. Each class needs a labelled image."
            )
        layer = WeightedNonlocalLaplacian(neighbors, scale_neighbor, exponent, precision)
        layer.check_template(template_size)
        super().__init__(network(width), transform, optimizer, scheduler)
        self.num_classes, self.queries = num_classes, queries
        self.head, self.adaptive = head, adaptive
        self.template_size, self.templates = template_size, templates
        self.template_draw, self.template_seed = template_draw, template_seed
        self.linear_epochs, self.wnll_epochs = linear_epochs, wnll_epochs
        self.wnll_stage, self.wnll_lr = wnll_stage, wnll_lr
        self.linear = nn.Linear(width, num_classes)
        self.interpolation = Interpolation(
            layer,
            self.network,
            templates,
            template_size,
            (template_seed, get_args(Sampling).index(template_draw)),
            num_classes,
            queries,
        )

    def forward(self, x: Images) -> Scores:
        """Return interpolated scores in [0, 1], which sum to one; with ``head: linear`` its logits.

        For a batch of one, ``queries: batch`` gives what ``single`` gives, since the graph is the
        same. Attacks have such batches when they drop images.
        """
        head = self.interpolation if self.head == "wnll" else self.linear
        return cast(Tensor, head(self.features(x)))

    def features(self, x: Images) -> Features:
        """Return the outputs of the buffer block, which are the points of the graph."""
        return self.outputs(x).relu()

    def logits(self, x: Images) -> Scores:
        """Return the scores of the linear head, which is not deployed."""
        return cast(Tensor, self.linear(self.features(x)))

    @property
    def in_wnll_stage(self) -> bool:
        """Whether this epoch trains the buffer block through WNLL."""
        cycle = self.linear_epochs + self.wnll_epochs
        return self.wnll_stage and self.current_epoch % cycle >= self.linear_epochs

    def training_loss(self, x: Images, y: Labels) -> Scalar:
        """Return the cross-entropy of the linear head, or of WNLL with that head's gradient."""
        if not self.in_wnll_stage:
            return F.cross_entropy(self.logits(x), y)
        with torch.no_grad():
            inputs = self.interpolation.inputs_of(self.network, self.transform(x))
        features = self.interpolation.last(inputs).relu()
        with frozen(self.linear):
            loss = F.cross_entropy(BPDA(self.interpolation, self.linear)(features), y)
        # Distributed training waits for a gradient of every parameter.
        return loss + 0 * sum(p.sum() for p in self.parameters() if p.requires_grad)

    def published_view(self) -> nn.Module:
        """Return the scores with the linear head's gradient (section 4), without the transform.

        In the published code, cross-entropy takes the scores in [0, 1] for logits.
        """
        wnll = BPDA(self.interpolation, self.linear)
        return nn.Sequential(self.network, nn.ReLU(), wnll if self.head == "wnll" else self.linear)

    def adaptive_view(self) -> nn.Module:
        """Return the view of ``adaptive``, with the gradient straight through a transform."""
        network = nn.Sequential(self.outputs_view(), nn.ReLU())
        if self.head == "linear":
            return Rescale(nn.Sequential(network, self.linear))
        parts = network, self.interpolation, self.linear
        view = AdaptiveView(*parts, self.adaptive)
        if self.adaptive != "both":
            return view
        return Several({"mean": view, "implicit": AdaptiveView(*parts, "implicit")})

    def check_fit(self, shape: tuple[int, int, int], num_classes: int, name: str) -> None:
        """Raise if images of ``shape`` do not pass, or the number of classes is another.

        Raises:
            ConfigError: If they do not, with both numbers and which setting to change.
        """
        if num_classes != self.num_classes:
            raise ConfigError(
                f"Expected labels of each of the {num_classes} classes of {name} in the template, "
                f"but got {self.num_classes}. Set `model.init_args.num_classes`."
            )
        # There may be no template yet.
        network = nn.Sequential(self.network, nn.ReLU(), self.linear)
        Standard(network, transform=self.transform).check_fit(shape, num_classes, name)

    def setup(self, stage: str) -> None:
        """Check that network, data and the sizes of batches fit before any work is done."""
        super().setup(stage)
        data = image_module(self.trainer)
        if self.queries == "batch" and data is not None:
            check_batches(data, self.trainer.callbacks, self.trainer.world_size)  # type: ignore[attr-defined]

    def on_restored(self, data: ImageDataModule) -> None:
        """Choose the templates that the arguments ask for, if the checkpoint has others."""
        if not self.interpolation.has_templates:
            self._choose_templates(data)

    def on_fit_start(self) -> None:
        """Choose the templates."""
        self._choose_templates()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Keep what a WNLL stage does not train as it is, running statistics too."""
        self.network.train(not self.in_wnll_stage)

    def on_validation_epoch_start(self) -> None:
        """Bring the templates' features up to date, also for the checkpoint that follows."""
        # In a fit; `trainer.training` is False while it validates.
        if self.trainer.state.fn == TrainerFn.FITTING or not self.interpolation.has_templates:
            self._choose_templates()

    def on_test_start(self) -> None:
        """Choose the templates that the arguments ask for, if the checkpoint has others."""
        if not self.interpolation.has_templates:
            self._choose_templates()

    def on_train_epoch_end(self) -> None:
        """Bring the templates' features up to date where there is no validation."""
        self._choose_templates()

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Leave alone what a WNLL stage does not train: momentum would move it without gradient."""
        if self.in_wnll_stage:
            for parameter in {*self.parameters()} - {*self.interpolation.last.parameters()}:
                parameter.grad = None

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Step with the learning rate of the stage."""
        optimizer: Any = kwargs.get("optimizer", args[2] if len(args) > 2 else None)
        groups = optimizer.param_groups if self.in_wnll_stage else []
        before = [dict(group) for group in groups]
        loop = self.current_epoch // (self.linear_epochs + self.wnll_epochs)
        for group in groups:
            lr = _SLOWER * group["lr"] if self.wnll_lr is None else self.wnll_lr / (loop + 1)
            group.update(lr=lr, weight_decay=0.0)
        super().optimizer_step(*args, **kwargs)
        for group, settings in zip(groups, before, strict=True):
            group.update(lr=settings["lr"], weight_decay=settings["weight_decay"])

    def _log_clean(self, stage: str, batch: Batch) -> None:
        super()._log_clean(stage, batch)
        right = self.logits(batch.x).argmax(dim=1) == batch.y
        n = len(batch.y)
        self.log(f"{stage}/linear_acc", right.float().mean(), batch_size=n, sync_dist=True)

    def _choose_templates(self, data: ImageDataModule | None = None) -> None:
        """Choose the templates of ``data``, or of the trainer's data if it is None."""
        templates = templates_of(
            required_image_module(self.trainer, "a template") if data is None else data,
            self.templates,
            self.template_size,
            self.num_classes,
            self.template_draw,
            self.template_seed,
        )
        for i, (x, y) in enumerate(templates):
            self.set_template(x, y, i)

    @torch.no_grad()
    def set_template(self, x: Images, y: Labels, number: int = 0) -> None:
        """Make labelled images a template.

        Args:
            x: ``template_size`` images in [0, 1], on any device.
            y: Their labels.
            number: Which template, 0 to ``templates`` - 1.

        Raises:
            ConfigError: If a class has no image, their number is another, or the network does not
                end in its last linear layer.
        """
        check_template(y, self.template_size, self.num_classes)
        interpolation, modes = self.interpolation, [(m, m.training) for m in self.modules()]
        self.eval()
        try:
            with torch.autocast(self.device.type, enabled=False):
                parts = [self.transform(part.to(self.device)) for part in torch.split(x, _BLOCK)]
                inputs = [interpolation.inputs_of(self.network, part) for part in parts]
        finally:
            for module, training in modes:
                module.training = training
        interpolation.inputs[number] = torch.cat(inputs)
        interpolation.labels[number] = y.to(self.device)
