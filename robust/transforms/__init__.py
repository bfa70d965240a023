"""Input transforms change images before the network of a defense, in training and at test.

Each quantizes or smooths, so it has no useful gradient: the adaptive view of every defense has
another one. Those that quantize say where (`Quantized`), and attacks count on it. Values outside
[0, 1], as unclipped noise in training has them, go to the levels that continue those inside.
`Binarize` and `TotalVariation` alone end in [0, 1].
"""

from robust.transforms.quantized import Cells, Quantized
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
    "Cells",
    "FeatureSqueezing",
    "MedianSmoothing",
    "Quantized",
    "TotalVariation",
]
