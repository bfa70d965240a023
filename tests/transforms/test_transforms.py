"""Input transforms: exact values, and that every defense takes them."""

import pytest
import torch
from scipy import ndimage
from torch import nn

from robust.commands.train import train
from robust.defenses import Squeezed, Standard
from robust.errors import ConfigError
from robust.transforms import Binarize, BitDepthReduction, FeatureSqueezing, MedianSmoothing
from tests.support.tiny import SUITE

BYTES = torch.arange(256)
PIXELS = (BYTES.float() / 255).view(1, 1, 16, 16)
"""Each byte as the data module hands it out."""

TRANSFORMS = [
    FeatureSqueezing(1),
    FeatureSqueezing(3),
    MedianSmoothing(),
    Binarize(),
    BitDepthReduction(),
]


def name(transform):
    return type(transform).__name__


def from_bytes(levels):
    return (levels.float() / 255).view(1, 1, 16, 16)


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_squeezing_leaves_the_nearest_levels(bits):
    levels = torch.arange(2**bits).double() / (2**bits - 1)
    distance = (PIXELS.double().view(-1, 1) - levels).abs()
    expected = levels[distance.argmin(dim=1)].float().view_as(PIXELS)
    squeezed = FeatureSqueezing(bits)(PIXELS)
    torch.testing.assert_close(squeezed, expected, atol=1e-7, rtol=0)
    assert len(squeezed.unique()) == 2**bits


def test_squeezing_to_one_bit_is_zero_and_one():
    x = torch.tensor([0.0, 127 / 255, 128 / 255, 1.0]).view(1, 1, 2, 2)
    assert FeatureSqueezing(1)(x).flatten().tolist() == [0, 0, 1, 1]


def test_levels_continue_outside_the_range_of_pixels():
    x = torch.tensor([-0.7, 1.6]).view(1, 1, 1, 2)
    assert FeatureSqueezing(1)(x).flatten().tolist() == [-1, 2]
    assert (BitDepthReduction(4)(x) * 255).flatten().tolist() == pytest.approx([-192, 400])


@pytest.mark.parametrize("size", [2, 3, 4, 5, 9])
@pytest.mark.parametrize("shape", [(2, 3, 8, 7), (1, 1, 4, 4)])
def test_median_is_that_of_scipy(size, shape):
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    expected = ndimage.median_filter(x.numpy(), size=(1, 1, size, size), mode="reflect")
    assert torch.equal(MedianSmoothing(size)(x), torch.from_numpy(expected))


def test_median_removes_a_single_pixel():
    x = torch.zeros(1, 1, 6, 6)
    x[0, 0, 2, 3] = 1
    assert not MedianSmoothing(3)(x).any()


def test_binarize_is_exact_on_bytes():
    assert torch.equal(Binarize()(PIXELS), (BYTES >= 128).float().view_as(PIXELS))
    assert torch.equal(Binarize(200 / 255)(PIXELS), (BYTES >= 200).float().view_as(PIXELS))


@pytest.mark.parametrize("bits", range(1, 8))
def test_bit_depth_is_exact_on_bytes(bits):
    expected = from_bytes(BYTES - BYTES % 2**bits)
    assert torch.equal(BitDepthReduction(bits)(PIXELS), expected)


def test_bit_depth_cuts_between_the_integers_too():
    x = torch.tensor([15.9, 16.0, 16.1, 31.99]).view(1, 1, 2, 2) / 255
    cut = BitDepthReduction(4)(x) * 255
    assert cut.flatten().tolist() == pytest.approx([0, 16, 16, 16])


@pytest.mark.parametrize("transform", TRANSFORMS, ids=name)
def test_images_stay_images(transform):
    x = torch.rand(3, 2, 5, 6, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    once = transform(x)
    assert once.shape == x.shape
    assert once.dtype == x.dtype
    assert (once.min() >= 0) & (once.max() <= 1)
    assert torch.equal(x, before)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=name)
def test_an_attacker_can_ask_for_the_gradient(transform):
    x = torch.rand(2, 1, 6, 6, requires_grad=True)
    (gradient,) = torch.autograd.grad(transform(x).sum(), x)
    assert gradient.any() == isinstance(transform, MedianSmoothing)


@pytest.mark.parametrize(
    "transform", [t for t in TRANSFORMS if not isinstance(t, MedianSmoothing)], ids=name
)
def test_twice_is_once(transform):
    x = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    once = transform(torch.cat([x, PIXELS.view(4, 1, 8, 8)]))
    assert torch.equal(transform(once), once)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=name)
@pytest.mark.parametrize("defense", [Standard, Squeezed])
def test_the_adaptive_view_predicts_alike_and_has_a_gradient(defense, transform):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    defended = defense(network, transform=transform).eval()
    view = defended.adaptive_view()
    x = torch.rand(40, 1, 8, 8, requires_grad=True)
    scores = view(x)
    assert torch.equal(scores.argmax(dim=1), defended(x).argmax(dim=1))
    scores.square().sum().backward()
    assert x.grad.flatten(1).any(dim=1).all()


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: FeatureSqueezing(0), r"`bits` to be 1 to 8, but got 0\."),
        (lambda: FeatureSqueezing(9), r"`bits` to be 1 to 8, but got 9\."),
        (lambda: BitDepthReduction(0), r"`bits` to be 1 to 7, but got 0\."),
        (lambda: BitDepthReduction(8), r"`bits` to be 1 to 7, but got 8\."),
        (lambda: MedianSmoothing(1), r"`size` to be at least 2, but got 1\."),
        (lambda: Binarize(0.0), r"`threshold` in \(0, 1\), but got 0\.0\."),
        (lambda: Binarize(1.0), r"`threshold` in \(0, 1\), but got 1\.0\."),
        (lambda: Binarize(float("nan")), r"`threshold` in \(0, 1\), but got nan\."),
    ],
)
def test_arguments_out_of_range(build, match):
    with pytest.raises(ConfigError, match=rf"\AExpected {match}"):
        build()


@pytest.mark.parametrize(
    "transform",
    [
        "{class_path: robust.transforms.FeatureSqueezing, init_args: {bits: 1}}",
        pytest.param("robust.transforms.MedianSmoothing", marks=pytest.mark.slow),
        # They quantize as the first.
        pytest.param("robust.transforms.Binarize", marks=pytest.mark.slow),
        pytest.param("robust.transforms.BitDepthReduction", marks=pytest.mark.slow),
        pytest.param(
            "{class_path: robust.transforms.TotalVariation, "
            "init_args: {iterations: 10, in_training: false, eot: 2}}",
            marks=pytest.mark.slow,  # as `test_configs.py` with configs/tvm.yaml
        ),
    ],
)
def test_a_defense_learns_digits_behind_it(transform, tmp_path, quiet, capsys):
    suite = tmp_path / "tiny.yaml"
    suite.write_text(SUITE)
    arguments = [
        "fit",
        "--model=robust.defenses.Standard",
        "--model.network=tests.support.tiny.TinyNetwork",
        f"--model.transform={transform}",
        "--data=configs/data/digits.yaml",
        f"--evaluation={suite}",
        "--evaluation.limit=4",
        f"--run.root={tmp_path / 'runs'}",
        "--trainer.max_epochs=1",
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
    ]
    assert train(arguments) == 0, capsys.readouterr().err
    (metrics,) = (tmp_path / "runs").glob("*/*/metrics.csv")
    header, *rows = (line.split(",") for line in metrics.read_text().splitlines())
    column = header.index("test/clean_acc")
    (accuracy,) = (float(row[column]) for row in rows if row[column])
    assert accuracy > 0.5
