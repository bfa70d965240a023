"""AttackEvaluation inside `trainer.test`: protocol, isolation, resuming, violations."""

import pytest
import torchattacks
from lightning.pytorch import Trainer
from torchattacks.attack import Attack as TorchAttack

from robust.attacks import FGSM, PGD, ReleasedFGSM
from robust.data import ImageDataModule
from robust.defenses import Squeezed, Standard
from robust.errors import ConfigError
from robust.evaluation import AttackEvaluation
from robust.evaluation.suite import Source, Suite
from robust.results.metrics import Rate, clean_accuracy
from robust.results.records import read_evaluation
from robust.threat import ThreatModel, ThreatModelViolation
from tests.support.factories import EPS, evaluate, linear
from tests.support.tiny import Plain


def test_every_sample_has_a_row_for_every_view_and_attack(data, tmp_path):
    result, _ = evaluate(data, tmp_path, Plain(linear()))
    assert result.views == ["deployed", "adaptive"]
    for view in result.views:
        assert [row.index for row in result.select(view, "pgd")] == list(range(24))
    x, y, _ = data.test_samples(0, 24)
    expected = (linear()(x).argmax(dim=1) == y).sum().item()
    assert clean_accuracy(result.select("deployed", "pgd")) == Rate(expected, 24)
    assert all(row.forwards == 2 for row in result.rows if row.attacked)


def test_only_correct_samples_of_other_classes_are_attacked(data, tmp_path):
    wrong = linear()
    wrong[1].bias.data[0] = 1.5
    arguments = {"targets": {"pgd": 2}, "limit": None}
    result, _ = evaluate(data, tmp_path, Standard(wrong), **arguments)
    rows = result.select("deployed", "pgd")
    left_out = [row for row in rows if not row.attacked]
    assert {row.clean_pred != row.label or row.label == 2 for row in left_out} == {True}
    assert any(row.label == 2 for row in left_out)
    assert any(row.clean_pred != row.label for row in left_out)
    assert all(row.adv_pred == row.clean_pred and row.linf == 0 for row in left_out)
    assert {row.target for row in rows} == {2}


def test_no_targeted_success_without_a_budget(data, tmp_path):
    arguments = {
        "attacks": {"pgd": lambda m: PGD(m, 0.0, steps=2)},
        "threat_model": ThreatModel("Linf", 0.0),
        "targets": {"pgd": 1},
    }
    result, _ = evaluate(data, tmp_path, **arguments)
    info = result.header.attacks["pgd"]
    assert not info.misclassified_within_eps(result.rows).any()


def test_the_limit_counts_samples_and_what_is_on_record_is_not_attacked_again(data, tmp_path):
    calls = []

    class Spy(torchattacks.FGSM):
        def forward(self, images, labels):
            calls.append(len(images))
            return super().forward(images, labels)

    arguments = {"attacks": {"fgsm": lambda m: Spy(m, eps=EPS)}, "views": ["deployed"]}
    first, _ = evaluate(data, tmp_path, limit=14, **arguments)
    assert (len(first.rows), sum(calls)) == (14, sum(row.attacked for row in first.rows))
    calls.clear()
    again, _ = evaluate(data, tmp_path, limit=14, **arguments)
    assert (again.rows, calls) == (first.rows, [])
    more, _ = evaluate(data, tmp_path, limit=24, **arguments)
    assert more.rows[:14] == first.rows
    assert sum(calls) == sum(row.attacked for row in more.rows[14:])
    fewer, _ = evaluate(data, tmp_path, limit=5, **arguments)
    assert fewer.rows == first.rows[:5]


def test_an_argument_of_several_numbers_is_on_record_and_another_is_another_attack(data, tmp_path):
    def evaluated(mean):
        attack = {"cut": lambda m: ReleasedFGSM(m, 0.1, mean=(mean,), std=(0.2,))}
        wide = {"attacks": attack, "threat_model": ThreatModel("Linf", 1.0), "views": ["deployed"]}
        result, _ = evaluate(data, tmp_path, limit=6, **wide)
        return result

    first, again, other = evaluated(0.4), evaluated(0.4), evaluated(0.1)
    assert first.header.attacks["cut"].arguments["mean"] == [0.4]
    assert (again.header, again.rows) == (first.header, first.rows)
    assert other.header.attacks["cut"].arguments["mean"] == [0.1]
    assert len(list(tmp_path.rglob("*.json"))) == 2


class OfList(FGSM):
    """FGSM with one more argument, which may be a list or null."""

    def __init__(self, model, eps=0.1, classes=None):
        super().__init__(model, eps)
        self.classes = classes


@pytest.mark.parametrize("value", [None, [], [1, 2], ["a"]])
def test_an_argument_that_is_a_list_or_null_is_on_record(value):
    attacks = {"own": lambda m: OfList(m, 0.1, value)}
    suite = Suite("s", attacks, ThreatModel("Linf", 0.1))
    assert suite.infos["own"].arguments["classes"] == value
    assert "supported_mode" not in suite.infos["own"].arguments


