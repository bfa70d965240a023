"""Data-dependent activation: training in stages, the template, the views, checkpoints."""

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Trainer
from torch import nn

from robust.attacks import PGD, craft
from robust.attacks.views import Several, shrunk
from robust.commands.train import train
from robust.data import ImageDataModule, TrainingSet
from robust.defenses import WNLL, WangSchedule
from robust.defenses.wnll.templates import sample_template
from robust.errors import ConfigError
from robust.loading.restore import restore
from robust.networks import ResNet, TunaMnistCNN
from robust.transforms import FeatureSqueezing
from tests.commands.test_ddp import launch
from tests.support.tiny import NO_ATTACKS, SUITE


def mixed(width):
    """A random network on 1x4x4 images with a layer of curvature."""
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, width))


def images(n=40, seed=1):
    return torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(seed))


def wnll(network=mixed, size=60, templates=1, **settings):
    """Untrained, of three classes, with its templates."""
    torch.manual_seed(0)
    settings = {"num_classes": 3, "width": 8, **settings}
    model = WNLL(network, template_size=size, templates=templates, **settings).eval()
    for i in range(templates):
        x = images(size, seed=10 + i)
        model.set_template(x, (3 * x.mean(dim=(1, 2, 3)) * 7).long() % 3, i)
    return model


def of_one_class(model, n=4):
    """Images at which the scores are constant: those of a template of far clusters."""
    model.set_template(clusters(60), torch.arange(60) % 3)
    return clusters(n)


def clusters(n):
    return 0.45 * (torch.arange(n) % 3).view(-1, 1, 1, 1) + 1e-3 * images(n)


class Halve(nn.Module):
    """A transform with steps, through which no gradient passes."""

    def forward(self, x):
        return (x > 0.5).float()


@pytest.mark.parametrize("adaptive", ["both", "implicit", "linear"])
@pytest.mark.parametrize("queries", ["single", "batch"])
@pytest.mark.parametrize("templates", [1, 3])
class TestViews:
    def test_predict_like_the_defense(self, queries, templates, adaptive):
        model = wnll(queries=queries, templates=templates, adaptive=adaptive)
        x = images(300)
        predicted = model(x).argmax(dim=1)
        assert len(predicted.unique()) == 3
        for view in ("adaptive", "published"):
            assert torch.equal(model.view(view)(x).argmax(dim=1), predicted)

    def test_have_a_gradient_behind_a_transform(self, queries, templates, adaptive):
        model = wnll(queries=queries, templates=templates, adaptive=adaptive, transform=Halve())
        x = images().requires_grad_()
        for view in ("adaptive", "published"):
            (gradient,) = torch.autograd.grad(model.view(view)(x)[:, 0].sum(), x)
            assert gradient.abs().sum() > 0
        assert torch.equal(model.adaptive_view()(x).argmax(dim=1), model(x).argmax(dim=1))

    def test_where_the_deployed_scores_are_constant_the_adaptive_are_not(
        self, queries, templates, adaptive
    ):
        model = wnll(adaptive=adaptive, queries=queries)
        x = of_one_class(model).requires_grad_()
        y = model(x).argmax(dim=1)
        slopes = [
            torch.autograd.grad(F.cross_entropy(view(x), y, reduction="sum"), x)[0].abs().amax()
            for view in (model, model.adaptive_view())
        ]
        assert slopes[0] < 1e-4
        assert slopes[1] > 1e-2


@pytest.mark.parametrize("queries", ["single", "batch"])
def test_both_adds_three_gradients_of_the_length_of_the_linear_heads(queries):
    model, x = wnll(queries=queries), images(12)
    features = model.features(x).detach().requires_grad_()
    seen = {}
    for adaptive in ("implicit", "linear", "both"):
        model.adaptive = adaptive
        view = model.adaptive_view()
        view = view.each()[0] if isinstance(view, Several) else view
        view.network = nn.Flatten()
        scores = view(features.view(12, 8, 1, 1))
        (seen[adaptive],) = torch.autograd.grad(scores[:, 0].sum(), features)
    uncut = shrunk(model.interpolation.log_kernel(features))[:, 0].sum()
    (seen["uncut"],) = torch.autograd.grad(uncut, features)
    length = seen["linear"].norm(dim=1, keepdim=True)
    assert length.min() > 0
    expected = sum(length * F.normalize(seen[k], dim=1) for k in ("implicit", "linear", "uncut"))
    torch.testing.assert_close(3 * seen["both"], expected)


