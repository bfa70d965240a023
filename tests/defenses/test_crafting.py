"""What holds for every defense that attacks images while it trains."""

import copy
import re

import numpy as np
import pytest
import torch
import torchattacks
from torch import nn

from robust.attacks import PGD
from robust.commands.train import train
from robust.defenses import AdversarialTraining, Trades, VirtualAdversarial
from robust.defenses.crafting import frozen, kl_divergence, load_network
from robust.errors import ConfigError
from robust.types import Batch
from tests.support.tiny import arguments

DEFENSES = {
    "AdversarialTraining": lambda network: AdversarialTraining(
        network, attack=lambda view: PGD(view, 0.1, alpha=0.02, steps=3)
    ),
    "Trades": lambda network: Trades(network, eps=0.1, alpha=0.03, steps=3),
    "VirtualAdversarial": VirtualAdversarial,
}
# Of images in one batch and another; `VirtualAdversarial` promises 1e-6 / xi of its eps.
PROMISED = {
    "AdversarialTraining": 1e-5,
    "Trades": 1e-5,
    "VirtualAdversarial": 1e-6 / 0.01 * 2.1,
}


def network():
    """All that has two modes, and a curve."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(), nn.Linear(8, 3)
    )


def batch(n=12):
    torch.manual_seed(1)
    return Batch(torch.rand(n, 1, 4, 4), torch.arange(n) % 3, 100 + torch.randperm(n))


class Recorder(nn.Module):
    """Keeps what passes through."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.seen = []

    def forward(self, x):
        if self.training:  # images that are trained on, not attacked
            self.seen.append(x.detach().clone())
        return self.network(x)


def trained_on(defense, part, *, step=None):
    """The images that a training step passes through the network, as one tensor."""
    recorder = Recorder(network().to(part.x))
    model = DEFENSES[defense](recorder).train()
    model.on_train_batch_start(part, 0)
    model.training_loss(part.x, part.y)
    model.on_train_batch_end(None, part, 0)
    images = torch.cat(recorder.seen)
    assert len(images) == 2 * len(part.x)
    clean, made = images.chunk(2)
    assert torch.equal(clean, part.x) or torch.equal(made, part.x)
    return made if torch.equal(clean, part.x) else clean


def crafted(model, part):
    if isinstance(model, VirtualAdversarial):
        return model.virtual(part.x, part.y)
    return model.adversarial(part.x, part.y)


