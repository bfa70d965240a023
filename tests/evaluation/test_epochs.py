"""The worst case on validation images while a network is trained."""

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import nn

from robust.attacks import DDN, PGD, craft, sample_seeds
from robust.commands.train import train
from robust.data import ImageDataModule
from robust.defenses import Squeezed, Standard
from robust.errors import ConfigError
from robust.evaluation import AttackEvaluation
from robust.evaluation.blocks import seed_of
from robust.evaluation.flat import evaluation_of
from robust.loading.restore import restore
from robust.measures.measurements import Certification
from robust.measures.robustness import measure_robustness
from robust.results.metrics import Rate
from robust.threat import ThreatModel
from tests.support.cluster import two_processes
from tests.support.factories import EPS
from tests.support.ranks import read
from tests.support.tiny import arguments

KEY = "val/worst_robust_acc/adaptive"
ATTACKS = {
    "pgd": lambda m: PGD(m, EPS, steps=2),
    "ddn": lambda m: DDN(m, steps=5),
}
L2 = {"ddn": ThreatModel("L2", 0.5)}


class Seen(Callback):
    """What every validation left among the metrics, by epoch."""

    def __init__(self):
        self.metrics = []

    def on_validation_end(self, trainer, pl_module):
        if not trainer.sanity_checking:
            metrics = {key: float(value) for key, value in trainer.callback_metrics.items()}
            self.metrics.append({"epoch": trainer.current_epoch, **metrics})


def network(dropout=0.0):
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(16, 16), nn.BatchNorm1d(16), nn.Dropout(dropout), nn.Linear(16, 3)
    )


def fit(tmp_path, data, defense=None, epochs=4, trainer=None, **arguments):
    defaults = {"suite": "t", "attacks": ATTACKS, "threat_models": L2, "every_n_epochs": 1}
    evaluation = evaluation_of(
        **{"threat_model": ThreatModel("Linf", EPS), **defaults, **arguments}
    )
    seen = Seen()
    made = Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=[evaluation, seen],
        max_epochs=epochs,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        use_distributed_sampler=False,
        default_root_dir=tmp_path,
        **trainer or {},
    )
    defense = Standard(network()) if defense is None else defense
    torch.manual_seed(5)
    made.fit(defense, datamodule=data)
    return defense, made, seen.metrics


@pytest.fixture
def data(data):
    return ImageDataModule(data.dataset, batch_size=8, val_fraction=0.5)


def worst_case(defense, view, data, limit):
    """By the definition: an image counts if it is correct before and after every attack.

    With the random starts of the protocol, which belong to the attack and the image.
    """
    defense.eval()
    x, y, index = data.val_samples(limit)
    module = defense.view(view)
    judge = None if module is defense else defense
    held = defense(x).argmax(dim=1) == y
    assert held.any()
    for name, attack in ATTACKS.items():
        seeds = sample_seeds(seed_of(0, name), index)
        x_adv = craft(attack, module, x, y, sample_seeds=seeds, judge=judge).x_adv
        near = L2.get(name, ThreatModel("Linf", EPS))
        within = near.distance(x, x_adv) <= near.limit
        held &= (defense(x_adv).argmax(dim=1) == y) | ~within
    return Rate(int(held.sum()), len(y))


def test_validation_samples_are_the_first_held_out_ones(data):
    (loaded,) = data.val_dataloader()
    every = data.on_after_batch_transfer(loaded, 0)
    for limit in (5, 10**6):
        some = data.val_samples(limit)
        assert len(some.y) == min(limit, len(every.y))
        for part, other in zip(some, every, strict=True):
            torch.testing.assert_close(part, other[:limit], rtol=0, atol=0)


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("views", [["deployed", "adaptive"], ["deployed"], ["published"]])
@pytest.mark.parametrize("block", [250, 3])
def test_it_is_the_worst_case_of_the_network_as_it_is(data, tmp_path, views, block):
    defense, _, seen = fit(
        tmp_path, data, Squeezed(network(), temperature=5.0), views=views, val_limit=10, block=block
    )
    view = "adaptive" if "adaptive" in views else "deployed"
    key = f"val/worst_robust_acc/{view}"
    expected = worst_case(defense, view, data, 10)
    assert 0 < expected.hits < 10
    assert seen[-1][key] == pytest.approx(expected.value)
    assert (seen[-1][f"{key}_low"], seen[-1][f"{key}_high"]) == pytest.approx(expected.interval)
    assert [metrics["epoch"] for metrics in seen if key in metrics] == [0, 1, 2, 3]
    assert not any(tmp_path.rglob("records"))


@pytest.mark.parametrize(("every", "epochs"), [(0, []), (1, [0, 1, 2, 3, 4]), (2, [1, 3, 4])])
def test_after_every_so_many_epochs_and_the_last(data, tmp_path, every, epochs, monkeypatch):
    attacked = []
    made = AttackEvaluation._worst_case

    def spy(self, trainer, *rest):
        attacked.append(trainer.current_epoch)
        return made(self, trainer, *rest)

    monkeypatch.setattr(AttackEvaluation, "_worst_case", spy)
    fit(tmp_path, data, epochs=5, every_n_epochs=every)
    assert attacked == epochs


