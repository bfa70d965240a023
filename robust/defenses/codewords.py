"""Codewords are random targets: Saito and Roy 2018, https://arxiv.org/abs/1812.00181, section 3."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from robust.attacks.views import BPDA, shrunk
from robust.checkpoints import DESCRIPTION
from robust.defenses.base import Defense
from robust.errors import ConfigError
from robust.types import Images, Labels, Scalar, Scores

Outputs = Float[Tensor, "n d"]
Codebook = Float[Tensor, "k d"]
NetworkCallable = Callable[[int], nn.Module]
"""It builds a network of that many outputs; in YAML its class path, with its other arguments."""


@final
class Codewords(Defense):
    """Each class is a random codeword; the nearest to the tanh outputs is the prediction.

    The codewords are sampled once from U(-1, 1)^d and kept in the checkpoint (section 3.2).
    Training minimizes the mean squared error between the tanh outputs and the label's codeword.

    Examples:
        >>> defense = robust.Codewords(robust.MLP, length=64)
        >>> defense(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])

    Args:
        network: Builds the network of ``length`` outputs, which a tanh follows.
        length: d, at least 1; 128 in the paper. It may be smaller than the number of classes.
        codebook_seed: The secret key from which the codewords are sampled; independent of the seed
            of the training and of the device.
        num_classes: Codewords in the book, at least 2.
        published: What `published_view` is. ``codeword``: the squared error to the codeword of the
            label or target. ``as_released``: what the authors' code did, see `AsReleasedView`.
        transform: Input transform; the identity if None.
        optimizer: Builds the optimizer.
        scheduler: Builds a learning-rate scheduler.

    Raises:
        ConfigError: If a number is out of range, two codewords are equal, or ``as_released`` is to
            attack fewer outputs than there are classes.
    """

    def __init__(
        self,
        network: NetworkCallable,
        length: int = 128,
        codebook_seed: int = 0,
        num_classes: int = 10,
        published: Literal["codeword", "as_released"] = "codeword",
        transform: nn.Module | None = None,
        optimizer: OptimizerCallable = lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        codebook = sample_codebook(num_classes, length, codebook_seed)
        if published == "as_released" and length < num_classes:
            raise ConfigError(
                "Expected `length` to be at least the number of classes for the as_released view, "
                f"whose outputs stand for classes, but got {length} for {num_classes}. Set "
                "`published` to codeword."
            )
        super().__init__(network(length), transform, optimizer, scheduler)
        self.length, self.codebook_seed, self.num_classes = length, codebook_seed, num_classes
        self.published = published
        self.codebook: Tensor
        self.register_buffer("codebook", codebook)

    def outputs(self, x: Images) -> Outputs:
        """Return the tanh outputs, in [-1, 1], which are compared to the codewords.

        Raises:
            ConfigError: If they are not as many as a codeword is long.
        """
        outputs = super().outputs(x)
        if outputs.shape[1] != self.length:
            raise ConfigError(
                f"Expected a network of `length` = {self.length} outputs, but "
                f"{type(self.network).__name__} has {outputs.shape[1]}. Choose a network whose "
                "first argument is the number of its outputs."
            )
        return outputs.tanh()

    def forward(self, x: Images) -> Scores:
        """Return minus the squared Euclidean distances of the tanh outputs to the codewords."""
        return codeword_scores(self.outputs(x), self.codebook)

    def training_loss(self, x: Images, y: Labels) -> Scalar:
        """Return the squared error to the label's codeword, mean over batch and outputs."""
        return F.mse_loss(self.outputs(x), self.codebook[y])

    def adaptive_view(self) -> nn.Module:
        """Return the same scores, with the gradient of the distances before the tanh."""
        return AdaptiveView(self.outputs_view(), self.codebook)

    def published_view(self) -> nn.Module:
        """Return what the authors' attacker saw, or should have seen; without the transform."""
        kind = SquaredErrorView if self.published == "codeword" else AsReleasedView
        return kind(self.network, self.codebook)

    def line_of_outputs(self) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
        """Return the outputs before the tanh that are as near to codeword 0 as to 1, and the way.

        The attack unit test puts them in the place of what the last layer returns.
        """
        zero, one = self.codebook[0], self.codebook[1]
        return torch.atanh((zero + one) / 2), (one - zero) / 2

    def check_fit(self, shape: tuple[int, int, int], num_classes: int, name: str) -> None:
        """Raise if images of ``shape`` do not pass, or outputs or classes are of another number.

        Raises:
            ConfigError: If they do not, with both numbers and which setting to change.
        """
        if num_classes != self.num_classes:
            raise ConfigError(
                f"Expected one codeword for each of the {num_classes} classes of {name}, but got "
                f"{self.num_classes}. Set `model.init_args.num_classes`."
            )
        super().check_fit(shape, num_classes, name)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raise if a checkpoint is of another codebook, whose words its network has learned.

        Raises:
            ConfigError: If it is, with the seeds of both, as far as they are known.
        """
        stored = checkpoint["state_dict"].get("codebook")
        if stored is None or torch.equal(stored.cpu(), self.codebook.cpu()):
            return
        arguments = checkpoint.get(DESCRIPTION, {}).get("model", {}).get("init_args", {})
        raise ConfigError(
            f"Expected a checkpoint of codebook_seed {self.codebook_seed}, but its codewords are "
            f"others (codebook_seed {arguments.get('codebook_seed', 'unknown')}). Give the "
            "`model.init_args.codebook_seed` that it was trained with."
        )


class CodewordView(nn.Module, ABC):
    """A codeword view has tanh outputs, with the `codebook` that decodes them.

    It is abstract: a subclass says in ``forward`` what the attacker takes for class scores.

    Args:
        network: Images to outputs before the tanh, (N, d).
        codebook: Codewords, (K, d), one a class.
    """

    def __init__(self, network: nn.Module, codebook: Tensor) -> None:
        super().__init__()
        self.network = network
        self.codebook: Tensor
        self.register_buffer("codebook", codebook)

    @abstractmethod
    def forward(self, x: Images) -> Scores:
        """Return what the attacker takes for class scores."""

    def outputs(self, x: Images) -> Outputs:
        """Return the tanh outputs, in [-1, 1]."""
        return torch.tanh(self.network(x))


@final
class AdaptiveView(CodewordView):
    """The adaptive view has the deployed scores, on which cross-entropy has a gradient.

    Squared distances differ by dozens where the network is confident. The softmax of the scores is
    then exactly one in float32. So they are shrunk as `Rescale` says. The gradient is let straight
    through the tanh, which is flat in float32 beyond 9.
    """

    def __init__(self, network: nn.Module, codebook: Tensor) -> None:
        super().__init__(network, codebook)
        self.tanh = BPDA(nn.Tanh())

    def outputs(self, x: Images) -> Outputs:
        """Return the tanh outputs, with the gradient of what comes before the tanh."""
        return self.tanh(self.network(x))  # type: ignore[no-any-return]

    def forward(self, x: Images) -> Scores:
        """Return minus the squared distances to the codewords, shrunk to a spread of 10."""
        return shrunk(codeword_scores(self.outputs(x), self.codebook))


@final
class SquaredErrorView(CodewordView):
    """This view has the deployed scores; its attacker climbs the paper's squared error."""

    def forward(self, x: Images) -> Scores:
        """Return minus the squared distances to the codewords."""
        return codeword_scores(self.outputs(x), self.codebook)

    def objective(self, outputs: Scores, y: Labels) -> Float[Tensor, " n"]:
        """Return the mean squared error of the tanh outputs to the codeword of ``y``."""
        check_classes(y, self.codebook)
        return -outputs.gather(1, y.view(-1, 1)).squeeze(1) / self.codebook.shape[1]