@pytest.mark.parametrize("defense", DEFENSES)
class TestEveryCraftingDefense:
    def test_images_do_not_depend_on_who_shares_the_batch(self, defense):
        """Two ranks, each with every second image of what one process has.

        In float64, where only the random numbers are rounded to float32: by an ulp or two.
        """
        full = batch()
        full = full._replace(x=full.x.double())
        made = trained_on(defense, full)
        assert (made != full.x).flatten(1).any(dim=1).all()
        for rank in (0, 1):
            part = Batch(*(column[rank::2] for column in full))
            torch.testing.assert_close(trained_on(defense, part), made[rank::2], rtol=0, atol=1e-6)

    @pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
    def test_in_float32_they_agree_as_far_as_is_promised(self, defense, device):
        full = Batch(*(column.to(device) for column in batch()))
        made = trained_on(defense, full)
        for rank in (0, 1):
            part = Batch(*(column[rank::2] for column in full))
            torch.testing.assert_close(
                trained_on(defense, part), made[rank::2], rtol=0, atol=PROMISED[defense]
            )

    def test_images_are_reproducible_and_differ_from_seed_to_seed(self, defense, monkeypatch):
        first = trained_on(defense, batch())
        torch.rand(5)  # the state does not matter
        assert torch.equal(trained_on(defense, batch()), first)
        monkeypatch.setattr(torch, "initial_seed", lambda: 2**64 - 1)
        assert not torch.equal(trained_on(defense, batch()), first)

    def test_images_differ_from_epoch_to_epoch(self, defense, monkeypatch):
        first = trained_on(defense, batch())
        kind = type(DEFENSES[defense](network()))
        monkeypatch.setattr(kind, "current_epoch", property(lambda self: 1))
        assert not torch.equal(trained_on(defense, batch()), first)

    def test_crafting_leaves_the_training_as_it_was(self, defense):
        """The same gradients, statistics and random numbers as with images made beforehand."""
        part = batch()
        model = DEFENSES[defense](network()).train()
        model.network[1].eval()
        model.network[5].weight.requires_grad_(False)
        held = torch.ones_like(model.network[1].weight)
        model.network[1].weight.grad = held
        state = copy.deepcopy(model.state_dict())
        states = torch.get_rng_state(), np.random.get_state()[1].copy()
        assert not crafted(model, part).requires_grad
        assert torch.equal(torch.get_rng_state(), states[0])
        assert (np.random.get_state()[1] == states[1]).all()
        assert [m.training for m in model.network] == [True, False, True, True, True, True]
        assert model.network[1].weight.grad is held
        assert model.network[1].bias.grad is None
        assert [p.requires_grad for p in model.network.parameters()] == [True] * 4 + [False, True]
        torch.testing.assert_close(model.state_dict(), state, rtol=0, atol=0)

    def test_autocast_changes_no_image_and_loses_no_gradient(self, defense):
        """Weights cast in a pass without gradients would be used, and not trained, in the next."""
        part = batch()
        made = trained_on(defense, part)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(trained_on(defense, part), made)
            model = DEFENSES[defense](network()).train()
            loss = model.training_loss(part.x, part.y)
        loss.backward()
        assert all(p.grad is not None and p.grad.any() for p in model.network[5].parameters())
        assert model.network[1].weight.grad.any()

    def test_works_where_no_gradients_are_wanted(self, defense):
        part, model = batch(), DEFENSES[defense](network())
        made = crafted(model, part)
        for mode in (torch.no_grad, torch.inference_mode):
            with mode():
                assert torch.equal(crafted(model, part), made)

    @pytest.mark.sampled(every=2)
    def test_resume(self, defense, npz, suite, tmp_path, quiet):
        """From the middle of an epoch on: the images are those of an uninterrupted run."""
        runs = tmp_path / "runs"
        args = [*arguments(npz, runs, suite, defense, epochs=2), "--evaluation.attacks=null"]
        if defense == "AdversarialTraining":
            args += ["--model.attack=robust.attacks.PGD", "--model.attack.steps=2"]
        args += ["--trainer.callbacks=lightning.pytorch.callbacks.ModelCheckpoint"]
        args += ["--trainer.callbacks.every_n_train_steps=2", "--trainer.callbacks.save_top_k=-1"]
        folder = runs / defense.lower()
        assert train([*args, "--run.id=b"]) == 0
        (middle,) = (folder / "b").rglob("*step=6.ckpt")
        assert train([*args, "--run.id=a", f"--ckpt_path={middle}"]) == 0
        resumed, straight = (
            torch.load(next((folder / name).rglob("*step=8.ckpt")), weights_only=True)
            for name in "ab"
        )
        torch.testing.assert_close(resumed["state_dict"], straight["state_dict"], rtol=0, atol=0)


def test_images_between_steps_are_nobodys():
    """After a step, other images than the batch's can be made, of another number."""
    part = batch()
    model = DEFENSES["Trades"](network())
    model.on_train_batch_start(part, 0)
    model.on_train_batch_end(None, part, 0)
    assert model.adversarial(part.x[:5], part.y[:5]).shape == (5, 1, 4, 4)


def test_attacks_of_torchattacks_follow_the_batch():
    part = batch()
    model = DEFENSES["AdversarialTraining"](network())

    def made(part):
        model.on_train_batch_start(part, 0)
        images = model.crafted(
            lambda view: torchattacks.PGD(view, eps=0.1, steps=2), model.network, *part[:2], 0
        )
        model.on_train_batch_end(None, part, 0)
        return images

    assert torch.equal(made(part), made(part))
    assert not torch.equal(made(part), made(part._replace(index=part.index + 1)))


