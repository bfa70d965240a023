"""Two networks on the same images: paired rates, interval, McNemar, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from robust.errors import ConfigError
from robust.results.comparing.against import Against, Named
from robust.results.comparing.paired import Images, Paired, mcnemar, robust_images
from robust.results.comparing.seeds import Seeded, seeds_grid
from robust.results.metrics import worst_robust_accuracy
from robust.results.records import Evaluation
from robust.results.result import Result
from tests.support.factories import evaluation, header, info, row


def lost(images, n=200, *, view="adaptive", clean=(), **changed):
    """An evaluation in which an attack succeeds on some images, and some are misclassified."""
    rows = [
        row(i, view=view, adv=int(i in images or i in clean), clean=int(i in clean))
        for i in range(n)
    ]
    return Evaluation(replace(header(fgsm=info()), **changed), rows)


def against(one, other):
    return Against(Named("one", one), Named("other", other))


def pair(only_first, only_second, both, neither):
    right = np.repeat([[1, 0], [0, 1], [1, 1], [0, 0]], [only_first, only_second, both, neither], 0)
    index = np.arange(len(right))
    return Paired.from_images(Images(index, right[:, 0] == 1), Images(index, right[:, 1] == 1))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [  # Newcombe 1998, Table II, method 10: counts as of `pair`
        ((12, 2, 36, 0), (0.0569, 0.3404)),
        ((14, 0, 36, 0), (0.1528, 0.4167)),
    ],
)
def test_the_interval_is_newcombes(counts, expected):
    assert pair(*counts).interval == pytest.approx(expected, abs=5e-4)


def test_the_interval_covers_what_is_so():
    rng, index, hits = np.random.default_rng(0), np.arange(80), 0
    for _ in range(200):
        shared = rng.random(80)
        found = Paired.from_images(Images(index, shared < 0.6), Images(index, shared > 0.1))
        hits += found.interval[0] <= 0.6 - 0.9 <= found.interval[1]
    assert hits >= 185


def test_the_p_value_is_mcnemars():
    assert mcnemar(0, 8) == pytest.approx(binomtest(0, 8).pvalue)
    assert mcnemar(0, 0) == 1.0


def test_images_are_paired_by_their_index():
    found = against(lost({0, 1, 2}), lost({2, 3}, n=100)).robust()
    assert (found.first.n, found.first.hits, found.second.hits) == (100, 97, 98)
    assert (found.only_first, found.only_second) == ((3,), (0, 1))
    assert found.difference == pytest.approx(-0.01)


def test_the_worst_case_of_each_image_counts():
    one = evaluation({"a": info(), "b": info()}, {("adaptive", "a"): 30, ("adaptive", "b"): 50})
    assert robust_images(one, "adaptive").right.sum() == worst_robust_accuracy(one, "adaptive").hits
    views = {("deployed", "a"): 10, ("adaptive", "a"): 4}
    assert robust_images(evaluation({"a": info()}, views)).right.sum() == 190


def test_the_table_says_what_only_one_loses():
    text = str(against(lost({0, 1, 2}, clean={9}), lost({2, 3})))
    assert "clean: only one loses image 9." in text
    assert "adaptive: only one loses images 0, 1, 9." in text
    assert "adaptive: only other loses image 3." in text
    assert "-1.0" in text


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"data_sha256": "e"}, "the same images"),
        ({"split": "train"}, "the same images"),
        ({"attacks": {"fgsm": info(eps=0.2)}}, "the same threat models"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(changed, why):
    other = lost({1})
    other = Evaluation(replace(other.header, **changed), other.rows)
    with pytest.raises(ConfigError, match=why) as error:
        against(lost({0}), other)
    assert len(str(error.value)) <= 300
    assert "\n" not in str(error.value)


def test_images_that_only_one_has_are_no_pairs():
    other = lost({1})
    other = Evaluation(other.header, other.rows.where(other.rows["index"] >= 150))
    assert against(lost({0}), other).clean().first.n == 50
    with pytest.raises(ConfigError, match="none in common"):
        against(lost({0}, n=100), other)


def test_other_attacks_are_said():
    other = lost({1}, attacks={"fgsm": replace(info(), code_sha256="other")})
    assert "other code" in str(against(lost({0}), other))
    assert "other code" not in str(against(lost({0}), lost({1})))


def test_a_result_in_python_has_it():
    one, other = Result("net", lost({0}), 2), Result("net", lost({0, 1}), 2)
    assert one.against(other).robust("adaptive").only_first == (1,)
    assert "net (other)" in str(one.against(other))
    with pytest.raises(ConfigError, match="both were attacked through"):
        one.against(other).robust("published")


def seeded(seed, misclassified, name=None, **config):
    made = {"seed_everything": seed, "run": {"id": str(seed)}, "model": "m", **config}
    return Seeded(name or f"net/{seed}", made, lost(set(range(misclassified))))


def test_seeds_of_one_config_are_one_row():
    grid = seeds_grid([seeded(0, 100), seeded(1, 120), seeded(2, 20, model="another")])
    ((names, seeds, _, adaptive),) = grid.rows
    assert (names, seeds) == ("net/0, net/1", "0, 1")
    assert adaptive.values == ("45.0 +- 7.1", "40.0 to 50.0")


def test_one_seed_twice_is_no_spread():
    assert seeds_grid([seeded(0, 100), seeded(0, 120, name="again")]) is None
