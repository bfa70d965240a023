"""A network of codewords under attack: what succeeds, and what the authors' code did not find."""

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from torch import nn

from robust.attacks import PGD, CarliniWagner, DeepFool, craft
from robust.data import ImageDataModule
from robust.defenses import Codewords
from robust.defenses.codewords import AsReleasedView
from tests.support.cases import crossed


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A network of codewords trained on digits for some seconds, and images that it has right."""
    seed_everything(0, verbose=False)
    data = ImageDataModule("digits", batch_size=32)
    model = Codewords(
        lambda length: nn.Sequential(
            nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, length)
        ),
        length=32,
    )
    trainer = Trainer(
        max_epochs=4,
        accelerator="cpu",
        logger=False,
        limit_val_batches=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(model, datamodule=data)
    model.eval()
    x, y, _ = data.test_samples(0, data.test_size)
    return model, x, y


def test_learns_digits(digits):
    model, x, y = digits
    assert (model(x).argmax(dim=1) == y).float().mean() > 0.85


class TestAttacks:
    @pytest.fixture
    def right(self, digits):
        model, x, y = digits
        chosen = (model(x).argmax(dim=1) == y).nonzero().squeeze(1)[:60]
        return model, x[chosen], y[chosen]

    def misclassified(self, attack, view, right, target=None):
        """Of each image, whether the defense has lost it, and the image."""
        model, x, y = right
        x_adv = craft(attack, view, x, y, target=target, judge=model).x_adv
        predicted = model(x_adv).argmax(dim=1)
        return (predicted != y if target is None else predicted == target), x_adv

    def test_only_as_released_looks_robust(self, right):
        model = right[0]
        released = AsReleasedView(model.network, model.codebook)
        rates = [
            self.misclassified(lambda m: PGD(m, 0.15), view, right)[0].float().mean()
            for view in (model.adaptive_view(), model.published_view(), released)
        ]
        assert rates[0] > 0.9
        assert rates[1] > 0.8
        assert rates[2] < 0.4

    def test_as_released_a_targeted_attack_is_sound(self, right):
        model, _, y = right
        released = AsReleasedView(model.network, model.codebook)
        target = (y + 1) % 10
        misclassified, _ = self.misclassified(lambda m: PGD(m, 0.15), released, right, target)
        assert misclassified.float().mean() > 0.5

    @pytest.mark.parametrize("attack", [DeepFool, CarliniWagner])
    def test_as_released_minimal_attacks_stop_where_they_start(self, right, attack):
        """The largest output is another than the label's at once: they take that for success."""
        model, x, y = right
        released = AsReleasedView(model.network, model.codebook)
        apart = released(x).argmax(dim=1) != y
        misclassified, x_adv = self.misclassified(attack, released, right)
        assert apart.any()
        assert torch.equal(x_adv[apart], x[apart])
        assert not misclassified[apart].any()

    @pytest.mark.parametrize(
        ("view", "targeted"),
        crossed(["deployed", "adaptive", "published"], [False, True], every=2),
    )
    def test_carlini_and_wagner_on_codewords(self, right, view, targeted):
        model, x, y = right
        target = (y + 1) % 10 if targeted else None
        attack = lambda m: CarliniWagner(m, objective="codeword")  # noqa: E731
        misclassified, x_adv = self.misclassified(attack, model.view(view), right, target)
        assert misclassified.float().mean() > 0.95
        assert (x_adv - x).flatten(1).norm(dim=1).median() < 5
