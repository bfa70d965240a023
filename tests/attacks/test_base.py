"""What our attacks refuse."""

import jaxtyping
import pytest

from robust.attacks import (
    APGD,
    BIM,
    FAB,
    JSMA,
    PGD,
    TGSM,
    AutoAttack,
    DeepFool,
    HopSkipJump,
    Square,
)
from robust.errors import ConfigError
from tests.support.oracles import LinearOracle


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


@pytest.fixture
def _annotations_are_not_checked():
    """As outside of the tests; here they would be the first to object to an unknown word."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


NORM = r"Expected `norm` to be one of (Linf, L2|L2, Linf|Linf, L2, L1), but got '(L0|L1)'\."


@pytest.mark.usefixtures("_annotations_are_not_checked")
@pytest.mark.parametrize(
    ("build", "message"),
    [
        *((lambda m, a=a: a(m, norm="L1"), NORM) for a in (DeepFool, HopSkipJump, Square)),
        *((lambda m, a=a: a(m, norm="L0"), NORM) for a in (PGD, APGD, FAB, AutoAttack)),
        (
            lambda m: BIM(m, loss="hinge"),
            "`loss` to be one of cross_entropy, log_odds, margin, dlr, probability_margin, but got",
        ),
        (
            lambda m: APGD(m, loss="ce"),
            "`loss` to be one of cross_entropy, log_odds, margin, dlr, probability_margin, but got",
        ),
        (
            lambda m: BIM(m, precision="fp8"),
            "`precision` to be one of float32, bfloat16, float64, but got",
        ),
        (lambda m: TGSM(m, equation=9), "`equation` to be one of 2, 3, but got 9"),
        (lambda m: JSMA(m, target_rule="best"), "`target_rule` to be one of random, nearest"),
        (lambda m: JSMA(m, outputs="logits"), "`outputs` to be one of scores, probabilities"),
    ],
)
def test_unknown_words_are_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build(LinearOracle())