def test_an_interrupted_evaluation_goes_on(data, tmp_path):
    blocks = {"left": 2}

    class Dies(torchattacks.FGSM):
        def forward(self, images, labels):
            blocks["left"] -= 1
            if blocks["left"] < 0:
                raise KeyboardInterrupt
            return super().forward(images, labels)

    arguments = {"attacks": {"fgsm": lambda m: Dies(m, eps=EPS)}, "views": ["deployed"]}
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        evaluate(data, tmp_path, **arguments)
    blocks["left"] = 2
    result, _ = evaluate(data, tmp_path, **arguments)
    # Two blocks of seven were on record, two more were left: all 24 samples are there.
    assert [row.index for row in result.rows] == list(range(24))


def test_what_is_on_record_of_another_view_counts_only_where_it_is_complete(data, tmp_path):
    evaluate(data, tmp_path, Squeezed(linear()), limit=14)
    part, _ = evaluate(data, tmp_path, Squeezed(linear()), views=["deployed"])
    assert (part.views, len(part.rows)) == (["deployed"], 24)
    complete, _ = evaluate(data, tmp_path, Squeezed(linear()), views=["deployed"], limit=14)
    assert (complete.views, len(complete.rows)) == (["deployed", "adaptive"], 28)


def test_records_that_vanish_meanwhile_are_missed(data, tmp_path):
    class Vandal(torchattacks.FGSM):
        def forward(self, images, labels):
            for path in (tmp_path / "records").glob("*.part0.csv"):
                path.write_text("")
            return super().forward(images, labels)

    with pytest.raises(ConfigError, match="of fgsm through the deployed view, but got 0"):
        evaluate(data, tmp_path, attacks={"fgsm": lambda m: Vandal(m, eps=EPS)})


def test_scores_that_are_no_numbers_are_refused(data, tmp_path):
    network = linear()
    network[1].weight.data[0] = float("nan")
    with pytest.raises(ConfigError, match=r"of 7 clean images 7 got NaN\. The training has"):
        evaluate(data, tmp_path, Standard(network))


def test_results_do_not_depend_on_the_test_batches(data, tmp_path):
    def outcome(eval_batch_size, folder):
        module = ImageDataModule(str(tmp_path / "tiny.npz"), eval_batch_size=eval_batch_size)
        attacks = {
            "pgd": lambda m: PGD(m, EPS, alpha=0.01, steps=1),
            "square": lambda m: torchattacks.Square(m, eps=EPS, n_queries=20),
        }
        result, _ = evaluate(module, tmp_path, attacks=attacks, records=str(tmp_path / folder))
        return [row._replace(seconds=0.0) for row in result.rows]

    assert outcome(3, "a") == outcome(24, "b")


def test_views_that_are_one_module_are_attacked_once(data, tmp_path):
    calls = []

    class Spy(torchattacks.FGSM):
        def forward(self, images, labels):
            calls.append(len(images))
            return super().forward(images, labels)

    arguments = {"attacks": {"fgsm": lambda m: Spy(m, eps=EPS)}, "block": 24}
    plain, _ = evaluate(data, tmp_path, Plain(linear()), **arguments)
    assert len(calls) == 1
    strip = [[r._replace(view="") for r in plain.select(v, "fgsm")] for v in plain.views]
    assert strip[0] == strip[1]
    calls.clear()
    evaluate(data, tmp_path, Squeezed(linear()), **arguments)
    assert len(calls) == 2


def test_masking_shows_in_the_records(data, tmp_path):
    network = linear()
    network[1].weight.data *= 500
    network[1].bias.data -= 1.7 * 500
    result, trainer = evaluate(data, tmp_path, Squeezed(network, temperature=500.0))
    assert all(row.zero_gradient for row in result.select("deployed", "pgd"))
    assert not any(row.zero_gradient for row in result.select("adaptive", "pgd"))
    info = result.header.attacks["pgd"]
    misclassified = {
        v: info.misclassified_within_eps(result.select(v, "pgd")).sum() for v in result.views
    }
    assert misclassified["adaptive"] > misclassified["deployed"]
    metrics = trainer.callback_metrics
    assert metrics["test/zero_gradient/deployed"] == 1
    assert metrics["test/worst_robust_acc/adaptive"] == pytest.approx(
        1 - misclassified["adaptive"] / 24, abs=1e-6
    )


def test_the_records_on_disk_are_the_result(data, tmp_path):
    result, _ = evaluate(data, tmp_path)
    (path,) = (tmp_path / "records").glob("*.csv")
    back = read_evaluation(path)
    assert (back.header, back.rows) == (result.header, result.rows)


