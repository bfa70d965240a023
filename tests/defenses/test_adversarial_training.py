"""Adversarial training: what it minimizes, on the network itself and on a fixed source."""

import re

import pytest
import torch
import torch.nn.functional as F
import torchattacks
from torch import nn

from robust.attacks import FGSM, PGD
from robust.commands.train import train
from robust.defenses import AdversarialTraining, VirtualAdversarialImages
from robust.defenses.crafting import AdversarialCache
from robust.errors import ConfigError
from robust.loading.restore import restore
from robust.types import Batch
from tests.support.digits import accuracies, trained, undefended
from tests.support.tiny import TinyNetwork, arguments


def linear():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


def images(n=6):
    return torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(1)), torch.arange(n) % 3


def fgsm(eps=0.1):
    return lambda view: FGSM(view, eps)


def checkpoint(network, path):
    torch.save({"state_dict": {f"network.{k}": v for k, v in network.state_dict().items()}}, path)
    return str(path)


def stepped(network, x, y, eps):
    """FGSM on a linear softmax by hand: the gradient is W^T (p - one-hot)."""
    error = network(x).softmax(dim=1) - F.one_hot(y, 3)
    return (x + eps * (error @ network[1].weight).sign().view_as(x)).clamp(0, 1).detach()


class TestOnTheNetworkItself:
    @pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
    def test_the_loss_by_hand(self, share):
        (x, y), network = images(), linear()
        model = AdversarialTraining(network, attack=fgsm(), clean_share=share)
        expected = share * F.cross_entropy(network(x), y)
        expected += (1 - share) * F.cross_entropy(network(stepped(network, x, y, 0.1)), y)
        torch.testing.assert_close(model.training_loss(x, y), expected)

    def test_the_gradient_is_that_of_fixed_images(self):
        """The images follow from the weights, but no gradient flows that way."""
        (x, y), network = images(), linear()
        AdversarialTraining(network, attack=fgsm(), clean_share=0.0).training_loss(x, y).backward()
        x_adv = stepped(network, x, y, 0.1)
        error = (network(x_adv).softmax(dim=1) - F.one_hot(y, 3)).detach() / len(x)
        torch.testing.assert_close(network[1].weight.grad, error.T @ x_adv.flatten(1))

    def test_images_are_within_eps(self):
        x, y = images(200)
        x_adv = AdversarialTraining(linear()).adversarial(x, y)
        assert (x_adv - x).abs().max() <= 0.3 + 1e-6
        assert x_adv.min() >= 0
        assert x_adv.max() <= 1

    def test_through_a_transform_the_gradient_is_let_straight(self):
        class Halve(nn.Module):
            def forward(self, x):
                return (x > 0.5).float()

        (x, y), network = images(), linear()
        model = AdversarialTraining(network, attack=fgsm(), transform=Halve())
        error = network(Halve()(x)).softmax(dim=1) - F.one_hot(y, 3)
        expected = (x + 0.1 * (error @ network[1].weight).sign().view_as(x)).clamp(0, 1)
        torch.testing.assert_close(model.adversarial(x, y), expected)

    def test_any_attack_will_do(self):
        x, y = images()
        model = AdversarialTraining(linear(), attack=lambda view: torchattacks.PGD(view, eps=0.1))
        assert torch.isfinite(model.training_loss(x, y))

    def test_it_makes_networks_robust(self):
        model = trained(AdversarialTraining, attack=lambda view: PGD(view, 0.1, steps=3))
        clean, robust = accuracies(model)
        assert clean > 0.75
        assert robust > undefended()[1] + 0.1