def test_an_attack_that_calls_backward_reaches_no_parameter():
    """The gradient of a distributed run is reduced as soon as `backward` has reached it."""
    part, reached = batch(), []
    model = DEFENSES["AdversarialTraining"](network())
    for parameter in model.network.parameters():
        parameter.register_hook(reached.append)
    attack = lambda view: torchattacks.CW(view, steps=2)  # noqa: E731
    model.crafted(attack, model.network, part.x, part.y, 0)
    assert not reached
    model.training_loss(part.x, part.y).backward()
    assert reached


def test_images_are_moved_to_the_end_of_the_budget():
    """So are those that are misclassified after the first step, where an attack would stop."""
    part = batch()
    model = DEFENSES["AdversarialTraining"](network())
    wrong = model.eval()(part.x).argmin(dim=1)  # misclassified from the beginning
    made = model.crafted(
        lambda view: PGD(view, 0.1, alpha=0.02, steps=10), model.network, part.x, wrong, 0
    )
    moved = (made - part.x).abs().flatten(1).amax(dim=1)
    torch.testing.assert_close(moved, torch.full((12,), 0.1))


def test_an_empty_batch():
    model = DEFENSES["AdversarialTraining"](network())
    x, y = torch.zeros(0, 1, 4, 4), torch.zeros(0, dtype=torch.int64)
    assert model.crafted(model.attack, model.network, x, y, 0).shape == (0, 1, 4, 4)


def test_frozen_thaws_after_an_error():
    linear = nn.Linear(2, 2)
    linear.bias.requires_grad_(False)

    def fail():
        with frozen(linear):
            assert not linear.weight.requires_grad
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert linear.weight.requires_grad
    assert not linear.bias.requires_grad


def test_divergence_by_hand():
    p = torch.tensor([[0.5, 0.5], [0.9, 0.1]], dtype=torch.float64)
    q = torch.tensor([[0.25, 0.75], [0.9, 0.1]], dtype=torch.float64)
    expected = torch.tensor([0.5 * np.log(2) + 0.5 * np.log(2 / 3), 0.0], dtype=torch.float64)
    # Logits are logarithms up to a constant.
    torch.testing.assert_close(kl_divergence(p.log() + 3, q.log() - 100), expected)


def test_divergence_of_a_sure_network_has_a_slope():
    """Where the softmax in float32 is exactly one: its gradient is p - q of tiny probabilities."""
    p, q = torch.tensor([[30.0, 0.0]]), torch.tensor([[29.0, 0.5]], requires_grad=True)
    (gradient,) = torch.autograd.grad(kl_divergence(p, q).sum(), q)
    slope = np.exp(-28.5) - np.exp(-30.0)
    torch.testing.assert_close(gradient, torch.tensor([[-slope, slope]]).float(), rtol=0.01, atol=0)
    far = kl_divergence(torch.tensor([[1e4, -1e4]]), torch.tensor([[-1e4, 1e4]]))
    assert far.item() == pytest.approx(2e4)


def test_load_network(tmp_path):
    path, other = tmp_path / "x.ckpt", network()
    with torch.no_grad():
        other[1].weight.zero_()
    state = {f"network.{k}": v for k, v in other.state_dict().items()}
    torch.save({"state_dict": {**state, "source.1.weight": torch.ones(1)}}, path)
    loaded = network()
    load_network(loaded, str(path), "source")
    torch.testing.assert_close(loaded.state_dict(), other.state_dict())
    message = f"Expected the source {re.escape(str(path))} to be a Linear, but its weights do not"
    with pytest.raises(ConfigError, match=message):
        load_network(nn.Linear(2, 2), str(path), "source")