def test_transfer_crafts_on_another_network(data, tmp_path):
    source = linear()
    source[1].weight.data = -source[1].weight.data
    suite = Suite(
        "test",
        {"pgd": lambda m: PGD(m, EPS, steps=2)},
        ThreatModel("Linf", EPS),
        source=Source(Standard(source)),
    )
    callback = AttackEvaluation(suite, records=str(tmp_path / "records"))
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=[callback],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        inference_mode=False,
    )
    trainer.test(Standard(linear()), datamodule=data, verbose=False)
    result = callback.evaluated
    assert result.views == ["transfer"]
    assert result.header.source_view == "adaptive"
    # The source's gradient points the other way: it makes the deployed network surer.
    assert not result.header.attacks["pgd"].misclassified_within_eps(result.rows).any()
    own, _ = evaluate(data, tmp_path)
    assert own.header.fingerprint != result.header.fingerprint
    assert own.header.attacks["pgd"].misclassified_within_eps(own.rows).any()


class Cheat(TorchAttack):
    """Returns what it is told to, whatever its eps says."""

    def __init__(self, model, change):
        super().__init__("Cheat", model)
        self.eps = EPS
        self.change = change

    def forward(self, images, labels):
        return self.change(images)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: (x + 0.5).clamp(0, 1), "Attack `cheat` left the threat model"),
        (lambda x: x * float("nan"), "Attack `cheat` returned NaN"),
        (lambda x: x + 1, r"Attack `cheat` left the box"),
    ],
)
def test_a_violation_raises_and_names_the_attack(data, tmp_path, change, message):
    with pytest.raises(ThreatModelViolation, match=message):
        evaluate(data, tmp_path, attacks={"cheat": lambda m: Cheat(m, change)})


def test_a_minimal_attack_succeeds_only_within_eps(data, tmp_path):
    class Far(TorchAttack):
        def __init__(self, model):
            super().__init__("Far", model)

        def forward(self, images, labels):
            return 1 - images

    result, _ = evaluate(data, tmp_path, attacks={"far": lambda m: Far(m)})
    info = result.header.attacks["far"]
    assert info.minimal
    assert any(row.adv_pred != row.label for row in result.rows if row.attacked)
    assert not info.misclassified_within_eps(result.rows).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attacks": {"a": lambda m: PGD(m, 0.1)}}, "`a` to have the eps of its threat model, 0.3"),
        (
            {"attacks": {"a": lambda m: PGD(m, -0.1)}},
            "Attack `a`: Expected `eps` to be non-neg",
        ),
        (
            {"attacks": {"a": lambda m: torchattacks.FGSM(m, eps="abc")}},
            "`eps` of attack `a` to be a number, but got 'abc'",
        ),
        (
            {"attacks": {"a": lambda m: torchattacks.BIM(m, eps=EPS, alpha=-1)}},
            "`alpha` of attack `a` to be non-negative",
        ),
        (
            {"attacks": {"a": lambda m: PGD(m, EPS, norm="L2")}},
            "`a` to bound Linf as its threat model does, but PGD bounds L2",
        ),
        (
            {"attacks": {"a": lambda m: torchattacks.PGDL2(m, eps=EPS)}},
            "`a` to bound Linf as its threat model does, but PGDL2 bounds L2",
        ),
        (
            {"attacks": {"a": lambda m: torchattacks.APGD(m, eps=EPS)}, "targets": {"a": 1}},
            "`a` to have a targeted mode",
        ),
        ({"targets": {"pgdd": 1}}, "keys of `targets` to be attacks of the suite"),
        ({"threat_models": {"x": ThreatModel()}}, "keys of `threat_models`"),
        (
            {
                "attacks": {"a": lambda m: PGD(m, float("inf"))},
                "threat_model": ThreatModel("Linf", float("inf")),
            },
            "`eps` of attack `a` to be finite, but got inf. Only attacks without an `eps`",
        ),
        (
            {"threat_model": ThreatModel("Linf", float("inf"))},
            "`pgd` to have the eps of its threat model, inf, but got 0.3",
        ),
        ({"targets": {"pgd": 3}}, "target of attack `pgd` to be one of the 3 classes"),
        ({"limit": 0}, "`limit` to be at least 1"),
        ({"block": 0}, "`block` to be at least 1"),
    ],
)
def test_a_suite_that_does_not_hold_together_is_refused(data, tmp_path, arguments, message):
    with pytest.raises(ConfigError, match=message):
        evaluate(data, tmp_path, **arguments)


def test_attacks_may_have_threat_models_of_their_own(data, tmp_path):
    attacks = {
        "linf": lambda m: PGD(m, EPS, steps=2),
        "l2": lambda m: PGD(m, 0.6, steps=2, norm="L2"),
    }
    models = {"l2": ThreatModel("L2", 0.6)}
    result, _ = evaluate(data, tmp_path, attacks=attacks, threat_models=models)
    l2 = result.select("deployed", "l2")
    assert max(row.l2 for row in l2) == pytest.approx(0.6, abs=1e-5)
    assert max(row.linf for row in result.select("deployed", "linf")) == pytest.approx(EPS)
