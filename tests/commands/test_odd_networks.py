"""A network that does not fit ends in one line before a run folder is made; other odd ones work."""

import numpy as np
import pytest
import torch

from robust.commands.train import train
from robust.defenses import Standard
from robust.errors import ConfigError
from tests.support import odd_networks
from tests.support.tiny import arguments

SHAPE = (1, 4, 4)


def check(network, batch_size=16):
    defense = Standard(getattr(odd_networks, network)())
    defense.check_fit(SHAPE, 3, "data")
    defense.check_training(SHAPE, "data", batch_size)
    return defense


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("WithFeatures", "return one tensor of scores, but in eval mode it returned a tuple of 2"),
        ("Named", "returned a dict of 1 values. Return the scores alone"),
        ("SecondHead", "SecondHead to return one tensor .* in train mode it returned a tuple of 2"),
        ("OneLogit", r"scores of shape \(N, K\), but in eval mode .* float32 of shape \(2,\)"),
        ("Maps", r"float32 of shape \(2, 3, 1, 1\) for 2 images"),
        ("FirstOnly", r"float32 of shape \(1, 3\) for 2 images"),
        ("Classes", "return floating-point scores, but .* returned uint8"),
        ("Logarithms", "return finite scores, but in eval mode it returned NaN or infinity"),
        ("Normalizes", "leave its input as it is, but in eval mode it changes it in place"),
        ("WantsColors", "1x4x4 images of data, but WantsColors .*KeyError: 'red, green and blue'"),
        ("Asserts", r"but Asserts does not take them \(AssertionError\)"),
        ("FailsInTraining", r"not take them in train mode \(NotImplementedError\)"),
        ("Frozen", "Frozen to have a gradient of its input in eval mode, but it fails"),
        ("Detached", "depend on its input in eval mode, but there is no gradient"),
        ("OfTheBatch", "do not depend on its batch, but OfTheBatch gives others alone"),
    ],
)
def test_what_does_not_fit(network, message):
    with pytest.raises(ConfigError, match=message) as caught:
        check(network)
    assert len(str(caught.value)) <= 280


@pytest.mark.parametrize("network", ["Plain", "Lazy", "Volume", "DoublePrecision", "Noisy"])
def test_what_fits(network):
    check(network)


def test_a_batch_of_one_is_refused_only_where_it_is_all_there_is():
    check("Normalized")
    check("Plain", batch_size=1)
    with pytest.raises(ConfigError, match=r"`data.init_args.batch_size` to be at least 2 .* got 1"):
        check("Normalized", batch_size=1)


def test_a_check_leaves_everything_as_it_was():
    defense = Standard(odd_networks.Normalized()).train()
    before = {key: value.clone() for key, value in defense.state_dict().items()}
    random = torch.get_rng_state()
    defense.check_fit(SHAPE, 3, "data")
    defense.check_training(SHAPE, "data", 16)
    torch.testing.assert_close(defense.state_dict(), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(module.training for module in defense.modules())
    assert all(parameter.grad is None for parameter in defense.parameters())


def test_of_a_diverged_training_something_else_is_said():
    defense = Standard(odd_networks.Plain())
    defense.network.head.weight.data.fill_(torch.nan)
    defense.check_fit(SHAPE, 3, "data")


class Clipped(torch.nn.Module):
    def forward(self, x):
        raise IndexError("of the mask")


def test_an_input_transform_that_fails():
    defense = Standard(odd_networks.Plain(), transform=Clipped())
    with pytest.raises(ConfigError, match=r"but Clipped does not take them .IndexError: of the m"):
        defense.check_fit(SHAPE, 3, "data")


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (lambda p: torch.optim.Adam(p, lr=-1), "Invalid learning rate: -1"),
        (lambda p: torch.optim.SGD(p, lr=float("nan")), "`lr` of SGD to be finite, but got nan"),
        (torch.optim.SparseAdam, "SparseAdam does not support dense gradients"),
        (lambda p: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_optimizers_that_cannot_take_a_step(optimizer, message):
    defense = Standard(odd_networks.Plain(), optimizer=optimizer)
    with pytest.raises(ConfigError, match=message):
        defense.check_training(SHAPE, "data", 16)


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (lambda o: torch.optim.lr_scheduler.StepLR(o, 0), "can take a step, .* modulo by zero"),
        (torch.optim.lr_scheduler.ReduceLROnPlateau, "val/clean_acc, train/loss, but got None"),
    ],
)
def test_schedulers_that_cannot_take_a_step(scheduler, message):
    defense = Standard(odd_networks.Plain(), scheduler=scheduler)
    with pytest.raises(ConfigError, match=message):
        defense.check_training(SHAPE, "data", 16)


def test_an_optimizer_that_asks_for_the_loss_again():
    defense = Standard(odd_networks.Plain(), optimizer=torch.optim.LBFGS)
    defense.check_training(SHAPE, "data", 16)


@pytest.fixture
def fit(suite, tmp_path, capsys):
    """`fit` on 1x4x4 images of three classes: its exit code and what it says."""

    def run(*args):
        y_train, y_test = np.arange(64) % 3, np.arange(30) % 3
        images = np.random.RandomState(0).randint(0, 255, (64, 4, 4)).astype(np.uint8)
        np.savez(
            tmp_path / "small.npz",
            x_train=images,
            y_train=y_train,
            x_test=images[:30],
            y_test=y_test,
        )
        command = arguments(tmp_path / "small.npz", tmp_path / "runs", suite, "Standard", epochs=1)
        code = train([*command, "--evaluation.attacks=null", *args])
        return code, capsys.readouterr().err

    return run


@pytest.mark.usefixtures("quiet")
class TestCommand:
    @pytest.mark.sampled(every=2)
    @pytest.mark.parametrize("network", ["WithFeatures", "SecondHead", "Normalizes", "OneLogit"])
    def test_no_folder_is_left(self, fit, tmp_path, network):
        code, said = fit(f"--model.network=tests.support.odd_networks.{network}")
        assert code == 2
        assert said.count("error: ") == 1
        assert not (tmp_path / "runs").exists()

    @pytest.mark.sampled(every=4)
    @pytest.mark.parametrize(
        "kind", ["ValueError", "KeyError", "RuntimeError", "OSError", "SystemExit"]
    )
    def test_a_class_that_refuses_its_arguments(self, fit, tmp_path, kind):
        code, said = fit(
            "--model.network=tests.support.odd_networks.Refuses", f"--model.network.kind={kind}"
        )
        assert code == 2
        assert (
            "Expected tests.support.odd_networks.Refuses to be built from its `init_args`" in said
        )
        assert f"{kind}: " in said
        assert not (tmp_path / "runs").exists()

    def test_an_optimizer_is_tried_before_there_is_a_folder(self, fit, tmp_path):
        code, said = fit(
            "--model.network=tests.support.odd_networks.Plain",
            "--model.optimizer=torch.optim.SGD",
            "--model.optimizer.lr=-1",
        )
        assert code == 2
        assert "Invalid learning rate: -1" in said
        assert not (tmp_path / "runs").exists()

    def test_batch_normalization_with_a_last_batch_of_one_trains(self, fit, tmp_path):
        code, _ = fit(
            "--model.network=tests.support.odd_networks.Normalized",
            "--data.val_fraction=0",
            "--data.batch_size=21",  # 64 = 3 * 21 + 1
        )
        assert code == 0
