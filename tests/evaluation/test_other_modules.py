"""`AttackEvaluation` on modules and loaders of somebody else, in their own Trainer."""

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import robust
from robust.data.arrays import data_of
from robust.errors import ConfigError
from tests.support.bars import Bars, Normalized, bars

MEAN, STD = 0.25, 0.5
X, Y = bars(count=24)
EPS = 0.3
SUITE = robust.Suite("t", {"fgsm": robust.attacks.FGSM}, robust.ThreatModel("Linf", EPS))
pytestmark = [
    pytest.mark.usefixtures("quiet"),
    pytest.mark.filterwarnings("ignore:.*sampler has shuffling enabled"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*`IterableDataset` has `__len__`"),
]


class Theirs(LightningModule):
    """A module as anybody writes it."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.tested = 0

    def forward(self, x):
        return self.network(x)

    def training_step(self, batch, batch_idx):
        return F.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        self.log("val_acc", (self(batch[0]).argmax(dim=1) == batch[1]).float().mean())

    def test_step(self, batch, batch_idx, dataloader_idx=0):
        self.tested += len(batch[0])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y, strict=True))


class TheirData(LightningDataModule):
    def test_dataloader(self):
        return loader()


def loader(x=X, y=Y, **settings):
    return DataLoader(TensorDataset(x, y), batch_size=7, **settings)


def trainer(*callbacks, **settings):
    usual = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "max_epochs": 1}
    return Trainer(**{**usual, **quiet, **settings}, callbacks=list(callbacks))


def attacked(module, data, tmp_path, suite=SUITE, **arguments):
    evaluation = robust.AttackEvaluation(suite, records=str(tmp_path), **arguments)
    numbers = trainer(evaluation).test(module, data, verbose=False)
    return evaluation.evaluated, numbers[0]


def columns(result):
    return {key: result.rows[key].tolist() for key in ("view", "index", "label", "adv_pred")}


def test_their_module_and_loader_give_the_records_of_robust_evaluate(tmp_path):
    module = Theirs(Bars())
    result, numbers = attacked(module, loader(shuffle=True), tmp_path)
    ours = robust.evaluate(Bars().eval(), (X, Y), SUITE, progress=False)
    assert numbers["test/worst_robust_acc/adaptive"] == ours.robust_accuracy("adaptive").value
    assert 0 < numbers["test/worst_robust_acc/adaptive"] < 1
    assert result.rows["adv_pred"].tolist() == ours.evaluation.rows["adv_pred"].tolist()
    assert module.tested == len(Y)
    assert [m.training for m in module.modules()] == [True] * len(list(module.modules()))


@pytest.mark.parametrize(
    "data",
    [
        TheirData(),
        DataLoader(Stream(), batch_size=5),
        loader(num_workers=1),
        data_of(X, Y),
    ],
    ids=["datamodule", "iterable", "workers", "image-data-module"],
)
def test_any_loader_gives_the_same_records(data, tmp_path):
    result, _ = attacked(Theirs(Bars()), data, tmp_path / "a")
    plain, _ = attacked(Theirs(Bars()), loader(), tmp_path / "b")
    assert columns(result) == columns(plain)


def test_normalized_images_are_attacked_as_pixels(tmp_path):
    module = Theirs(Normalized(MEAN, STD))
    normalized = loader((X - MEAN) / STD)
    result, _ = attacked(module, normalized, tmp_path, mean=MEAN, std=STD)
    ours = robust.evaluate(
        Normalized(MEAN, STD).eval(), (X, Y), SUITE, mean=MEAN, std=STD, progress=False
    )
    assert (result.rows["clean_pred"] == result.rows["label"]).all()
    assert columns(result) == columns(ours.evaluation)
    assert result.rows["linf"].max() == pytest.approx(EPS, abs=1e-6)
    with pytest.raises(ConfigError, match=r"\[0, 1\].* gives -0.5 .*AttackEvaluation.suite, mean="):
        attacked(Theirs(Normalized(MEAN, STD)), normalized, tmp_path / "other")


def test_their_outputs_are_found_and_noted(tmp_path):
    module = Theirs(torch.nn.Sequential(Bars(scale=1e4), torch.nn.Softmax(dim=1)))
    result, numbers = attacked(module, loader(), tmp_path)
    assert result.notes[0] == "the network returns probabilities."
    assert "attacks on the deployed view find nothing" in result.notes[1]
    views = [numbers[f"test/worst_robust_acc/{view}"] for view in ("deployed", "adaptive")]
    assert views[0] > views[1]  # probabilities of 0 and 1 have no gradient


def test_validation_logs_the_worst_case_and_changes_nothing(tmp_path):
    module = Theirs(Bars())
    before = [value.clone() for value in module.state_dict().values()]
    evaluation = robust.AttackEvaluation(SUITE, every_n_epochs=1, val_limit=24)
    made = trainer(evaluation, max_epochs=2, num_sanity_val_steps=0)
    made.fit(module, loader(), loader())
    expected = attacked(Theirs(Bars()), loader(), tmp_path)[1]["test/worst_robust_acc/adaptive"]
    assert made.callback_metrics["val/worst_robust_acc/adaptive"] == pytest.approx(expected)
    after = module.state_dict().values()
    assert all(a.equal(b) for a, b in zip(before, after, strict=True))
    assert module.training


@pytest.mark.parametrize(
    ("module", "data", "arguments", "message"),
    [
        (Theirs(Bars()), [loader(), loader()], {}, "one loader of images and labels"),
        (Theirs(Bars()), DataLoader(TensorDataset(X)), {}, r"batches \(x, y\).*got list"),
        (Theirs(Bars()), loader(), {"robustness": True}, "Expected a Defense"),
        (Theirs(Bars()), data_of(X, Y), {"mean": 0.5, "std": 0.5}, "no `mean` and `std`"),
        (Theirs(Bars(size=9)), loader(), {}, "does not take them"),
        (Theirs(Bars(classes=3)), loader(), {}, "has 3 classes"),
    ],
)
def test_what_does_not_fit_is_one_line(module, data, arguments, message, tmp_path):
    with pytest.raises(ConfigError, match=message) as raised:
        attacked(module, data, tmp_path, **arguments)
    assert len(str(raised.value)) <= 300
    assert not list(tmp_path.iterdir())


def test_one_of_mean_and_std_alone_is_refused():
    with pytest.raises(ConfigError, match="both `mean` and `std`"):
        robust.AttackEvaluation(SUITE, mean=0.5)


def test_training_images_of_a_loader_are_refused(tmp_path):
    suite = robust.Suite("t", {"fgsm": robust.attacks.FGSM}, split="train")
    with pytest.raises(ConfigError, match="training"):
        attacked(Theirs(Bars()), loader(), tmp_path, suite)
