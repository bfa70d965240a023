"""A defense that is random at test time is found by two calls, and is never without an alarm."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from robust.defenses import Standard
from robust.evaluation.blocks import CALLS, judged
from robust.evaluation.masking_signs import differs_by_call
from robust.results.evidence.nine import nine
from robust.results.evidence.recorded import Trials
from robust.results.metrics import summarize
from robust.results.rates import Rate
from robust.results.records import Evaluation, read_evaluation
from robust.results.rows import Rows
from robust.results.tables import comparison
from robust.results.verdict import verdict
from robust.transforms import TotalVariation
from tests.support.factories import evaluate, evaluation, header, info, linear
from tests.support.odd_networks import Counts, Noisy, Normalized, Plain

FGSM, BIM = info(), info("BIM", steps=20)
SILENT = {("deployed", "fgsm"): 90, ("adaptive", "fgsm"): 100}


@pytest.mark.parametrize(
    ("network", "is_random"), [(Plain, False), (Normalized, False), (Noisy, True), (Counts, True)]
)
def test_two_calls(network, is_random):
    defense, x = Standard(network()).train(), torch.rand(5, 1, 4, 4)
    random = torch.get_rng_state()
    assert differs_by_call(defense, x) is is_random
    assert torch.equal(torch.get_rng_state(), random)
    assert defense.training


def test_rounding_is_not_random():
    class Rounds(Counts):
        def forward(self, x):
            self.calls += 1
            return Plain.forward(self, x) * (1 + 1e-6 * self.calls)

    assert not differs_by_call(Standard(Rounds()), torch.rand(5, 1, 4, 4))


@pytest.mark.parametrize("odd", [float("inf"), float("nan")])
@pytest.mark.parametrize(("network", "is_random"), [(Plain, False), (Noisy, True)])
def test_a_score_that_is_not_finite_hides_no_randomness(network, is_random, odd):
    class Odd(network):
        def forward(self, x):
            scores = super().forward(x)
            return torch.cat([scores[:1], torch.full_like(scores[:1], odd), scores[2:]])

    assert differs_by_call(Standard(Odd()), torch.rand(5, 1, 4, 4)) is is_random


@pytest.mark.parametrize(("seed", "is_random"), [(0, False), (None, True)])
def test_a_transform_with_a_seed_is_a_function_of_the_image(seed, is_random):
    defense = Standard(Plain(), transform=TotalVariation(iterations=3, seed=seed))
    assert differs_by_call(defense, torch.rand(5, 1, 4, 4)) is is_random


def judged_records(successes=SILENT, **signs):
    found = evaluation({"fgsm": FGSM}, successes)
    return Evaluation(replace(found.header, **signs), found.rows)


def test_verdicts():
    assert verdict(judged_records()).word == "no masking seen"
    one = verdict(judged_records(random=True))
    assert one.word == "unverified"
    assert "two calls of the defense on the same images give other scores" in one.reason
    assert verdict(judged_records(random=True, averaged=True)).word == "suspect"
    masked = {("deployed", "fgsm"): 3, ("adaptive", "fgsm"): 100}
    assert verdict(judged_records(masked, random=True)).word == "masked"


def test_where_it_shows():
    found = judged_records(random=True)
    assert summarize(found)["test/random"] == 1
    assert "test/random" not in summarize(judged_records())
    assert any("two calls" in note for note in comparison({"run": found}).notes)


def test_headers_of_other_defenses_are_as_before():
    usual = header(fgsm=FGSM)
    assert not {"random", "averaged"} & set(usual.plain())
    assert replace(usual, random=True).fingerprint != usual.fingerprint


class NoisyLinear(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x) + torch.rand(len(x), 1).mul(3)


def test_it_is_on_record(data, tmp_path):
    defense = Standard(NoisyLinear(linear()))
    result, _ = evaluate(data, tmp_path, defense)
    assert result.header.random
    assert not result.header.averaged
    (path,) = tmp_path.rglob("records/*.csv")
    assert read_evaluation(path).header.random


class OnceInFour(nn.Module):
    """Another class at each fourth call."""

    calls = 0

    def forward(self, x):
        OnceInFour.calls += 1
        scores = torch.eye(3)[1 if OnceInFour.calls % 4 == 0 else 0]
        return scores.repeat(len(x), 1) + torch.rand(len(x), 1) + 0 * x.flatten(1)[:, :1]


def test_one_lucky_call_is_no_success():
    x, y = torch.rand(5, 1, 4, 4), torch.zeros(5, dtype=torch.long)
    assert judged(Standard(OnceInFour()), x, y, CALLS)[1].tolist() == [0] * 5
    # Wrong in most calls, as the class that most of these say.
    assert judged(Standard(OnceInFour()), x, y + 2, CALLS)[1].tolist() == [0] * 5
    state = torch.get_rng_state()
    judged(Standard(OnceInFour()), x, y, CALLS)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_random_defense_is_judged_by_some_calls_and_a_usual_one_by_one(data, tmp_path):
    result, _ = evaluate(data, tmp_path, Standard(NoisyLinear(linear())))
    assert result.header.judged == CALLS
    assert header(fgsm=FGSM).judged == 1


def test_both_numbers_are_told():
    rates = {"calls/one": Rate(12, 32), "calls/most": Rate(20, 32)}
    part = judged_records(random=True, averaged=True)
    signs = nine(Evaluation(replace(part.header, judged=10), part.rows), Trials(rates=rates))
    assert signs[-1].raised
    assert signs[-1].figures == "robust in one call 12/32, in most of 10 calls 20/32"


def test_gradients_that_are_not_finite_raise_suspicion():
    found = evaluation({"fgsm": FGSM, "bim": BIM}, {**SILENT, ("adaptive", "bim"): 100})
    table = [row._replace(not_finite=row[:3] == ("adaptive", "bim", 7)) for row in found.rows]
    result = verdict(Evaluation(found.header, table))
    assert str(result) == (
        "suspect: the gradient of the adaptive view is not finite on 1 of 200 images (bim)"
    )
    numbers = summarize(Evaluation(found.header, table))
    assert numbers["test/not_finite_gradient/adaptive/bim"] == pytest.approx(1 / 200)


def test_records_from_before_there_was_a_column():
    rows = Rows.from_rows(evaluation({"fgsm": FGSM}, SILENT).rows)
    lines = "".join(",".join(map(str, row[:-1])) + "\n" for row in rows)
    assert Rows.parse(lines, ["fgsm"]) == list(rows)
