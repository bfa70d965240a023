"""Defenses that train on the images of an attack share this."""

import hashlib
from abc import ABC
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from robust.attacks import craft, sample_seeds
from robust.attacks.views import Rescale
from robust.checkpoints import read_checkpoint
from robust.defenses.base import Defense
from robust.errors import ConfigError
from robust.types import AttackCallable, Batch, Images, Labels, Scores


class CraftingDefense(Defense, ABC):
    """Such a defense attacks images while it trains. Its outputs are logits.

    Attacks run through `craft`, without autocast and outside of the training's random state. They
    run in eval mode, also where a paper's code left batch normalization and dropout in train mode.
    They use all of their budget for every image, also after a success.

    The random numbers of an image in our attacks follow from the seed of the run, the epoch and
    the image's index. So in exact arithmetic an image depends neither on the batch nor on the
    number of processes. In float32, on CPU and CUDA alike, sums are rounded by the shape of a
    batch. Images then agree to 1e-5 in pixel units, with two exceptions. A step along the sign of
    a gradient takes the other direction where that gradient is smaller than its rounding.
    `VirtualAdversarial` subtracts neighbouring outputs, and says what that leaves.

    The parameters are frozen meanwhile, so that even an attack that calls ``backward`` starts no
    gradient reduction of a distributed run. The class is abstract: a subclass says what it
    minimizes.
    """

    _index: Int64[Tensor, " n"] | None = None

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Remember which images the step is of."""
        self._index = batch.index

    def on_train_batch_end(self, outputs: object, batch: Batch, batch_idx: int) -> None:
        """Forget them."""
        self._index = None

    def index_of(self, x: Images) -> Int64[Tensor, " n"]:
        """Return the index of each image; outside of a training step they are the first."""
        return torch.arange(len(x), device=x.device) if self._index is None else self._index

    def crafted(
        self,
        attack: AttackCallable,
        view: nn.Module,
        x: Images,
        y: Labels,
        epoch: int,
        index: Int64[Tensor, " n"] | None = None,
    ) -> Images:
        """Return what ``attack`` makes of ``x`` on ``view``, detached.

        Args:
            attack: Builds the attack on ``view``.
            view: The module to attack, without a wrapper of a distributed run.
            x: Clean images.
            y: Labels, or what the attacker takes for them.
            epoch: Images of the same epoch get the same random numbers.
            index: Of the images in their data set; those of the step if None.
        """
        index = self.index_of(x) if index is None else index
        # The seed of the run, the same in all its processes.
        seeds = sample_seeds(torch.initial_seed() % 2**63, sample_seeds(epoch, index))
        # Attacks of torchattacks use the global state, which can only follow the batch.
        seed = int(seeds[0]) if len(seeds) else 0
        with frozen(view):
            made = craft(attack, view, x, y, seed=seed, sample_seeds=seeds, transferred=True)
        return made.x_adv

    def adaptive_view(self) -> nn.Module:
        """Return the logits, kept from saturating, with the gradient let through a transform."""
        return Rescale(self.outputs_view())


@final
class AdversarialCache:
    """The cache keeps images that are computed from others, so that each is computed once.

    One is known by its index in the data set and by every bit of the image that it was computed
    from. Where augmentation changes that, another is computed. They are kept on the CPU. What no
    longer fits into ``most_bytes`` is computed again each time.

    Args:
        make: Images and their index in the data set to images of the same shape.
        most_bytes: Of the images kept by one process; 2 GiB are CIFAR-10 three times over.
    """

    def __init__(
        self, make: Callable[[Images, Int64[Tensor, " n"]], Images], most_bytes: int = 2**31
    ) -> None:
        self._make, self._bytes_left = make, most_bytes
        self._made: dict[tuple[int, bytes], Tensor] = {}

    def __call__(self, x: Images, index: Int64[Tensor, " n"]) -> Images:
        """Return what ``make`` made or makes of ``x``."""
        keys = [
            (i, hashlib.blake2b(image.tobytes(), digest_size=16).digest())
            for i, image in zip(index.tolist(), x.detach().cpu().numpy(), strict=True)
        ]
        known = [self._made.get(key) for key in keys]
        new = [i for i, image in enumerate(known) if image is None]
        if new:
            chosen = torch.tensor(new, device=x.device)
            for i, image in zip(new, self._make(x[chosen], index[chosen]).cpu(), strict=True):
                known[i] = image
                self._keep(keys[i], image)
        return torch.stack([image for image in known if image is not None]).to(x.device)

    def _keep(self, key: tuple[int, bytes], image: Tensor) -> None:
        if image.nbytes <= self._bytes_left:
            self._bytes_left -= image.nbytes
            # A copy: a view would keep all of its batch.
            self._made[key] = image.clone()


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Let no parameter of ``module`` require a gradient within."""
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)


def load_network(network: nn.Module, path: str, role: str) -> None:
    """Give ``network`` the weights of the network in a defense's checkpoint.

    Args:
        network: Of the same architecture; changed in place.
        path: Of the checkpoint.
        role: What the network is for, for the message.

    Raises:
        ConfigError: If it is no checkpoint of ours, or its weights do not fit.
    """
    state = read_checkpoint(Path(path))["state_dict"]
    prefix = "network."
    weights = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ConfigError(
            f"Expected the {role} {path} to be a {type(network).__name__}, but its weights do not "
            f"fit ({str(error).splitlines()[-1].strip()}). Train one with the same `network`."
        ) from None


def kl_divergence(p: Scores, q: Scores) -> Float[Tensor, " n"]:
    """Return the Kullback-Leibler divergence of softmax(p) from softmax(q), for each sample.

    It is computed in float64. In float32 only rounding would be left of its gradient near its
    minimum, where attacks start to climb it, and for a confident network.
    """
    log_p, log_q = p.double().log_softmax(dim=1), q.double().log_softmax(dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1)
