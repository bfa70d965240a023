"""Random codewords: the book, the distances, both published views, checkpoints."""

import pytest
import torch
from torch import nn

from robust.attacks import HasCodebook
from robust.commands.train import train
from robust.defenses import Codewords
from robust.defenses.codewords import sample_codebook
from robust.errors import ConfigError
from robust.evaluation.masking_signs import has_zero_gradient
from robust.loading.restore import restore
from robust.networks import TunaMnistCNN
from tests.support.tiny import TinyNetwork, arguments

LENGTHS = [1, 3, 16, 64, 128, 256, 1024]


def mixed(length):
    """A random network on 1x4x4 images with a layer of curvature."""
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, length))


def codewords(length=16, network=mixed, **settings):
    torch.manual_seed(0)
    return Codewords(network, length, **settings).eval()


def images(n=50):
    return torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(1))


class Pixels(nn.Module):
    """As many pixels as asked for, stretched to (-1, 1) times ``scale``."""

    def __init__(self, length, scale=1.0):
        super().__init__()
        self.length = length
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, x):
        return self.scale * (2 * x.flatten(1)[:, : self.length] - 1)


class Halve(nn.Module):
    """A transform with steps, through which no gradient passes."""

    def forward(self, x):
        return (x > 0.5).float()


class TestCodebook:
    def test_is_uniform(self):
        book = sample_codebook(400, 128, 0)
        assert book.min() >= -1
        assert book.max() <= 1
        assert book.square().sum(dim=1).mean().item() == pytest.approx(128 / 3, rel=0.02)
        distances = torch.pdist(book)
        assert distances.mean().item() == pytest.approx((2 * 128 / 3) ** 0.5, rel=0.02)

    def test_follows_from_its_seed_alone(self):
        torch.manual_seed(5)
        before = torch.random.get_rng_state()
        books = [sample_codebook(10, 16, seed) for seed in (3, 3, 4)]
        assert torch.equal(torch.random.get_rng_state(), before)
        assert torch.equal(books[0], books[1])
        assert not torch.equal(books[0], books[2])

    def test_equal_codewords_are_refused(self):
        # 20,000 float32 numbers of a grid of 2^24.
        with pytest.raises(ConfigError, match="Expected 20000 codewords that differ"):
            sample_codebook(20_000, 1, 0)
        assert len(sample_codebook(20_000, 2, 0)) == 20_000

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"length": 0}, "`length` to be at least 1, but got 0"),
            ({"num_classes": 1}, "`num_classes` to be at least 2, but got 1"),
            ({"codebook_seed": -1}, r"`codebook_seed` to be in \[0, 2\*\*63\), but got -1"),
            ({"codebook_seed": 2**63}, "`codebook_seed` to be in"),
            ({"length": 9, "published": "as_released"}, "`length` .* but got 9 for 10"),
        ],
    )
    def test_bad_arguments(self, settings, message):
        with pytest.raises(ConfigError, match=message):
            codewords(**settings)


