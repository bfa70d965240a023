"""Training samples are added or changed here: noisy copies of every image, and crops."""

from typing import Literal, final, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Int64
from torch import Tensor

from robust.data.samples import Pixels
from robust.errors import ConfigError, nearest
from robust.random_streams import RandomStreams, sample_seeds
from robust.types import Images

Noise = Literal["gaussian", "uniform"]

_CROPS = 1 << 62
"""This is added to a sample's number, so that its crop does not follow from its noise."""


@final
class GaussianAugmentation:
    """Training takes each image and ``copies`` of it with Gaussian noise, shuffled together.

    An epoch so has 1 + ``copies`` times the steps. Zantedeschi et al. 2017, section 3.2
    (https://arxiv.org/abs/1707.06728), with 10 copies of 0.3 on MNIST and 0.05 on CIFAR-10. Their
    code makes the noise once and clips nothing, so networks are trained on values outside [0, 1].
    The toy example of the paper is clipped. Unlike theirs, validation images are clean.

    The noise of a copy follows from three numbers: the seed of the data, the index of the image in
    its set and the number of the copy. It is made batch by batch, where the batch is: a GPU's
    logarithms and sines may differ from a CPU's in the last bit.

    Args:
        copies: Noisy copies of each image, at least 0.
        sigma: Standard deviation of the noise, in units of pixels in [0, 1], at least 0. Uniform
            noise has half the width ``sigma``.
        clip: Whether noisy images are clipped to [0, 1].
        fresh: Whether every epoch has other noise; the same in all epochs otherwise.
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
                f"{nearest(noise, get_args(Noise))}"
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
        """Return images with the noise of their copies; copy 0 is the image itself.

        Args:
            x: Images in [0, 1].
            index: Of each in its set, below 2**32.
            copy: Number of each's copy.
            seed: 0 to 2**32 - 1.
            epoch: Number of the epoch, below 2**31; counts only if ``fresh``.
        """
        stream = seed + (epoch << 32 if self.fresh else 0)
        streams = RandomStreams(sample_seeds(stream, index + (copy << 32)))
        if self.noise == "gaussian":
            noise = streams.normal(*x.shape[1:])
        else:
            noise = streams.uniform(*x.shape[1:]).mul_(2).sub_(1)
        # Scaled by zero for clean images: choosing the others would make a GPU wait.
        scale = (copy > 0).to(x.dtype).mul_(self.sigma).view(-1, 1, 1, 1)
        noisy = noise.mul_(scale).add_(x)
        return noisy.clamp_(0, 1) if self.clip else noisy


@final
class RandomCrops:
    """Training takes a random crop of each image with a black frame, mirrored by chance.

    As most networks for CIFAR-10 are trained, Wang et al.'s among them
    (https://arxiv.org/abs/1809.08516). Every epoch has other crops. The crop of a sample follows
    from the seed of the data, the epoch and its index in the set. Noisy copies are crops of their
    own, by their number. Validation and test images, and the templates of `robust.defenses.WNLL`,
    are not cropped.

    Args:
        padding: Width of the frame in pixels, at least 0 and less than the sides of an image.
        flip: Whether every second image, by chance, is mirrored; not for digits or letters.

    Raises:
        ConfigError: If ``padding`` is negative.
    """

    def __init__(self, padding: int = 4, flip: bool = True) -> None:
        if padding < 0:
            raise ConfigError(
                f"Expected `padding` to be at least 0, but got {padding}. Give 4 for 32x32 images."
            )
        self.padding = padding
        self.flip = flip

    def check_fit(self, shape: tuple[int, int, int]) -> None:
        """Raise if a crop of an image of ``shape`` (C, H, W) may hold nothing of it.

        Raises:
            ConfigError: If it may, with both numbers.
        """
        if self.padding >= min(shape[1:]):
            raise ConfigError(
                f"Expected `padding` to be less than the sides of images of {shape[1]}x{shape[2]} "
                f"pixels, but got {self.padding}. Give an eighth of a side."
            )

    def __call__(
        self,
        x: Pixels,
        index: Int64[Tensor, " n"],
        copy: Int64[Tensor, " n"],
        seed: int,
        epoch: int,
    ) -> Pixels:
        """Return crops of the same shape.

        Args:
            x: Images, as bytes.
            index: Of each in its set, below 2**32.
            copy: Number of each's copy, below 2**29.
            seed: 0 to 2**32 - 1.
            epoch: Number of the epoch, below 2**31.
        """
        streams = RandomStreams(sample_seeds(seed + (epoch << 32), index + (copy << 32) + _CROPS))
        corner = streams.uniform(2).mul_(2 * self.padding + 1).long()
        rows = corner[:, :1] + torch.arange(x.shape[2])
        columns = corner[:, 1:] + torch.arange(x.shape[3])
        if self.flip:
            columns = torch.where(streams.uniform(1) < 0.5, columns.flip(1), columns)
        framed = F.pad(x, 4 * [self.padding])
        sample = torch.arange(len(x)).view(-1, 1, 1, 1)
        channel = torch.arange(x.shape[1]).view(-1, 1, 1)
        return framed[sample, channel, rows.view(len(x), 1, -1, 1), columns.view(len(x), 1, 1, -1)]
