"""What the defenses share that train on the images of an attack."""

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
    """A defense that attacks images while it trains. Its outputs are logits.

    Attacks run through `craft`: in eval mode (also where a paper's code left batch normalization
    and dropout in train mode), without autocast, to the end of their budget for every image (where
    they would stop at the first that breaks it), and outside of the training's random state. What
    an attack of ours draws for an image follows from the seed of the run, the epoch and the image's
    place in its dataset. So in exact arithmetic an image depends neither on the batch nor on the
    number of processes. In float32, on CPU and CUDA alike, sums are rounded by the shape of a
    batch. Images then agree to 1e-5 in pixel units, with two exceptions. A step along the sign of
    a gradient takes the other direction where that gradient is smaller than its rounding.
    `VirtualAdversarial` subtracts neighbouring outputs, and says what that leaves. The
    parameters are frozen meanwhile, so that even an attack that calls ``backward`` wakes no
    gradient reduction of a distributed run.

    Abstract: a subclass says what it minimizes.
    """

    _index: Int64[Tensor, " n"] | None = None

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Remember which images the step is of."""
        self._index = batch.index

    def on_train_batch_end(self, outputs: object, batch: Batch, batch_idx: int) -> None:
        """Forget them."""
        self._index = None

    def index_of(self, x: Images) -> Int64[Tensor, " n"]:
        """Places of the images in their dataset; outside of a training step they are the first."""
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
        """What ``attack`` makes of ``x`` on ``view``, detached.

        Args:
            attack: Builds the attack on ``view``.
            view: The module to attack, without a wrapper of a distributed run.
            x: Clean images.
            y: Labels, or what the attacker takes for them.
            epoch: Images of the same epoch get the same random numbers.
            index: Places of the images in their dataset; those of the step if None.
        """
        index = self.index_of(x) if index is None else index
        # The seed of the run, the same in all its processes.
        seeds = sample_seeds(torch.initial_seed() % 2**63, sample_seeds(epoch, index))
        # Attacks of torchattacks draw from the global state, which can but follow the batch.
        seed = int(seeds[0]) if len(seeds) else 0
        with frozen(view):
            made = craft(attack, view, x, y, seed=seed, sample_seeds=seeds, transferred=True)
        return made.x_adv

    def adaptive_view(self) -> nn.Module:
        """The logits, with the gradient let through an input transform; kept from saturating."""
        return Rescale(self.outputs_view())


@final
class AdversarialCache:
    """Images made of other images, kept in memory so that each is made once.

    One is known by its place in the dataset and by every bit of the image that it was made of:
    where augmentation changes that, another is made. Kept on the CPU; what does not fit into
    ``most_bytes`` any more is made anew each time.

    Args:
        make: Images, of the shape of those given, and their places in the dataset to those made.
        most_bytes: Of the images kept by one process; 2 GiB are CIFAR-10 three times over.
    """

    def __init__(
        self, make: Callable[[Images, Int64[Tensor, " n"]], Images], most_bytes: int = 2**31
    ) -> None:
        self._make, self._bytes_left = make, most_bytes
        self._made: dict[tuple[int, bytes], Tensor] = {}

    def __call__(self, x: Images, index: Int64[Tensor, " n"]) -> Images:
        """What ``make`` made or makes of ``x``."""
        keys = [
            (place, hashlib.blake2b(image.tobytes(), digest_size=16).digest())
            for place, image in zip(index.tolist(), x.detach().cpu().numpy(), strict=True)
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
    """No parameter of ``module`` requires a gradient inside."""
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
    """Kullback-Leibler divergence of the softmax of ``p`` from that of ``q``, for each sample.

    In float64: near its minimum, where attacks start to climb it, and for a net that is sure, only
    rounding is left of its gradient in float32.
    """
    log_p, log_q = p.double().log_softmax(dim=1), q.double().log_softmax(dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1)