@pytest.mark.parametrize("length", LENGTHS)
class TestLengths:
    def test_scores_are_minus_squared_distances(self, length):
        model, x = codewords(length), images()
        outputs = model.network(x).tanh()
        exact = -torch.cdist(outputs.double(), model.codebook.double()).square()
        torch.testing.assert_close(model(x).double(), exact, rtol=1e-5, atol=1e-5 * length)
        assert torch.equal(model(x).argmax(dim=1), exact.argmax(dim=1))

    @pytest.mark.parametrize("view", ["adaptive", "published"])
    def test_views_predict_like_the_defense(self, length, view):
        model, x = codewords(length), images()
        assert torch.equal(model.view(view)(x).argmax(dim=1), model(x).argmax(dim=1))

    def test_the_loss_falls(self, length):
        model, x, y = codewords(length), images(30), torch.arange(30) % 10
        optimizer = model.configure_optimizers()
        losses = []
        for _ in range(30):
            loss = model.training_loss(x, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.95 * losses[0]


def test_the_loss_of_outputs_of_zero_is_a_third():
    model = codewords(1024, lambda d: Pixels(d, 0.0))
    x, y = torch.rand(10, 1, 32, 32), torch.arange(10)
    torch.testing.assert_close(model.training_loss(x, y), model.codebook.square().mean())
    assert model.training_loss(x, y).item() == pytest.approx(1 / 3, rel=0.02)


def test_the_loss_is_none_at_the_codeword():
    model = codewords(16, Pixels)
    # The outputs are the pixels from -1 to 1, so their tanh reaches 0.76.
    model.codebook.mul_(0.7)
    x = ((model.codebook.atanh() + 1) / 2).view(10, 1, 4, 4)
    assert model.training_loss(x, torch.arange(10)).item() == pytest.approx(0, abs=1e-10)
    assert torch.equal(model(x).argmax(dim=1), torch.arange(10))


def test_where_the_tanh_is_flat_the_adaptive_view_has_a_gradient():
    model, x = codewords(16, lambda d: Pixels(d, 1e4)), images()
    y = model(x).argmax(dim=1)
    assert has_zero_gradient(model, x, y).all()
    assert not has_zero_gradient(model.adaptive_view(), x, y).any()


def test_long_codewords_do_not_saturate_the_adaptive_view():
    """Squared distances of 1,024 outputs differ by hundreds: too much for a softmax."""
    model = codewords(1024, lambda d: Pixels(d, 3.0))
    pixels = (model.codebook.clamp(-0.99, 0.99).atanh() / 3 + 1) / 2
    x, y = pixels.view(10, 1, 32, 32), torch.arange(10)
    assert torch.equal(model(x).argmax(dim=1), y)
    assert has_zero_gradient(model, x, y).all()
    assert not has_zero_gradient(model.adaptive_view(), x, y).any()


@pytest.mark.parametrize("published", ["codeword", "as_released"])
def test_behind_a_transform(published):
    model = codewords(transform=Halve(), published=published)
    x = images(8).requires_grad_()
    adaptive = model.adaptive_view()
    assert torch.equal(adaptive(x).argmax(dim=1), model(x).argmax(dim=1))
    (gradient,) = torch.autograd.grad(adaptive(x)[:, 0].sum(), x)
    assert gradient.abs().sum() > 0
    for view, seen in ((adaptive, Halve()(x)), (model, Halve()(x)), (model.published_view(), x)):
        assert isinstance(view, HasCodebook)
        assert torch.equal(view.outputs(x), model.network(seen).tanh())
    (gradient,) = torch.autograd.grad(adaptive.outputs(x).sum(), x)
    assert gradient.abs().sum() > 0


class TestPublished:
    def test_the_objective_is_the_squared_error(self):
        model, x, y = codewords(), images(10), torch.arange(10)
        view = model.published_view()
        expected = (model.outputs(x) - model.codebook[y]).square().mean(dim=1)
        torch.testing.assert_close(view.objective(view(x), y), expected)

    def test_as_released_the_outputs_stand_for_classes(self):
        model, x = codewords(published="as_released"), images(10)
        view = model.published_view()
        assert torch.equal(view(x), model.outputs(x))
        outputs = torch.full((1, 16), -0.5)
        outputs[0, 11] = 0.9
        expected = torch.tensor([(0.1**2 + 15 * 0.25) / 16])
        for label in (0, 9):  # the label does not matter
            torch.testing.assert_close(view.objective(outputs, torch.tensor([label])), expected)

    def test_as_released_a_target_is_its_codeword(self):
        model, target = codewords(published="as_released"), torch.arange(10)
        view = model.published_view()
        errors = view.targeted_objective(model.codebook + 0.5, target)
        torch.testing.assert_close(errors, torch.full((10,), 0.25))

    @pytest.mark.parametrize("missing", [-1, 10])
    def test_a_class_without_a_codeword(self, missing):
        y = torch.tensor([3, missing])
        view = codewords().published_view()
        with pytest.raises(ConfigError, match="Expected classes from 0 to 9, which have codewords"):
            view.objective(view(images(2)), y)
        view = codewords(published="as_released").published_view()
        with pytest.raises(ConfigError, match=f"but got {min(3, missing)} to {max(3, missing)}"):
            view.targeted_objective(view(images(2)), y)


class TestFit:
    def test_the_classes_are_those_of_the_data(self):
        with pytest.raises(ConfigError, match=r"each of the 7 classes of data, but got 10\. Set"):
            codewords().check_fit((1, 4, 4), 7, "data")

    def test_the_network_takes_the_images(self):
        with pytest.raises(ConfigError, match="Expected a network for the 3x8x8 images of data"):
            codewords(16, TunaMnistCNN).check_fit((3, 8, 8), 10, "data")

    def test_the_network_has_as_many_outputs_as_asked_for(self):
        with pytest.raises(ConfigError, match="`length` = 16 outputs, but Sequential has 4"):
            codewords(16, lambda _: mixed(4)).check_fit((1, 4, 4), 10, "data")


@pytest.mark.usefixtures("quiet")
class TestCommandLine:
    @pytest.mark.sampled(every=2)
    @pytest.mark.parametrize("length", [3, 16])
    def test_a_run_is_rebuilt_from_its_checkpoint(self, npz, suite, tmp_path, capsys, length):
        args = arguments(npz, tmp_path / "runs", suite, "Codewords", epochs=1)
        args += [f"--model.length={length}", "--evaluation.views=[deployed, published, adaptive]"]
        args.append("--evaluation.limit=8")
        assert train([*args, "--model.codebook_seed=3", "--run.id=a"]) == 0
        checkpoint = tmp_path / "runs" / "codewords" / "a" / "checkpoints" / "last.ckpt"
        model, data = restore(checkpoint)
        assert torch.equal(model.codebook, sample_codebook(10, length, 3))
        again = Codewords(TinyNetwork, length, codebook_seed=3).eval()
        again.load_state_dict(torch.load(checkpoint, weights_only=True)["state_dict"])
        x, _, _ = data.test_samples(0, 30)
        assert torch.equal(model(x), again(x))

        capsys.readouterr()
        other = ["--model.codebook_seed=7", f"--ckpt_path={checkpoint}", "--run.id=b"]
        assert train([*args, *other, "--trainer.logger=false"]) == 2
        told = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
        assert len(told) == 1
        assert "of codebook_seed 7, but its codewords are others (codebook_seed 3)" in told[0]

    @pytest.mark.parametrize(
        ("flag", "message"),
        [
            ("--model.network=torch.optim.Adam", "`network` to be a subclass of Module"),
            (
                "--model.network=tests.support.tiny.TinyNetwor",
                "no 'TinyNetwor' in tests.support.tiny. Did you mean TinyNetwork",
            ),
            ("--model.network=null", "a value for network of robust.defenses.Codewords"),
            ("--model.length=0", "`length` to be at least 1, but got 0"),
            ("--model.num_classes=7", "each of the 10 classes of bars, but got 7"),
        ],
    )
    def test_a_mistake_is_one_line(self, npz, suite, tmp_path, capsys, flag, message):
        args = arguments(npz, tmp_path / "runs", suite, "Codewords")
        try:
            code = train([*args, flag, "--trainer.logger=false"])
        except SystemExit as stop:
            code = stop.code
        assert code == 2
        told = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
        assert len(told) == 1
        assert message in told[0]
        assert not (tmp_path / "runs").exists()


def test_a_foreign_checkpoint_of_another_codebook_is_refused():
    model, other = (codewords(codebook_seed=seed) for seed in (0, 1))
    model.on_load_checkpoint({"state_dict": model.state_dict()})
    with pytest.raises(ConfigError, match=r"codebook_seed 0, but .* unknown"):
        model.on_load_checkpoint({"state_dict": other.state_dict()})