def test_where_one_gradient_is_zero_both_has_the_others():
    model = wnll(adaptive="both")
    with torch.no_grad():
        model.linear.weight.zero_()
    x = images(12).requires_grad_()
    (gradient,) = torch.autograd.grad(model.adaptive_view()(x)[:, 0].sum(), x)
    assert gradient.isfinite().all()


def test_the_linear_head_deployed():
    """The softmax network of the same weights."""
    model, x = wnll(head="linear"), images()
    x.requires_grad_()
    y = model(x).argmax(dim=1)
    assert torch.equal(model(x), model.logits(x))
    for view in ("published", "adaptive"):
        assert torch.equal(model.view(view)(x).argmax(dim=1), y)
    losses = [F.cross_entropy(view(x), y) for view in (model, model.published_view())]
    torch.testing.assert_close(*(torch.autograd.grad(loss, x)[0] for loss in losses))


def test_the_published_gradient_is_that_of_the_linear_head():
    model, x = wnll(), images().requires_grad_()
    y = torch.arange(40) % 3
    (gradient,) = torch.autograd.grad(F.cross_entropy(model.published_view()(x), y), x)
    features = model.features(x)
    slope = (model(x).softmax(dim=1) - F.one_hot(y, 3)) @ model.linear.weight / 40
    (expected,) = torch.autograd.grad((features * slope.detach()).sum(), x)
    torch.testing.assert_close(gradient, expected)
    # The paper's loss takes scores in [0, 1] for logits.
    assert model.published_view()(x).softmax(dim=1).max() <= torch.e / (torch.e + 2) + 1e-6


def test_single_queries_do_not_depend_on_the_batch():
    model, x = wnll(), images(30)
    torch.testing.assert_close(model(x)[:5], model(x[:5]))
    batch = wnll(queries="batch")
    assert (batch(x)[:5] - batch(x[:5])).abs().max() > 1e-3
    torch.testing.assert_close(batch(x[:1]), model(x[:1]))


def test_scores_are_averaged_over_the_templates():
    three, x = wnll(templates=3), images(20)
    single = wnll()
    expected = torch.zeros(20, 3)
    for i in range(3):
        single.interpolation.inputs[0] = three.interpolation.inputs[i]
        single.interpolation.labels[0] = three.interpolation.labels[i]
        expected += single(x) / 3
    torch.testing.assert_close(three(x), expected)


def test_the_network_may_be_a_resnet():
    model = WNLL(lambda n: ResNet(n, depth=8, in_channels=1), template_size=30, num_classes=3)
    model.set_template(torch.rand(30, 1, 28, 28), torch.arange(30) % 3)
    assert model.features(torch.rand(2, 1, 28, 28)).shape == (2, 64)
    assert model.eval()(torch.rand(2, 1, 28, 28)).shape == (2, 3)


