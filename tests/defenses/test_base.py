"""What every defense shares: fit of network and data, views, optimizer, metrics."""

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn

from robust.data import ImageDataModule
from robust.defenses import (
    AdversarialTraining,
    Distillation,
    LabelSmoothing,
    Squeezed,
    Standard,
    Trades,
    VirtualAdversarial,
)
from robust.errors import ConfigError
from robust.evaluation.masking_signs import has_zero_gradient
from robust.networks import TunaMnistCNN
from tests.support.data_files import write_npz

# With the learning rate at which each learns a layer: a temperature divides the gradient.
DEFENSES = {
    Standard: 0.5,
    Squeezed: 5.0,
    Distillation: 5.0,
    LabelSmoothing: 0.5,
    AdversarialTraining: 0.5,
    VirtualAdversarial: 0.5,
    Trades: 0.5,
}


class Halve(nn.Module):
    """A transform with steps, through which no gradient passes."""

    def forward(self, x):
        return (x > 0.5).float()


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


def sure():
    """With scores that differ by hundreds."""
    torch.manual_seed(0)
    network = linear()
    with torch.no_grad():
        network[1].weight.mul_(10_000)
    return network


@pytest.mark.parametrize("defense", DEFENSES)
class TestEveryDefense:
    def test_the_adaptive_view_predicts_like_the_defense(self, defense):
        torch.manual_seed(0)
        x = torch.rand(50, 1, 4, 4)
        model = defense(linear()).eval()
        assert torch.equal(model.adaptive_view()(x).argmax(dim=1), model(x).argmax(dim=1))

    def test_where_the_network_is_sure_the_adaptive_view_has_a_gradient(self, defense):
        model, x = defense(sure()).eval(), torch.rand(8, 1, 4, 4)
        view = model.adaptive_view()
        assert not has_zero_gradient(view, x, view(x).argmax(dim=1)).any()

    def test_behind_a_transform_the_adaptive_view_has_a_gradient(self, defense):
        x = torch.rand(8, 1, 4, 4, requires_grad=True)
        model = defense(linear(), transform=Halve()).eval()
        (gradient,) = torch.autograd.grad(model.adaptive_view()(x)[:, 0].sum(), x)
        assert gradient.abs().sum() > 0
        assert torch.equal(model.adaptive_view()(x).argmax(dim=1), model(x).argmax(dim=1))
        # The deployed model lets none through, or an attack would need no view.
        assert torch.autograd.grad(model(x)[:, 0].sum(), x, allow_unused=True)[0] is None

    def test_views_by_name(self, defense):
        model = defense(linear())
        assert model.view("deployed") is model
        assert model.view("published") is model
        assert type(model.view("adaptive")) is type(model.adaptive_view())

    def test_the_published_view_is_without_the_transform(self, defense):
        torch.manual_seed(0)
        x = torch.rand(8, 1, 4, 4, requires_grad=True)
        model = defense(linear(), transform=Halve()).eval()
        bare = defense(model.network).eval()
        view = model.published_view()
        assert torch.equal(view(x), bare(x))
        assert not torch.equal(view(x), model(x))
        (gradient,) = torch.autograd.grad(view(x)[:, 0].sum(), x)
        assert gradient.abs().sum() > 0
        assert isinstance(model.transform, Halve)
        assert view.network is model.network

    def test_the_loss_falls(self, defense):
        torch.manual_seed(0)
        x, y = torch.rand(30, 1, 4, 4), torch.arange(30) % 3
        model = defense(linear(), optimizer=lambda p: torch.optim.SGD(p, lr=DEFENSES[defense]))
        optimizer = model.configure_optimizers()
        losses = []
        for _ in range(12):
            optimizer.zero_grad()
            loss = model.training_loss(x, y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0]

    @pytest.mark.parametrize(
        ("shape", "classes", "message"),
        [
            ((3, 32, 32), 10, "Expected a network for the 3x32x32 images of data"),
            ((1, 28, 28), 7, "Expected one score for each of the 7 classes of data"),
        ],
    )
    def test_network_and_data_must_fit(self, defense, shape, classes, message):
        model = defense(TunaMnistCNN()).train()
        with pytest.raises(ConfigError, match=message):
            model.check_fit(shape, classes, "data")
        assert model.training

    def test_the_fit_is_checked_where_the_weights_are(self, defense):
        """Before Lightning moves them, it tells a module of the device that they will be on."""
        model = defense(linear())
        model._device = torch.device("meta")
        model.check_fit((1, 4, 4), 3, "data")