class TestOnASource:
    def model(self, tmp_path, **settings):
        """Return a defense of another network than its source, and the source."""
        source = linear()
        with torch.no_grad():
            source[1].weight.neg_()
        path = checkpoint(source, tmp_path / "source.ckpt")
        model = AdversarialTraining(linear(), source=path, **{"attack": fgsm(), **settings})
        model.on_fit_start()
        return model, source

    def test_the_loss_by_hand(self, tmp_path):
        """The attack takes the source's predictions for labels, the training the true ones."""
        (x, y), (model, source) = images(), self.model(tmp_path)
        x_adv = stepped(source, x, source(x).argmax(dim=1), 0.1)
        network = model.network
        expected = F.cross_entropy(network(x), y) / 2 + F.cross_entropy(network(x_adv), y) / 2
        torch.testing.assert_close(model.training_loss(x, y), expected)

    def test_the_images_are_the_same_in_every_epoch(self, tmp_path, monkeypatch):
        x, y = images()
        model, _ = self.model(tmp_path, attack=VirtualAdversarialImages)
        made = model.adversarial(x, y)
        with torch.no_grad():
            model.network[1].weight.zero_()
        monkeypatch.setattr(AdversarialTraining, "current_epoch", property(lambda self: 3))
        assert torch.equal(model.adversarial(x, y), made)
        assert not torch.equal(made, x)

    def test_an_image_is_made_once(self, tmp_path):
        """It is kept for any order and company; where it has changed, it is crafted again."""
        seen, (x, y) = [], images()

        class Recorded(FGSM):
            def forward(self, inputs, labels):
                seen.append(len(inputs))
                return super().forward(inputs, labels)

        model, source = self.model(tmp_path, attack=lambda view: Recorded(view, 0.1))
        fresh = stepped(source, x, source(x).argmax(dim=1), 0.1)

        def made(places, of=x):
            model.on_train_batch_start(Batch(of[places], y[places], places), 0)
            return model.adversarial(of[places], y[places])

        torch.testing.assert_close(made(torch.tensor([0, 1, 2])), fresh[:3])
        torch.testing.assert_close(made(torch.tensor([4, 2, 3, 0])), fresh[[4, 2, 3, 0]])
        torch.testing.assert_close(made(torch.tensor([1, 4])), fresh[[1, 4]])
        assert seen == [3, 2]
        brighter = x + 1e-6
        again = stepped(source, brighter, source(brighter).argmax(dim=1), 0.1)
        torch.testing.assert_close(made(torch.tensor([0, 1]), brighter), again[:2])
        assert seen == [3, 2, 2]

    def test_what_does_not_fit_is_crafted_again(self):
        calls, (x, _) = [], images(3)
        kept = AdversarialCache(
            lambda x, index: (calls.append(index.tolist()), x / 2)[1], x[0].nbytes
        )
        for _ in range(2):
            assert torch.equal(kept(x, torch.arange(3)), x / 2)
        assert calls == [[0, 1, 2], [1, 2]]

    def test_the_source_is_not_trained(self, tmp_path):
        (x, y), (model, source) = images(), self.model(tmp_path)
        optimizer = model.train().configure_optimizers()
        model.training_loss(x, y).backward()
        optimizer.step()
        assert all(p.grad is None for p in model.source.parameters())
        torch.testing.assert_close(model.source.state_dict(), source.state_dict())
        assert not torch.equal(model.network[1].weight, linear()[1].weight)

    def test_one_of_another_architecture_is_refused(self, tmp_path):
        path = checkpoint(nn.Linear(2, 2), tmp_path / "x.ckpt")
        model = AdversarialTraining(linear(), source=path)
        with pytest.raises(ConfigError, match=r"Expected the source .* to be a Sequential"):
            model.on_fit_start()

    def test_it_is_needed_once(self, npz, suite, tmp_path, quiet, capsys):
        """A run goes on, and its checkpoint is attacked, when the file is gone."""
        path = tmp_path / "source.ckpt"
        args = arguments(npz, tmp_path / "runs", suite, "AdversarialTraining", epochs=2)
        args += ["--model.attack=robust.attacks.FGSM", f"--model.source={path}"]
        args += ["--evaluation.attacks=null"]
        assert train([*args, "--run.id=none"]) == 2
        message = f"error: Expected a checkpoint at {re.escape(str(path))}, but there is no such"
        assert re.search(message, capsys.readouterr().err)
        checkpoint(TinyNetwork(), path)
        assert train([*args, "--run.id=a", "--trainer.max_epochs=1"]) == 0
        path.unlink()
        last = tmp_path / "runs" / "adversarialtraining" / "a" / "checkpoints" / "last.ckpt"
        assert train([*args, f"--ckpt_path={last}"]) == 0
        assert torch.load(last, weights_only=True)["epoch"] == 1
        defense = restore(last).defense
        assert defense.has_source
        assert defense(torch.rand(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clean_share": 1.0}, r"`clean_share` to be in \[0, 1\), but got 1"),
        ({"clean_share": -0.1}, "`clean_share` to be in"),
        ({"attack": lambda view: PGD(view, eps=-0.1)}, "`eps` to be non-negative"),
    ],
)
def test_bad_arguments(settings, message):
    with pytest.raises(ConfigError, match=message):
        AdversarialTraining(linear(), **settings)