class TestTraining:
    def test_stages_alternate(self):
        model = wnll(linear_epochs=2, wnll_epochs=1)
        stages = []
        for epoch in range(6):
            model._trainer = type("T", (), {"current_epoch": epoch})()
            stages.append(model.in_wnll_stage)
        assert stages == [False, False, True] * 2
        model.wnll_stage = False
        assert not model.in_wnll_stage

    def test_the_wnll_stage_moves_the_buffer_alone(self, monkeypatch):
        model = wnll()
        monkeypatch.setattr(WNLL, "in_wnll_stage", True)
        before = {name: p.clone() for name, p in model.named_parameters()}
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
        x, y = images(), torch.arange(40) % 3
        loss = model.training_loss(x, y)
        torch.testing.assert_close(loss, F.cross_entropy(model(x), y))
        loss.backward()
        assert all(p.grad is not None for p in model.parameters())  # as DDP needs it
        model.on_before_optimizer_step(optimizer)
        optimizer.step()
        moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
        assert moved == {"network.3.weight", "network.3.bias"}
        assert all(p.requires_grad for p in model.parameters())

    @pytest.mark.parametrize(
        ("given", "epoch", "expected"),
        [(None, 1, 0.001), (0.02, 1, 0.02), (0.02, 3, 0.01), (None, 0, 0.1), (0.02, 2, 0.1)],
    )
    def test_the_rate_of_a_step(self, given, epoch, expected, monkeypatch):
        model = wnll(linear_epochs=1, wnll_epochs=1, wnll_lr=given)
        model._trainer = type("T", (), {"current_epoch": epoch})()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.3)
        seen = []
        monkeypatch.setattr(
            "robust.defenses.base.Defense.optimizer_step",
            lambda *args: seen.append({**optimizer.param_groups[0]}),
            raising=False,
        )
        model.optimizer_step(epoch, 0, optimizer)
        assert seen[0]["lr"] == pytest.approx(expected)
        assert seen[0]["weight_decay"] == (0 if epoch % 2 else 0.3)
        assert optimizer.param_groups[0]["lr"] == 0.1
        assert optimizer.param_groups[0]["weight_decay"] == 0.3

    def test_the_linear_stage_is_cross_entropy(self):
        model, x, y = wnll(), images(), torch.arange(40) % 3
        model._trainer = type("T", (), {"current_epoch": 0})()
        expected = F.cross_entropy(model.logits(x), y)
        torch.testing.assert_close(model.training_loss(x, y), expected)

    def test_the_rates_of_the_authors_code(self):
        parameter = nn.Parameter(torch.zeros(1))
        rates = []
        optimizer = torch.optim.SGD([parameter], lr=0.1)
        scheduler = WangSchedule(optimizer, 200, 10)
        for _ in range(420):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        epochs = [0, 79, 80, 120, 160, 205, 210, 290]
        expected = [0.1, 0.1, 0.025, 0.0125, 0.00625, 0.00625, 0.1 / 11, 0.025 / 11]
        assert [rates[epoch] for epoch in epochs] == pytest.approx(expected)


DIGITS = [
    "fit",
    "--model=robust.defenses.WNLL",
    "--model.network=tests.defenses.wnll.test_defense.dense",
    "--model.template_size=100",
    "--model.linear_epochs=3",
    "--model.wnll_epochs=1",
    "--model.wnll_lr=0.01",
    "--model.width=16",
    "--data=robust.data.ImageDataModule",
    "--data.dataset=digits",
    "--data.batch_size=64",
    "--trainer.enable_progress_bar=false",
    "--trainer.accelerator=cpu",
    "--evaluation.limit=20",
]


