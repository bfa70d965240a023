"""Total variation minimization finds a simple image that agrees with a random part of pixels."""

from typing import Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from robust.errors import ConfigError
from robust.random_streams import RandomStreams, sample_seeds
from robust.types import Images

Norm = Literal["isotropic", "anisotropic", "group"]
_Dual = Float[Tensor, "2 n c h w"]

_RELAXATION = 1.9
_CHUNK = 32
"""So many images are solved together on a CPU: their arrays fit into its cache."""


@final
class TotalVariation(nn.Module):
    """TVM drops random pixels, and fills and smooths by total variation minimization.

    ``argmin_z 1/2 ||m (z - x)||^2 + strength TV(z)`` for each channel, where ``m`` is 0 where a
    pixel is dropped and else 1. That is Guo et al. 2018, section 4.3
    (https://arxiv.org/abs/1711.00117), with the squared norm that their code minimizes. If ``drop``
    is 0, it is Rudin, Osher and Fatemi 1992: scikit-image's ``denoise_tv_chambolle`` with
    ``strength`` as its ``weight``. With ``anisotropic``, it is ``denoise_tv_bregman`` with the
    weight ``1 / strength``. The isotropic split Bregman, which Guo et al. took, agrees with
    neither. It shrinks a difference of length s to s^2 / (s + 1 / lambda), where total variation
    shrinks it to s - 1 / lambda or 0.

    The overrelaxed primal-dual method of Chambolle and Pock 2011
    (https://doi.org/10.1007/s10851-010-0251-1) solves it. Every image gets as many iterations, so
    none depends on its batch. Observed pixels have one solution. Dropped pixels may have several,
    and the values that were dropped do not decide.

    A dropped pixel is dropped in one channel. With a ``seed``, the mask of an image follows from
    the seed and the image's pixels, rounded to bytes. So the defense is a function of the image,
    the same in every batch and on every device. An attacker who changes a pixel meets another mask.
    With None every call has other masks from the global random state, so predictions change from
    call to call. Either way an attacker should average over masks. The adaptive view has the
    scores of the deployed mask. Its gradient is that of the mean scores of ``eot`` fresh masks,
    let straight through the minimization. The transform itself has a gradient of zero.

    Args:
        strength: Weight of the total variation, positive; pixels are in [0, 1].
        drop: Probability that a pixel is dropped, in [0, 1).
        iterations: At least 1. 200 leave an error of about 0.0005 (root mean square).
        norm: Of the differences to the pixel below and the one to the right. ``isotropic`` is the
            2-norm of both, ``anisotropic`` their absolute values. ``group`` has the 2-norms over
            the differences of two rows and of two columns, as Guo et al. print it.
        seed: 0 to 2**32 - 1, or None.
        in_training: Whether images are transformed in train mode too.
        eot: Masks that the gradient of the adaptive view is averaged over, at least 1.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        strength: float = 0.03,
        drop: float = 0.5,
        iterations: int = 200,
        norm: Norm = "isotropic",
        seed: int | None = 0,
        in_training: bool = True,
        eot: int = 8,
    ) -> None:
        super().__init__()
        if not 0 < strength < float("inf"):
            raise ConfigError(
                f"Expected `strength` to be positive and finite, but got {strength}. "
                "Give 0.03, as Guo et al. 2018."
            )
        if not 0 <= drop < 1:
            raise ConfigError(
                f"Expected `drop` in [0, 1), but got {drop}. Give 0.5, as Guo et al. 2018, or 0 "
                "to keep every pixel."
            )
        for name, value in (("iterations", iterations), ("eot", eot)):
            if value < 1:
                raise ConfigError(
                    f"Expected `{name}` to be at least 1, but got {value}. Leave it out for the "
                    "default."
                )
        if seed is not None and not 0 <= seed < 2**32:
            raise ConfigError(
                f"Expected `seed` to be 0 to 2**32 - 1, but got {seed}. Choose another one, or "
                "null for new masks at every call."
            )
        self.strength = strength
        self.drop = drop
        self.iterations = iterations
        self.norm: Norm = norm
        self.seed = seed
        self.in_training = in_training
        self.eot = eot

    def forward(self, x: Images) -> Images:
        """Return images in [0, 1] of one shape; ``x`` itself in training without `in_training`."""
        if self.training and not self.in_training:
            return x
        with torch.no_grad():
            given, observed, z = x.float(), self._mask(x), torch.empty_like(x)
            size = _CHUNK if x.is_cpu else max(len(x), 1)
            for start in range(0, len(x), size):
                part = slice(start, start + size)
                z[part] = self._minimizer(given[part], observed[part])
        # An attack on the deployed model asks for a gradient.
        return z + 0 * x

    def resampled(self) -> tuple[nn.Module, int] | None:
        """Return the same with new masks at every call, and `eot`; None if nothing is random."""
        if self.drop == 0:
            return None
        fresh = TotalVariation(self.strength, self.drop, self.iterations, self.norm, seed=None)
        return fresh, self.eot

    def _mask(self, x: Images) -> Images:
        """Return 1 where a pixel is observed, else 0."""
        if self.drop == 0:
            return torch.ones_like(x, dtype=torch.float32)
        if self.seed is None:
            return (torch.rand(x.shape, device=x.device) >= self.drop).float()
        streams = RandomStreams(sample_seeds(self.seed, _hashed(x)))
        return (streams.uniform(*x.shape[1:]) >= self.drop).float()

    def _minimizer(self, x: Images, observed: Images) -> Images:
        tau = self._step()
        sigma = 1 / (8 * tau)  # 8: bound of the squared norm of `_differences`
        z = _filled(x, observed)
        dual = torch.zeros(2, *x.shape, device=x.device)
        data, shrink = tau * observed * x, 1 / (1 + tau * observed)
        for _ in range(self.iterations):
            nearer = _adjoint(dual).mul_(-tau).add_(z).add_(data).mul_(shrink)
            ahead = _differences(torch.sub(2 * nearer, z)).mul_(sigma).add_(dual)
            dual.lerp_(self._projected(ahead), _RELAXATION)
            z.lerp_(nearer, _RELAXATION)
        return nearer.clamp_(0, 1)

    def _step(self) -> float:
        """Return the primal step, found on CIFAR-10: weak terms need long steps."""
        return min(max(0.02 / self.strength, 0.1), 2.0) if self.drop else 0.1

    def _projected(self, dual: _Dual) -> _Dual:
        """Project onto the ball of radius ``strength`` in the norm dual to the differences'."""
        if self.norm == "anisotropic":
            return dual.clamp_(-self.strength, self.strength)
        squares = dual.square()
        if self.norm == "isotropic":
            length = squares.sum(dim=0, keepdim=True).sqrt_()
        else:
            rows, columns = squares[0].sum(-1, keepdim=True), squares[1].sum(-2, keepdim=True)
            length = torch.stack([rows.expand_as(dual[0]), columns.expand_as(dual[1])]).sqrt_()
        return dual.div_(length.div_(self.strength).clamp_min_(1))