def test_a_network_that_is_sure_has_none_through_its_own_scores():
    """Cross-entropy on logits of hundreds is flat in float32, also without a defense."""
    model = Standard(sure())
    x = torch.rand(8, 1, 4, 4)
    assert has_zero_gradient(model, x, model(x).argmax(dim=1)).all()


def test_a_scheduler_is_stepped():
    model = Standard(
        linear(),
        scheduler=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.1),
    )
    configured = model.configure_optimizers()
    assert configured["lr_scheduler"].optimizer is configured["optimizer"]


def test_an_optimizer_out_of_range_is_one_line():
    model = Standard(linear(), optimizer=lambda p: torch.optim.Adam(p, lr=-1.0))
    with pytest.raises(ConfigError, match="Invalid learning rate"):
        model.configure_optimizers()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "`temperature` to be positive, but got 0"),
        ({"teacher_epochs": 0}, "`teacher_epochs` to be at least 1"),
        ({"teacher_epochs": 1, "teacher": "x.ckpt"}, "`teacher_epochs` or `teacher`, but got both"),
    ],
)
def test_distillation_checks_its_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Distillation(linear(), **arguments)


def distill(tmp_path, epochs, **arguments):
    """Fit on data made on the spot."""
    data = ImageDataModule(str(write_npz(tmp_path / "tiny.npz")), batch_size=8)
    torch.manual_seed(0)
    model = Distillation(linear(), optimizer=lambda p: torch.optim.Adam(p, lr=0.05), **arguments)
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(model, datamodule=data)
    return model, trainer


def test_one_fit_trains_teacher_then_student(tmp_path):
    model, trainer = distill(tmp_path, 4, teacher_epochs=3)
    assert model.has_teacher
    assert trainer.current_epoch == 4
    assert not any(p.requires_grad for p in model.teacher.parameters())
    # The teacher had three epochs, the student one, from a start of its own.
    x, y, _ = trainer.datamodule.test_samples(0, 24)
    accuracy = [
        (network(x).argmax(dim=1) == y).float().mean() for network in (model.teacher, model)
    ]
    assert accuracy[0] > 0.9
    assert not torch.equal(model.teacher[1].weight, model.network[1].weight)


def test_half_the_epochs_are_the_teachers_by_default(tmp_path):
    model, _ = distill(tmp_path, 4)
    assert model.student_starts == 2


def test_a_given_teacher_is_loaded_and_kept(tmp_path):
    teacher = linear()
    state = {f"network.{k}": v for k, v in teacher.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "teacher.ckpt")
    model, _ = distill(tmp_path, 1, teacher=str(tmp_path / "teacher.ckpt"))
    assert torch.equal(model.teacher[1].weight, teacher[1].weight)


def test_a_teacher_of_another_architecture_is_refused(tmp_path):
    state = {f"network.{k}": v for k, v in nn.Linear(2, 2).state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "teacher.ckpt")
    with pytest.raises(ConfigError, match=r"Expected the teacher .* to be a Sequential"):
        distill(tmp_path, 1, teacher=str(tmp_path / "teacher.ckpt"))


def test_the_teacher_needs_to_leave_epochs(tmp_path):
    with pytest.raises(ConfigError, match=r"Expected `trainer\.max_epochs` to leave epochs"):
        distill(tmp_path, 2, teacher_epochs=2)


def test_the_student_learns_the_soft_labels():
    torch.manual_seed(0)
    model = Distillation(linear(), temperature=5.0)
    model.has_teacher.fill_(True)
    x = torch.rand(6, 1, 4, 4)
    soft = (model.teacher(x) / 5).softmax(dim=1)
    expected = -(soft * (model.network(x) / 5).log_softmax(dim=1)).sum(dim=1).mean()
    wrong_labels = torch.zeros(6, dtype=torch.int64)
    torch.testing.assert_close(model.training_loss(x, wrong_labels), expected)
