"""What our attacks refuse."""

import pytest

from robust.attacks import PGD
from tests.oracles import LinearOracle


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: (x * 255).byte(), "floating-point type, but got torch.uint8"),
        (lambda x: x * 2, r"Expected images in \[0, 1\]"),
        (lambda x: x - 1, r"Expected images in \[0, 1\]"),
        (lambda x: x * float("nan"), r"Expected images in \[0, 1\]"),
    ],
)
def test_images_are_checked(change, message):
    oracle = LinearOracle()
    x, y = oracle.samples(2)
    with pytest.raises(ValueError, match=message):
        PGD(oracle)(change(x), y)