def _hashed(x: Images) -> Int64[Tensor, " n"]:
    """Return a number of each image's pixels as bytes, so that no rounding of a device counts."""
    levels = (x.float() * 255).round().long().flatten(1)
    index = torch.arange(levels.shape[1], device=x.device)
    placed = levels + (index << 16)
    return sample_seeds(0, placed.flatten()).view_as(placed).sum(dim=1)


def _filled(x: Images, observed: Images) -> Images:
    """Return a copy with dropped pixels as the mean of their observed neighbours."""
    shares = F.avg_pool2d(observed, 3, stride=1, padding=1)
    near = F.avg_pool2d(x * observed, 3, stride=1, padding=1) / shares.clamp_min(1e-6)
    every = observed.sum(dim=(2, 3), keepdim=True).clamp_min(1)
    mean = (x * observed).sum(dim=(2, 3), keepdim=True) / every
    return torch.where(observed > 0, x, torch.where(shares > 0, near, mean))


def _differences(z: Images) -> _Dual:
    """Return differences to the pixel below and to the right; 0 at the last row and column."""
    result = torch.zeros(2, *z.shape, device=z.device)
    torch.sub(z[..., 1:, :], z[..., :-1, :], out=result[0, ..., :-1, :])
    torch.sub(z[..., 1:], z[..., :-1], out=result[1, ..., :-1])
    return result


def _adjoint(dual: _Dual) -> Images:
    """Apply the transpose of `_differences`, where the last row and column do not count."""
    result = torch.zeros_like(dual[0])
    result[..., :-1, :] -= dual[0, ..., :-1, :]
    result[..., 1:, :] += dual[0, ..., :-1, :]
    result[..., :-1] -= dual[1, ..., :-1]
    result[..., 1:] += dual[1, ..., :-1]
    return result
