"""Input transforms change images before the network of a defense, in training and at test.

Each quantizes or smooths, so it has no useful gradient: the adaptive view of every defense lets the
gradient straight through. Values outside [0, 1], as unclipped noise in training has them, go to the
levels that continue those inside. `Binarize` and `TotalVariation` alone end in [0, 1].
"""

from robust.transforms.squeezing import (
    Binarize,
    BitDepthReduction,
    FeatureSqueezing,
    MedianSmoothing,
)
from robust.transforms.total_variation import TotalVariation

__all__ = [
    "Binarize",
    "BitDepthReduction",
    "FeatureSqueezing",
    "MedianSmoothing",
    "TotalVariation",
]