def dense(width: int) -> nn.Module:
    """A small network on 28x28 images."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, width))


@pytest.fixture
def suite(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setattr("sys.argv", ["train.py"])
    path = tmp_path / "tiny.yaml"
    path.write_text(SUITE)
    return path


@pytest.mark.parametrize(
    ("precision", "resumes"),
    [
        ("32-true", True),
        # What a checkpoint holds is float32 in either precision.
        pytest.param("bf16-mixed", False, marks=pytest.mark.slow),
        pytest.param("bf16-mixed", True, marks=pytest.mark.slow),
    ],
)
def test_a_run_trains_resumes_and_restores(tmp_path, suite, precision, resumes):
    arguments = [*DIGITS, f"--evaluation={suite}", f"--run.root={tmp_path}", "--run.name=wnll"]
    arguments += ["--run.id=a", f"--trainer.precision={precision}", NO_ATTACKS]
    last = tmp_path / "wnll/a/checkpoints/last.ckpt"
    assert train([*arguments, "--trainer.max_epochs=4"]) == 0
    original, data = restore(last)
    x, y, _ = data.test_samples(0, 360)
    accuracy = [(s.argmax(dim=1) == y).float().mean() for s in (original(x), original.logits(x))]
    assert accuracy[0] >= accuracy[1] - 0.005
    assert accuracy[0] > 0.7
    if not resumes:
        return
    # Interrupted in the middle and resumed, it is the same.
    half = [a.replace("--run.id=a", "--run.id=b") for a in arguments]
    assert train([*half, "--trainer.max_epochs=2"]) == 0
    last = tmp_path / "wnll/b/checkpoints/last.ckpt"
    assert train([*half, "--trainer.max_epochs=4", f"--ckpt_path={last}"]) == 0
    resumed = restore(last).defense
    for name, value in resumed.state_dict().items():
        assert torch.equal(value, original.state_dict()[name]), name


def test_a_checkpoint_takes_other_templates_at_evaluation(tmp_path, suite, capsys):
    arguments = [*DIGITS, f"--evaluation={suite}", f"--run.root={tmp_path}", "--run.name=wnll"]
    arguments += ["--run.id=a", "--trainer.max_epochs=1", NO_ATTACKS]
    last = tmp_path / "wnll/a/checkpoints/last.ckpt"
    assert train(arguments) == 0
    same, data = restore(last, {"template_seed": 0})
    # The stored template is one of the network as it was stored.
    samples, trained = data.trained_samples()
    places = trained[sample_template(samples.y[trained], 100, 10, "balanced", 0)]
    inputs = same.interpolation.inputs_of(same.network, data.train_samples(places).x)
    torch.testing.assert_close(same.interpolation.inputs[0], inputs)
    assert torch.equal(same.interpolation.labels, restore(last).defense.interpolation.labels)
    changed = {"templates": 3, "template_size": 40, "template_seed": 5}
    other = restore(last, changed).defense
    for i, labels in enumerate(other.interpolation.labels):
        places = trained[sample_template(samples.y[trained], 40, 10, "balanced", 5 + i)]
        assert torch.equal(labels, samples.y[places])
        inputs = other.interpolation.inputs_of(other.network, data.train_samples(places).x)
        torch.testing.assert_close(other.interpolation.inputs[i], inputs)
    x = data.test_samples(0, 20).x
    assert other(x).shape == (20, 10)
    # Nothing else is new. Another seed or `template_draw` alone changes the templates.
    torch.testing.assert_close(other.logits(x), same.logits(x))
    for alone in ({"template_seed": 1}, {"template_draw": "random"}):
        sampled = restore(last, alone).defense.interpolation
        assert sampled.has_templates
        assert not torch.equal(sampled.inputs, same.interpolation.inputs)
    # The trainer's way to the same.
    capsys.readouterr()
    settings = [f"--model.{key}={value}" for key, value in changed.items()]
    arguments[0] = "test"
    arguments = [a for a in arguments if "run." not in a and "template_size" not in a]
    arguments.remove(NO_ATTACKS)
    assert train([*arguments, f"--ckpt_path={last}", *settings]) == 0
    accuracy = (other(x).argmax(dim=1) == data.test_samples(0, 20).y).double().mean().item()
    assert f"{100 * accuracy:.1f}" in capsys.readouterr().out


class TestTemplate:
    def test_is_of_training_images_that_are_not_held_out(self):
        data = ImageDataModule("digits", val_fraction=0.5, batch_size=64)
        torch.manual_seed(0)
        model = WNLL(dense, template_size=50, linear_epochs=1, templates=2)
        trainer = Trainer(
            fast_dev_run=1, accelerator="cpu", logger=False, enable_progress_bar=False
        )
        seen = []
        set_template = model.set_template

        def keep(x, y, place):
            seen.append((place, x, y))
            set_template(x, y, place)

        model.set_template = keep
        trainer.fit(model, datamodule=data)
        held_out = data.val_samples(10_000)
        train_x = {row.numpy().tobytes() for row in data.train_images}
        held = {data.train_images[i].numpy().tobytes() for i in held_out.index}
        trained = train_x - held
        assert {place for place, _, _ in seen} == {0, 1}
        for _, x, _ in seen:
            rows = {(255 * row).round().byte().numpy().tobytes() for row in x}
            assert rows <= train_x
            assert rows <= trained
        (_, first, y), (_, second, _) = seen[:2]
        assert not torch.equal(first, second)
        assert torch.equal(y.bincount(), torch.full((10,), 5))

    @pytest.mark.parametrize("mode", ["original", "transformed", "original+transformed"])
    def test_is_of_what_the_network_is_trained_on(self, mode, tmp_path):
        training_set = TrainingSet(FeatureSqueezing(1), mode, cache=str(tmp_path))
        data = ImageDataModule("digits", val_fraction=0.5, training_set=training_set)
        model = WNLL(dense, template_size=100, linear_epochs=1)
        seen = []
        model.set_template = lambda x, y, place: seen.append(x)
        model._trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
        model._trainer.datamodule = data
        model.on_fit_start()
        held_out = data.val_samples(10_000).x
        held_out = {row.numpy().tobytes() for row in (*held_out, *FeatureSqueezing(1)(held_out))}
        samples, places = data.trained_samples()
        trained = {(row.float() / 255).numpy().tobytes() for row in samples.x[places]}
        rows = [row.numpy().tobytes() for row in seen[0]]
        assert len(rows) == 100
        assert set(rows) <= trained
        assert not set(rows) & (held_out - trained)
        squeezed = sum(bool(((row == 0) | (row == 1)).all()) for row in seen[0])
        low, high = {"original": (0, 0), "transformed": (100, 100)}.get(mode, (30, 70))
        assert low <= squeezed <= high

    def test_follows_from_its_seed_alone(self):
        labels = torch.arange(200) % 10
        torch.manual_seed(3)
        first = sample_template(labels, 35, 10, "balanced", 0)
        assert torch.equal(first, sample_template(labels, 35, 10, "balanced", 0))
        assert not torch.equal(first, sample_template(labels, 35, 10, "balanced", 1))
        assert sorted(labels[first].bincount().tolist()) == [3] * 5 + [4] * 5
        assert len(first.unique()) == 35

    def test_sampled_at_random(self):
        labels = (torch.rand(2000, generator=torch.Generator().manual_seed(0)) < 0.2).long()
        chosen = sample_template(labels, 500, 2, "random", 0)
        assert len(chosen.unique()) == 500
        assert 60 < labels[chosen].sum() < 140

    @pytest.mark.parametrize(
        ("labels", "draw", "message"),
        [
            (torch.zeros(100, dtype=torch.int64), "random", "30 images of 1 classes"),
            (torch.arange(20) % 3, "random", "20 images of 3 classes"),
            (torch.arange(100).clamp_max(2), "balanced", "12 images of 3 classes"),
        ],
    )
    def test_that_cannot_be_had(self, labels, draw, message):
        with pytest.raises(ConfigError, match=message):
            sample_template(labels, 30, 3, draw, 0)

    def test_without_one_there_are_no_scores(self):
        with pytest.raises(ConfigError, match="Expected a template, but there is none yet"):
            WNLL(mixed, template_size=60, num_classes=3)(images())

    def test_of_another_size_or_without_a_class(self):
        model = wnll()
        with pytest.raises(ConfigError, match=r"template of 60 .* but got 50 images of 3"):
            model.set_template(images(50), torch.arange(50) % 3)
        with pytest.raises(ConfigError, match="each of 3 classes, but got 60 images of 2"):
            model.set_template(images(60), torch.arange(60) % 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"template_size": 9}, "`template_size` to be at least the number of classes, but got 9"),
        ({"template_size": 12}, "`neighbors` .* got 15 for 12"),
        ({"neighbors": 1}, "`neighbors` to be at least 2"),
        ({"templates": 0}, "`templates` to be at least 1, but got 0"),
        ({"template_seed": -1}, "`template_seed` to be at least 0, but got -1"),
        ({"width": 0}, "`width` to be at least 1"),
        ({"wnll_epochs": 0}, "`wnll_epochs` to be at least 1"),
        ({"wnll_lr": 0.0}, "`wnll_lr` to be positive, but got 0"),
    ],
)
def test_bad_arguments(settings, message):
    with pytest.raises(ConfigError, match=message):
        WNLL(mixed, **settings)


def test_a_network_that_does_not_end_in_a_linear_layer():
    with pytest.raises(ConfigError, match="Flatten has none"):
        WNLL(lambda n: nn.Flatten())
    with pytest.raises(ConfigError, match="ends in its last linear layer"):
        wnll(lambda n: nn.Sequential(nn.Flatten(), nn.Linear(16, n), nn.Tanh()))


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize(
    "flag",
    [
        "--data.eval_batch_size=1",
        "--evaluation.block=1",
        "--evaluation.limit=9",  # with blocks of 8
        "--data.val_fraction=0.0001",
    ],
)
def test_batches_of_one_are_refused(tmp_path, suite, flag, capsys):
    arguments = [*DIGITS, f"--evaluation={suite}", f"--run.root={tmp_path}"]
    arguments += ["--trainer.max_epochs=1", "--model.queries=batch"]
    assert train([*arguments, flag]) == 2
    assert "batches of at least two images with `queries: batch`" in capsys.readouterr().err


def test_an_image_that_comes_alone_is_no_secret(caplog):
    model = wnll(queries="batch")
    with caplog.at_level("INFO"):
        model(images(2))
        assert not caplog.messages
        for _ in range(2):
            model(images(1))
    assert caplog.messages == [
        "With `queries: batch`, an image came by itself: its graph has no other."
    ]
    with caplog.at_level("INFO"):
        wnll()(images(1))
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("stage", [False, True])
def test_every_parameter_has_a_gradient_that_a_distributed_run_waits_for(stage, monkeypatch):
    model = wnll()
    monkeypatch.setattr(WNLL, "in_wnll_stage", stage)
    model.training_loss(images(), torch.arange(40) % 3).backward()
    waited_for = {name for name, weight in model.named_parameters() if weight.requires_grad}
    given = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert waited_for == given > set()


@pytest.mark.slow
def test_two_processes_train_both_stages(tmp_path, suite):
    arguments = [*DIGITS, f"--evaluation={suite}", f"--run.root={tmp_path}", "--run.name=two"]
    arguments += ["--model.linear_epochs=1", "--trainer.max_epochs=2"]
    done = launch([*arguments, "--trainer.limit_train_batches=3"])
    assert "unused" not in done.stderr
    (folder,) = (tmp_path / "two").iterdir()
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 6


@pytest.mark.parametrize(
    ("shape", "classes", "message"),
    [
        ((3, 32, 32), 10, "for the 3x32x32 images of data"),
        ((1, 28, 28), 7, "each of the 7 classes of data in the template, but got 10"),
    ],
)
def test_network_and_data_must_fit(shape, classes, message):
    with pytest.raises(ConfigError, match=message):
        WNLL(TunaMnistCNN).check_fit(shape, classes, "data")


def test_the_adaptive_view_succeeds_where_the_published_does_not():
    """On clusters with constant scores, an untrained network's linear head knows nothing."""
    model = wnll()
    x = of_one_class(model, 30)
    y = model(x).argmax(dim=1)
    left = {}
    for name in ("published", "adaptive"):
        x_adv = craft(lambda view: PGD(view, 0.3, steps=10), model.view(name), x, y).x_adv
        left[name] = (model(x_adv).argmax(dim=1) == y).float().mean().item()
    assert left["adaptive"] < left["published"]
