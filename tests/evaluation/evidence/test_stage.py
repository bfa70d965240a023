"""Evidence is gathered after the attacks, kept, and not gathered twice."""

from collections import OrderedDict
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from robust.attacks import FGSM, PGD, DeepFool, Strong, craft
from robust.defenses import Standard
from robust.errors import ConfigError
from robust.evaluation.evidence.level import level_of
from robust.evaluation.evidence.probes import differs_alone, found_by_noise, without_gradient
from robust.evaluation.evidence.recorded import strongest
from robust.evaluation.evidence.sizes import FULL, QUICK, Allowance, Clock, doubling
from robust.evaluation.evidence.stage import Stage
from robust.evaluation.evidence.variants import doubled, within_eps
from robust.evaluation.plan import plan
from robust.results.evidence.recorded import Trials
from robust.results.rates import Rate
from robust.results.records import read_evaluation
from robust.threat import ThreatModel
from tests.evaluation.test_attacked_images import data  # noqa: F401
from tests.support.factories import EPS, evaluate, evaluation, info, linear
from tests.support.odd_networks import OfTheBatch, Plain


def wide():
    """Return the linear network behind features that separate more points."""
    torch.manual_seed(0)
    network = linear()
    spread, back = nn.Linear(3, 64), nn.Linear(64, 3)
    with torch.no_grad():
        spread.bias.zero_()
        back.bias.zero_()
        back.weight.copy_(torch.linalg.pinv(spread.weight))
    return Standard(nn.Sequential(network, spread, back))


def test_an_evaluation_gathers_it_once(data, tmp_path, monkeypatch):  # noqa: F811
    attacks = {"pgd": partial(PGD, eps=EPS, steps=2)}
    found, _ = evaluate(data, tmp_path, wide(), attacks=attacks, evidence="quick")
    trials = found.evidence.trials[f"Linf {EPS}"]
    assert trials.reason == ""
    assert set(trials.scores) == {"deployed", "adaptive"}
    score = trials.scores["adaptive"]
    assert (score.attack, score.separated.n) == ("pgd", 12)
    assert {"one_step", "queries", "iterated", "noise", "doubled", "alone"} <= set(trials.rates)
    assert {"eps/half", "eps/same", "eps/double", "eps/unbounded"} <= set(trials.rates)
    assert trials.rates["queries/left"].n == trials.rates["noise"].n
    assert trials.rates["eps/unbounded"].hits == 0
    assert trials.rates["eps/half"].hits >= trials.rates["eps/double"].hits
    (path,) = Path(tmp_path / "records").glob("*.csv")
    assert read_evaluation(path).evidence == found.evidence
    monkeypatch.setattr(Stage, "_trials", None)  # would fail
    again, _ = evaluate(data, tmp_path, wide(), attacks=attacks, evidence="quick")
    assert again.evidence == found.evidence
    # Nobody asks for less than what is there.
    without, _ = evaluate(data, tmp_path, wide(), attacks=attacks, evidence="none")
    assert without.evidence == found.evidence


def test_a_layer_is_named_where_there_is_no_last_linear_one(data, tmp_path):  # noqa: F811
    plain = wide().network
    head = nn.Conv2d(64, 3, 1, bias=False)
    with torch.no_grad():
        head.weight.copy_(plain[2].weight[..., None, None])
    layers = OrderedDict(
        first=plain[0], spread=plain[1], square=nn.Unflatten(1, (64, 1, 1)), head=head
    )
    defense = Standard(nn.Sequential(OrderedDict(**layers, flat=nn.Flatten())))
    attacks = {"pgd": partial(PGD, eps=EPS, steps=2)}
    asked = {"attacks": attacks, "evidence": "quick"}
    without, _ = evaluate(data, tmp_path, defense, **asked)
    (trials,) = without.evidence.trials.values()
    assert not trials.scores
    assert "--features" in trials.reason
    found, _ = evaluate(data, tmp_path, defense, **asked, features="head")
    (trials,) = found.evidence.trials.values()
    assert trials.reason == ""
    assert trials.scores["adaptive"].separated.n == 12
    again, _ = evaluate(data, tmp_path, defense, **asked)  # nobody asks for another layer
    assert again.evidence == found.evidence
    with pytest.raises(ConfigError, match="Did you mean head"):
        evaluate(data, tmp_path, defense, **asked, features="haed")