@final
class AsReleasedView(CodewordView):
    """This view is what cleverhans 2.1.0 took the defense for in the authors' code.

    https://github.com/seansaito/code-book-defenses. It takes the d tanh outputs for class scores,
    so only gradient attacks with a target aim at the decision rule. Untargeted ones climb the error
    to a one-hot vector of length d, which means nothing to the network. DeepFool and Carlini
    and Wagner's attack look for another largest output, and the class mostly stays as it was.

    The one-hot vector is that of the largest output of the present image. The authors' is that of
    the clean image, which a view does not know.
    """

    def forward(self, x: Images) -> Outputs:
        """Return the tanh outputs, of which the argmax is no class."""
        return self.outputs(x)

    def objective(self, outputs: Outputs, y: Labels) -> Float[Tensor, " n"]:
        """Return the mean squared error to the one-hot vector at the largest output."""
        one_hot = F.one_hot(outputs.argmax(dim=1), outputs.shape[1])
        return (outputs - one_hot).square().mean(dim=1)

    def targeted_objective(self, outputs: Outputs, target: Labels) -> Float[Tensor, " n"]:
        """Return the mean squared error to the target's codeword."""
        check_classes(target, self.codebook)
        return (outputs - self.codebook[target]).square().mean(dim=1)


def sample_codebook(num_classes: int, length: int, seed: int) -> Codebook:
    """Return codewords from U(-1, 1)^length, the same on every device and in every process.

    Raises:
        ConfigError: If a number is out of range, or two codewords are equal.
    """
    for name, value, least in (("num_classes", num_classes, 2), ("length", length, 1)):
        if value < least:
            raise ConfigError(f"Expected `{name}` to be at least {least}, but got {value}.")
    if not 0 <= seed < 2**63:
        raise ConfigError(f"Expected `codebook_seed` to be in [0, 2**63), but got {seed}.")
    generator = torch.Generator().manual_seed(seed)
    codebook = 2 * torch.rand(num_classes, length, generator=generator) - 1
    if len(torch.unique(codebook, dim=0)) < num_classes:
        raise ConfigError(
            f"Expected {num_classes} codewords that differ, but two are equal. Choose another "
            "`codebook_seed` or a larger `length`."
        )
    return codebook


def check_classes(classes: Labels, codebook: Codebook) -> None:
    """Raise if a class has no codeword.

    Raises:
        ConfigError: If one has none, with the classes that have one.
    """
    known = len(codebook)
    if len(classes) and not 0 <= int(classes.min()) <= int(classes.max()) < known:
        raise ConfigError(
            f"Expected classes from 0 to {known - 1}, which have codewords, but got "
            f"{int(classes.min())} to {int(classes.max())}. Set `model.init_args.num_classes`."
        )


def codeword_scores(outputs: Outputs, codebook: Codebook) -> Scores:
    """Return minus the squared Euclidean distances, (N, K), by one matrix product."""
    squares = outputs.square().sum(dim=1, keepdim=True) + codebook.square().sum(dim=1)
    return 2 * outputs @ codebook.T - squares