def test_a_training_is_the_same_with_and_without_it(data, tmp_path):
    """Bit for bit, with random starts, dropout, batch statistics and validation twice an epoch."""

    class RandomStreams(nn.Module):
        def forward(self, x):
            return x + 0.01 * torch.randn_like(x)

    results = []
    for every in (0, 1):
        defense = Standard(nn.Sequential(RandomStreams(), network(dropout=0.5)))
        settings = {"val_check_interval": 0.5}
        attacks = {"pgd": lambda m: PGD(m, EPS, steps=2, restarts=2)}
        defense, trainer, seen = fit(
            tmp_path,
            data,
            defense,
            trainer=settings,
            every_n_epochs=every,
            attacks=attacks,
            threat_models={},
        )
        states = [torch.get_rng_state(), [module.training for module in defense.modules()]]
        optimizer = trainer.optimizers[0].state_dict()["state"]
        results.append((defense.state_dict(), optimizer, states, seen))
    (weights, moments, (rng, modes), _), (other, others, (rng_2, modes_2), seen) = results
    assert len(seen) == 8
    assert all(KEY in metrics for metrics in seen)
    torch.testing.assert_close(weights, other, rtol=0, atol=0)
    torch.testing.assert_close(moments, others, rtol=0, atol=0)
    assert torch.equal(rng, rng_2)
    assert modes == modes_2


def test_validate_measures_whatever_the_epoch(data, tmp_path):
    defense, trainer, seen = fit(tmp_path, data, epochs=1, every_n_epochs=3)
    (validated,) = trainer.validate(defense, datamodule=data, verbose=False)
    assert validated[KEY] == seen[-1][KEY]


@pytest.mark.parametrize(
    ("fraction", "settings"), [(0.0, {}), (0.5, {"limit_val_batches": 0})], ids=["none", "unused"]
)
def test_without_validation_images_it_fails_before_the_training(data, tmp_path, fraction, settings):
    data.val_fraction = fraction
    defense = Standard(network())
    before = {key: value.clone() for key, value in defense.state_dict().items()}
    with pytest.raises(
        ConfigError, match=r"Expected validation images .* `data\.init_args\.val_fr"
    ):
        fit(tmp_path, data, defense, trainer=settings)
    torch.testing.assert_close(defense.state_dict(), before, rtol=0, atol=0)
    fit(tmp_path, data, defense, trainer=settings, every_n_epochs=0, epochs=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"every_n_epochs": -1}, "`every_n_epochs` to be at least 0, but got -1"),
        ({"val_limit": 0}, "`val_limit` to be at least 1, but got 0"),
        ({"every_n_epochs": 1, "attacks": None}, "Expected attacks to run every so many epochs"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ConfigError, match=message):
        evaluation_of(**{"attacks": None, **arguments})


@pytest.fixture
def weak(tmp_path):
    """A suite that leaves some of the images."""
    path = tmp_path / "weak.yaml"
    path.write_text(
        "suite: weak\nthreat_model: {norm: Linf, eps: 0.1}\nattacks:\n"
        "  pgd: {class_path: robust.attacks.PGD, init_args: {eps: 0.1, steps: 3}}\n"
    )
    return path


def options(folder):
    return [
        "--model.optimizer=torch.optim.Adam",
        "--model.optimizer.lr=0.01",
        "--evaluation.every_n_epochs=1",
        "--evaluation.val_limit=20",
        "--data.val_fraction=0.5",
        f"--trainer.callbacks=[{{class_path: tests.support.ranks.PerRank, "
        f"init_args: {{folder: {folder}}}}}]",
    ]


@pytest.mark.usefixtures("quiet")
def test_a_resumed_run_logs_what_an_uninterrupted_one_does(npz, weak, tmp_path):
    def logged(name, *more, epochs):
        args = arguments(npz, tmp_path / "runs", weak, "Standard", epochs=epochs)
        args.append("--evaluation.limit=1")  # of the test
        assert train([*args, *options(tmp_path / name), f"--run.id={name}", *more]) == 0
        (metrics,) = read(tmp_path / name)
        return [row[KEY] for row in metrics if KEY in row]

    first = logged("a", epochs=3)
    checkpoint = tmp_path / "runs" / "standard" / "a" / "checkpoints" / "last.ckpt"
    both = logged("a", f"--ckpt_path={checkpoint}", epochs=6)
    straight = logged("b", epochs=6)
    assert both[:3] == first
    assert both == straight
    assert len(straight) == 6
    assert len(set(straight)) > 1


@pytest.mark.usefixtures("quiet")
def test_two_processes_measure_the_same(npz, weak, tmp_path):
    """Every epoch as one process with the same weights, and the measurements of the test too."""
    args = arguments(npz, tmp_path / "runs", weak, "Standard", epochs=4)
    args += [*options(tmp_path / "two"), "--evaluation.block=6", "--evaluation.robustness=true"]
    args += ["--run.id=two"]
    certify = "--trainer.callbacks+=robust.measures.measurements.Certification"
    two_processes(
        [*args, certify, "--trainer.callbacks.sigma=0.2", "--trainer.callbacks.n=50"], tmp_path
    )
    ranks = read(tmp_path / "two")
    assert len(ranks) == 2
    assert ranks[0] == ranks[1]
    *validations, test = ranks[0]
    assert len(validations) == 4
    checkpoint = tmp_path / "runs" / "standard" / "two" / "checkpoints" / "last.ckpt"
    found = restore(checkpoint)
    expected = measure_robustness(found.defense, found.data, 1000)
    key = "test/robustness/adaptive/minimal/accuracy"
    assert test[key] == pytest.approx(expected["adaptive"].minimal.accuracy.value)
    certified = Certification(0.2, n=50).measure(found.defense, found.data)
    assert test["test/certified/radius_0.1"] == pytest.approx(certified.accuracy[0.1].value)
    assert certified.accuracy[0.1].hits
    again = arguments(npz, tmp_path / "runs", weak, "Standard", "validate")
    again += [*options(tmp_path / "one"), "--evaluation.block=6"]
    again += [f"--ckpt_path={checkpoint}", "--run.id=one"]
    assert train(again) == 0
    ((alone,),) = read(tmp_path / "one")
    assert 0 < alone[KEY] < 1
    assert validations[-1][KEY] == alone[KEY]
