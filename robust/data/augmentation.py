"""More training samples than the set has: copies of every image with noise upon them."""

from typing import Literal, final, get_args

from jaxtyping import Int64
from torch import Tensor

from robust.draws import Draws, sample_seeds
from robust.errors import ConfigError
from robust.types import Images

Noise = Literal["gaussian", "uniform"]


@final
class GaussianAugmentation:
    """Trains on each image and on ``copies`` of it with Gaussian noise, all shuffled together.

    An epoch so has 1 + ``copies`` times the steps. Zantedeschi et al. 2017, section 3.2
    (https://arxiv.org/abs/1707.06728), with 10 copies of 0.3 on MNIST and 0.05 on CIFAR-10. Their
    code draws the noise once and clips nothing, so networks are trained on values outside [0, 1];
    the toy example of the paper is clipped. Unlike theirs, validation images are clean.

    The noise of a copy follows from the seed of the data, the place of the image in its set and the
    number of the copy. It is made batch by batch, where the batch is: a GPU's logarithms and sines
    may differ from a CPU's in the last bit.

    Args:
        copies: Noisy copies of each image, at least 0.
        sigma: Standard deviation of the noise, in units of pixels in [0, 1], at least 0; of uniform
            noise half the width, so that it lies within +-``sigma``.
        clip: Whether noisy images are clipped to [0, 1].
        fresh: Whether every epoch draws other noise; the same in all epochs otherwise.
        noise: Its distribution; the paper compares with ``uniform`` (Figure 2).

    With ``copies`` or ``sigma`` of 0 an epoch is what it is without augmentation.

    Raises:
        ConfigError: If ``copies`` or ``sigma`` is negative, ``sigma`` infinite, ``noise`` unknown.
    """

    def __init__(
        self,
        copies: int = 10,
        sigma: float = 0.3,
        clip: bool = False,
        fresh: bool = False,
        noise: Noise = "gaussian",
    ) -> None:
        if copies < 0:
            raise ConfigError(
                f"Expected `copies` to be at least 0, but got {copies}. Give 10 for the paper's."
            )
        if not 0 <= sigma < float("inf"):
            raise ConfigError(
                f"Expected `sigma` to be at least 0 and finite, but got {sigma}. "
                "Pixels are in [0, 1]: give 0.3 or less."
            )
        if noise not in get_args(Noise):
            raise ConfigError(
                f"Expected `noise` to be one of {', '.join(get_args(Noise))}, but got {noise!r}."
            )
        self.copies = copies if sigma else 0
        self.sigma = sigma
        self.clip = clip
        self.fresh = fresh
        self.noise = noise

    def __call__(
        self,
        x: Images,
        index: Int64[Tensor, " n"],
        copy: Int64[Tensor, " n"],
        seed: int,
        epoch: int,
    ) -> Images:
        """Images with the noise of their copies; copy 0 is the image itself.

        Args:
            x: Images in [0, 1].
            index: Place of each in its set, below 2**32.
            copy: Number of each's copy.
            seed: 0 to 2**32 - 1.
            epoch: Number of the epoch, below 2**31; counts only if ``fresh``.
        """
        stream = seed + (epoch << 32 if self.fresh else 0)
        draws = Draws(sample_seeds(stream, index + (copy << 32)))
        if self.noise == "gaussian":
            noise = draws.normal(*x.shape[1:])
        else:
            noise = draws.uniform(*x.shape[1:]).mul_(2).sub_(1)
        # Scaled by zero for clean images: choosing the others would make a GPU wait.
        scale = (copy > 0).to(x.dtype).mul_(self.sigma).view(-1, 1, 1, 1)
        noisy = noise.mul_(scale).add_(x)
        return noisy.clamp_(0, 1) if self.clip else noisy