def test_no_more_images_are_attacked_at_a_time_than_memory_has_room_for(
    data,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    sizes = []

    def counted(attack, view, x, *args, **kwargs):
        sizes.append(len(x))
        return craft(attack, view, x, *args, **kwargs)

    for module in ("robust.evaluation.evidence.sample", "robust.measures.unit_test.planted"):
        monkeypatch.setattr(f"{module}.usual_batch", lambda shape: 3)
    for module in ("robust.evaluation.evidence.probes", "robust.measures.unit_test.attacked"):
        monkeypatch.setattr(f"{module}.craft", counted)
    attacks = {"pgd": partial(PGD, eps=EPS, steps=2)}
    found, _ = evaluate(data, tmp_path, wide(), attacks=attacks, evidence="quick")
    trials = found.evidence.trials[f"Linf {EPS}"]
    assert trials.reason == ""
    assert max(sizes) == 3
    assert trials.scores["adaptive"].separated.n == 12
    assert trials.rates["one_step"].n == trials.rates["eps/same"].n > 3
    assert trials.rates["alone"].n == 3


def test_nothing_is_gathered_where_nobody_asks(data, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(Stage, "run", None)
    assert evaluate(data, tmp_path)[0].evidence is None


def test_a_stage_that_fails_costs_no_record(data, tmp_path, monkeypatch):  # noqa: F811
    def fails(*args, **kwargs):
        raise RuntimeError("no memory for that")

    monkeypatch.setattr("robust.evaluation.evidence.stage.unit_test", fails)
    monkeypatch.setattr("robust.evaluation.evidence.sample.without_gradient", fails)
    found, _ = evaluate(data, tmp_path, wide(), evidence="quick")
    assert found.evidence.trials[f"Linf {EPS}"] == Trials(reason="no memory for that")
    assert len(found.rows) == 24


def test_where_only_some_pixels_may_change_nothing_is_measured():
    part = evaluation({"fgsm": replace(info(), area="in a patch")}, {("adaptive", "fgsm"): 1})
    trials = Stage._trials(None, part, 1)
    assert (trials.scores, trials.rates) == ({}, {})
    assert "only some pixels" in trials.reason


def test_sizes_follow_the_cost_of_a_pass():
    allowed = Allowance.of("quick", attacks=0.0, threat_models=1)
    assert allowed.sizes(forward=1e-6) == QUICK
    assert allowed.sizes(forward=1.0) == QUICK._replace(points=250, queries=250, noise=12)
    # A tenth of hours of attacks pays for all of it.
    assert Allowance.of("quick", attacks=1e7, threat_models=1).sizes(forward=1.0) == QUICK
    assert Allowance.of("full", attacks=0.0, threat_models=1).sizes(forward=1.0) == FULL


def test_threat_models_share_what_evidence_always_may_take():
    assert Allowance.of("quick", attacks=10.0, threat_models=1).seconds == 20.0
    assert Allowance.of("quick", attacks=10.0, threat_models=4).seconds == 5.0
    assert Allowance.of("quick", attacks=600.0, threat_models=4).seconds == 60.0


@pytest.mark.parametrize(
    ("each", "expected"),
    [
        (0.0, [(0, 8), (8, 16), (16, 32), (32, 60)]),
        (0.4, [(0, 8), (8, 16), (16, 32)]),
        (9.0, [(0, 8)]),
    ],
)
def test_parts_double_while_there_is_time(monkeypatch, each, expected):
    done = 0
    monkeypatch.setattr(Clock, "seconds", property(lambda self: each * done))
    parts = []
    for part in doubling(8, 60, seconds=16.0):
        parts.append((part.start, part.stop))
        done = part.stop
    assert parts == expected


def known(attack):
    return plan({"it": attack}, ThreatModel("Linf", 0.1), {}, {})["it"]


def test_variants_of_an_attack():
    pgd = partial(PGD, eps=0.1, alpha=0.02, steps=7)
    wider = within_eps(pgd, known(pgd), 0.2)(nn.Identity())
    assert (wider.eps, wider.alpha, wider.steps) == (0.2, 0.04, 7)
    longer = doubled(pgd, known(pgd))(nn.Identity())
    assert (longer.steps, longer.restarts) == (14, 2)
    again = partial(PGD, eps=0.1, steps=7, restarts=3, loss=["log_odds", "margin", "margin"])
    assert doubled(again, known(again))(nn.Identity()).restarts == 6
    strong = partial(Strong, eps=0.1)
    longer = doubled(strong, known(strong))(nn.Identity())
    assert (longer.patience, longer.queries) == (4.0, 2000)
    assert doubled(partial(FGSM, eps=0.1), known(partial(FGSM, eps=0.1))) is None
    assert within_eps(DeepFool, info("DeepFool", minimal=True), 0.2) is None


def test_the_strongest_attack_follows_gradients():
    attacks = {
        "square": info("Square", queries=9),
        "fgsm": info(),
        "bim": info("BIM", steps=20),
        "pgd": info("PGD", steps=20),
    }
    hits = {"square": 90, "fgsm": 80, "bim": 40, "pgd": 50}
    records = evaluation(attacks, {("adaptive", name): n for name, n in hits.items()})
    assert strongest(records, "adaptive") == "pgd"
    simple = evaluation(
        {name: attacks[name] for name in ("square", "fgsm")},
        {("adaptive", "square"): 90, ("adaptive", "fgsm"): 80},
    )
    assert strongest(simple, "adaptive") == "square"


def test_a_network_that_looks_at_its_batch_differs_alone():
    x = torch.rand(5, 1, 4, 4)
    assert differs_alone(Standard(Plain()), x) == Rate(0, 5)
    assert differs_alone(Standard(OfTheBatch()), x).hits == 5


def test_gradients_by_loss():
    x, y = torch.rand(6, 1, 4, 4), torch.zeros(6, dtype=torch.long)
    assert set(without_gradient(linear(), x, y).values()) == {Rate(0, 6)}

    def steps(images):
        return linear()(images).detach()

    class Steps(nn.Module):
        def forward(self, images):
            return steps(images)

    assert set(without_gradient(Steps(), x, y).values()) == {Rate(6, 6)}


def test_noise_finds_what_is_everywhere_and_nothing_of_a_constant():
    class Random(nn.Module):
        def forward(self, images):
            values = images.flatten(1).sum(dim=1, keepdim=True) * 1e4
            return torch.cat([values.sin(), -values.sin()], dim=1)

    x = torch.full((8, 1, 4, 4), 0.5)
    y = Random()(x).argmax(dim=1)
    model = ThreatModel("Linf", 0.1)
    assert found_by_noise(Standard(Random()), model, x, y, 50, 0) == Rate(8, 8)
    labels = linear()(x).argmax(dim=1)
    assert found_by_noise(Standard(linear()), ThreatModel("Linf", 0.0), x, labels, 5, 0).hits == 0


def test_what_is_asked_for(monkeypatch):
    monkeypatch.delenv("ROBUST_EVIDENCE", raising=False)
    assert level_of(None) == "quick"
    assert level_of("none") == "none"
    monkeypatch.setenv("ROBUST_EVIDENCE", "full")
    assert (level_of(None), level_of("none")) == ("full", "none")
    monkeypatch.setenv("ROBUST_EVIDENCE", "much")
    with pytest.raises(ConfigError, match="ROBUST_EVIDENCE to be one of quick, full, none"):
        level_of(None)
