"""Radii within which no attack can exist: randomized smoothing.

Cohen, Rosenfeld and Kolter 2019, https://arxiv.org/abs/1902.02918. The smoothed classifier takes
the class that a network predicts most often under Gaussian noise. How often that is bounds the L2
distance at which another class can overtake it, for any network.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from robust.attacks import RandomStreams, isolated, sample_seeds
from robust.errors import ConfigError, check_at_least
from robust.results.metrics import Rate
from robust.types import Images, Labels, Scores

ABSTAINED = -1
"""The class of an image on which the smoothed classifier does not commit itself."""

_Counts = Int64[Tensor, "n k"]


class Certificates(NamedTuple):
    """What `Smoothed.certify` says of each image."""

    prediction: Labels
    """Class of the smoothed classifier; `ABSTAINED` where there is no certificate."""
    radius: Float[Tensor, " n"]
    """L2 in pixel units, float64: the class is the same at any image closer than that. 0 where it
    abstained. Each holds with probability ``1 - alpha`` over the noise."""


@final
class Smoothed:
    """The classifier that Gaussian noise makes of a network: its most frequent prediction under it.

    The network sees ``x + noise`` unclipped, which it should have been trained on. Each image has a
    random stream of its own. So results depend neither on the batch nor on its other images,
    except by the rounding of the network.

    Args:
        model: Module from pixels to class scores, such as a defense; runs in eval mode.
        sigma: Standard deviation of the noise in pixel units, positive.
        alpha: Probability that a statement about an image is wrong, in (0, 1).
        seed: Seeds the noise, together with the index of an image.
        batch: Noisy images in a forward pass, at least 1; a bound on memory.

    Raises:
        ConfigError: If an argument is out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        sigma: float,
        alpha: float = 0.001,
        seed: int = 0,
        batch: int = 128,
    ) -> None:
        if not 0 < sigma < float("inf"):
            raise ConfigError(
                f"Expected `sigma` to be positive and finite, but got {sigma}. Give the standard "
                "deviation that the network was trained with, in pixel units."
            )
        if not 0 < alpha < 1:
            raise ConfigError(
                f"Expected `alpha` in (0, 1), but got {alpha}. Give 0.001 for certificates that "
                "hold with 99.9 %."
            )
        check_at_least("batch", batch, 1)
        self.model, self.sigma, self.alpha = model, sigma, alpha
        self.seed, self.batch = seed, batch

    def predict(self, x: Images, index: Labels, n: int = 1000) -> Labels:
        """Class of each image, or `ABSTAINED` where two are too close. Cohen et al., section 3.2.1.

        A two-sided binomial test that the two most frequent classes are equally likely.

        Args:
            x: Images, on the device of the network.
            index: Their indices in the dataset.
            n: Noisy copies, at least 1.

        Raises:
            ConfigError: If ``n`` is below 1.
        """
        check_at_least("n", n, 1)
        (counts,) = self._counts(x, index, n)
        from scipy.stats import binomtest  # half a second, which attacks need not wait for

        best = counts.topk(2, dim=1)
        sure = [
            float(binomtest(first, first + second).pvalue) <= self.alpha
            for first, second in best.values.tolist()
        ]
        return best.indices[:, 0].where(torch.tensor(sure, device=x.device), ABSTAINED)

    def certify(self, x: Images, index: Labels, n0: int = 100, n: int = 1000) -> Certificates:
        """Class and radius of each image. Cohen et al., section 3.2.2, with Eq. 3's lower bound.

        Args:
            x: Images, on the device of the network.
            index: Their indices in the dataset.
            n0: Noisy copies that choose the class, at least 1.
            n: Noisy copies that estimate how often it is predicted, at least 1. No radius exceeds
                ``sigma * Phi^-1(alpha^(1/n))``.

        Raises:
            ConfigError: If ``n0`` or ``n`` is below 1.
        """
        check_at_least("n0", n0, 1)
        check_at_least("n", n, 1)
        chosen, counts = self._counts(x, index, n0, n)
        prediction = chosen.argmax(dim=1)
        hits = counts.gather(1, prediction.unsqueeze(1)).squeeze(1).tolist()
        radii = [certified_radius(k, n, self.sigma, self.alpha) for k in hits]
        radius = torch.tensor(radii, dtype=torch.float64, device=x.device)
        return Certificates(prediction.where(radius > 0, ABSTAINED), radius)

    def _counts(self, x: Images, index: Labels, *copies: int) -> list[_Counts]:
        """Count how often each class was predicted, in rounds of so many noisy copies."""
        parts: list[list[_Counts]] = [[] for _ in copies]
        # Images are not split as long as their first round fits into one pass.
        images = max(1, self.batch // copies[0])
        with (
            isolated(self.model, x.device, seed=self.seed),
            torch.no_grad(),
            torch.autocast(x.device.type, enabled=False),
        ):
            for clean, places in zip(
                torch.split(x, images), torch.split(index, images), strict=True
            ):
                stream = RandomStreams(sample_seeds(self.seed, places))
                for part, count in zip(parts, copies, strict=True):
                    part.append(self._vote(clean, stream, count))
        return [torch.cat(part) for part in parts]

    def _vote(self, x: Images, stream: RandomStreams, count: int) -> _Counts:
        total = None
        for size in _chunks(count, max(1, self.batch // len(x))):
            noise = stream.normal(size, x[0].numel()).view(len(x), size, *x.shape[1:])
            noisy = (x.unsqueeze(1) + self.sigma * noise.to(x.dtype)).flatten(0, 1)
            scores: Scores = self.model(noisy)
            votes = scores.argmax(dim=1).view(len(x), size)
            counts = votes.new_zeros(len(x), scores.shape[1])
            counts.scatter_add_(1, votes, torch.ones_like(votes))
            total = counts if total is None else total + counts
        assert total is not None
        return total


def lower_bound(hits: int, n: int, alpha: float) -> float:
    """One-sided lower bound of Clopper and Pearson 1934 on a probability, exact.

    https://doi.org/10.1093/biomet/26.4.404

    Args:
        hits: Successes, 0 to ``n``.
        n: Trials, at least 1.
        alpha: Probability that the bound is above the true one, in (0, 1).
    """
    from scipy.stats import beta

    return float(beta.ppf(alpha, hits, n - hits + 1)) if hits else 0.0


def certified_radius(hits: int, n: int, sigma: float, alpha: float) -> float:
    """L2 radius around an image whose class was predicted ``hits`` of ``n`` times; 0 for none.

    Cohen et al. 2019, Algorithm 1: ``sigma * Phi^-1(p)`` with the lower bound ``p`` of the class's
    probability, if that exceeds one half.
    """
    from scipy.stats import norm

    return max(0.0, sigma * float(norm.ppf(lower_bound(hits, n, alpha))))


def certified_accuracy(certificates: Certificates, y: Labels, radii: Sequence[float]) -> list[Rate]:
    """Share of all images that are certified as their label, at each radius.

    Args:
        certificates: Of the images.
        y: Their labels.
        radii: L2 in pixel units, not negative.
    """
    correct = certificates.prediction == y
    return [Rate(int((correct & (certificates.radius >= r)).sum()), len(y)) for r in radii]


def _chunks(count: int, size: int) -> Iterator[int]:
    """Sizes of at most ``size`` that add up to ``count``."""
    for start in range(0, count, size):
        yield min(size, count - start)
