"""Checks of a network before minutes are spent: one line each, which says what to do."""

import pytest
import torch
from torch import nn

from robust.attacks import FGSM
from robust.data.arrays import data_of
from robust.defenses import Pretrained
from robust.defenses.adapting.adapt import Given, adapt, prepared
from robust.defenses.adapting.normalizations import Normalization
from robust.errors import ConfigError
from tests.support.bars import Bars, Normalized, bars
from tests.support.programs import exported


@pytest.fixture(scope="module")
def data():
    return data_of(*bars(count=80))


def adapted(network, data, **given):
    return adapt(network, data, Given(**given))


def test_a_network_that_fits_has_no_notes(data):
    defense, notes = adapted(Bars().eval(), data)
    assert notes == []
    assert (defense.outputs_are, defense.network.batch_size) == ("logits", None)


@pytest.mark.parametrize("last", [nn.Softmax(dim=1), nn.LogSoftmax(dim=1)])
def test_outputs_are_found_and_said(last, data):
    defense, notes = adapted(nn.Sequential(Bars(), last).eval(), data)
    name = {nn.Softmax: "probabilities", nn.LogSoftmax: "log probabilities"}[type(last)]
    assert notes == [f"the network returns {name}."]
    assert defense.outputs_are == name.replace(" ", "_")


def test_the_usual_normalization_that_fits_is_said():
    x, y = bars(count=80, channels=3)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)

    usual = x.flatten(1).mean(dim=1).mean()

    class Fits(nn.Module):
        """Right behind one normalization; behind others always of class 0."""

        def forward(self, z):
            pixels = z * std + mean
            fits = (pixels.flatten(1).mean(dim=1) - usual).abs() < 0.01
            brightness = pixels[:, 2, ::2].mean(dim=2)[:, :4]
            return torch.where(fits[:, None], brightness, torch.eye(4)[0]) + 0 * z.sum()

    data = data_of(x, y)
    with pytest.raises(ConfigError, match=r"--mean 0.485 0.456 0.406 --std 0.229 .* it is 100%"):
        adapted(Fits(), data, mean=0.9, std=0.01)
    assert adapted(Fits(), data, mean=mean, std=std).notes == []


def test_the_order_of_the_channels_is_said():
    x, y = bars(count=80, channels=3)
    network = Bars(channels=3)
    with pytest.raises(ConfigError, match="--channel-order bgr it is 100%"):
        adapted(network, data_of(x.flip(1), y))
    assert adapted(network, data_of(x.flip(1), y), channels="bgr").notes == []


def test_classes_in_another_order_are_said(data):
    shuffled = nn.Sequential(Bars(), Reordered())
    (note,) = adapted(shuffled, data).notes
    assert "classes in another order it is 100%" in note


class Reordered(nn.Module):
    def forward(self, x):
        return x.roll(1, dims=1)


def test_few_images_refuse_nothing_by_luck():
    for seed in range(20):
        random = torch.Generator().manual_seed(seed)
        x = torch.randint(0, 255, (8, 3, 8, 8), generator=random).float() / 255
        layers = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
        with torch.no_grad():
            layers[1].weight.normal_(generator=random)
        adapted(layers, data_of(x, torch.arange(8) % 4))


def test_near_chance_is_said_and_goes_on(data):
    flat, note = adapted(nn.Sequential(Bars(scale=0.0)), data).notes
    assert "no gradient" in flat
    assert note.startswith("near chance: the clean accuracy on 80 images is 25%")


def test_train_mode_is_said_and_comes_back(data):
    network = nn.Sequential(nn.Dropout(), Bars()).train()
    with prepared(network, data, Given()) as (defense, notes):
        assert isinstance(defense, Pretrained)
    assert "train mode" in notes[0]
    assert all(module.training for module in network.modules())


REFUSED = {
    "tuple": (lambda x: (torch.ones(len(x), 3, 2, 2), Bars()(x)), r"tuple of 2.*network\(x\)\[1\]"),
    "mapping": (lambda x: {"scores": Bars()(x)}, "returned dict"),
    "one score": (lambda x: Bars()(x)[:, :1], r"\(2, 1\) for 2 images"),
    "no classes": (lambda x: Bars()(x)[:, 0], r"shape \(2,\)"),
    "fewer classes": (lambda x: Bars()(x)[:, :3], "labels up to 3, but .* has 3 classes"),
    "in place": (lambda x: Bars()(x.sub_(0.5)), "in place"),
    "batch": (lambda x: Bars()(x - x.mean(dim=0)), "depend on its batch"),
    "size": (lambda x: Bars(size=16)(x), "size and channels"),
    "nan": (lambda x: Bars()(x) * torch.nan, "finite scores"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_attacked(what, data):
    call, message = REFUSED[what]
    with (
        pytest.raises(ConfigError, match=message) as error,
        prepared(call, data, Given()),
    ):
        pass
    assert len(str(error.value)) <= 300


def test_named_data_say_how_many_classes():
    data = data_of(*bars(size=10))
    data.is_named = True
    with pytest.raises(ConfigError, match="the 4 classes of arrays, but Bars has 5"):
        adapted(Bars(classes=5, size=10), data)


def test_arrays_take_the_classes_of_the_network():
    data = data_of(*bars(size=10))
    with prepared(Bars(classes=5, size=10), data, Given()) as (defense, _):
        assert data.num_classes == 5
        assert isinstance(defense, Pretrained)


@pytest.mark.parametrize(
    ("network", "given", "message"),
    [
        (Bars, {}, "the class Bars, not an object"),
        (3, {}, "got int"),
        (Bars(), {"mean": 0.5}, "both"),
        (Bars(), {"mean": 0.5, "std": 0}, "positive"),
        (Bars(), {"outputs": "probabilities"}, "are logits"),
        (Pretrained(Bars()), {"mean": 0.5}, "no `mean` for a Defense"),
        (
            Bars(),
            {"adaptive": lambda network: nn.Sequential(network, Reordered())},
            "differs on 80",
        ),
        (Bars(), {"adaptive": lambda network: 1 / 0}, "it failed"),
    ],
)
def test_what_cannot_be_given(network, given, message, data):
    with (
        pytest.raises(ConfigError, match=message),
        prepared(network, data, Given(**given)),
    ):
        pass


def test_a_view_of_the_callers_own_is_the_adaptive_one(data):
    defense, _ = adapted(Bars(), data, adaptive=lambda network: nn.Sequential(network))
    assert isinstance(defense.adaptive_view(), nn.Sequential)


def test_flags_of_a_normalization():
    assert str(Normalization((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))) == "--mean 0.5 --std 0.25"
    assert str(Normalization((0.1, 0.2, 0.3), (1.0, 1.0, 1.0), "bgr")).endswith(
        "--channel-order bgr"
    )


def test_normalized_prototypes_need_their_normalization(data):
    assert adapted(Normalized(0.1307, 0.3081), data, mean=0.1307, std=0.3081).notes == []


def _fails(_):
    raise ValueError("no")


def test_a_view_that_fails_is_one_line_before_its_gradient_is_asked_for(data):
    flat = Bars().eval()
    with (
        pytest.raises(ConfigError, match=r"but it failed \(ValueError: no\)"),
        prepared(lambda x: flat(x.detach()), data, Given(adaptive=_fails)),
    ):
        pass


@pytest.mark.parametrize("layer", ["rounded", "detached", "sure"])
def test_a_network_without_a_gradient_is_said_and_goes_on(layer, data):
    network = Bars(scale=1e4 if layer == "sure" else 1.0)
    calls = {
        "rounded": lambda x: network((4 * x).round() / 4),
        "detached": lambda x: network(x.detach()).detach(),
        "sure": lambda x: network(x).softmax(dim=1),
    }
    with prepared(calls[layer], data, Given()) as (defense, notes):
        # The adaptive view of probabilities is of what their softmax was given.
        told = ": attacks on the deployed view" if layer == "sure" else ", so gradient attacks"
        assert any(f"has no gradient at 8 images{told}" in note for note in notes)
        x, _, _ = data.test_samples(0, 2)
        assert defense(x.requires_grad_()).requires_grad
    with prepared(calls[layer], data, Given(adaptive=lambda _: network)) as (_, notes):
        assert any("attacks on the deployed view" in note for note in notes)


def test_an_exported_program_is_a_network_of_one_batch_size(data):
    program = exported(Bars(), torch.rand(3, 1, 8, 8))
    for network in (program, program.module()):
        with prepared(network, data, Given()) as (defense, notes):
            assert (defense.network.batch_size, notes) == (3, [])


def test_a_function_is_attacked_in_silence(data, capsys):
    defense, _ = adapted(Bars().eval().forward, data)
    FGSM(defense, eps=0.1)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("network", "match"),
    [
        (Bars().state_dict(), "got OrderedDict. Load it into its module"),
        ("w.pt", "got str. Load it first"),
        (3, "got int. See docs"),
    ],
)
def test_what_is_no_network_yet_is_told_what_to_do(network, match, data):
    with pytest.raises(ConfigError, match=match), prepared(network, data, Given()):
        pass


def test_a_folder_without_all_classes_is_told_what_to_do():
    x, y = bars(count=12)
    module = data_of(x, y % 3)
    module.class_names = ("a", "b", "c")
    with pytest.raises(ConfigError, match=r"Bars has 4 classes\. .* which may be empty\."):
        adapted(Bars().eval(), module)


@pytest.mark.parametrize("last", [nn.Softmax(dim=1), nn.Identity()])
def test_a_network_that_leaves_torch_has_no_gradient(last, data):
    network = nn.Sequential(Bars(), last).eval()
    defense, notes = adapted(lambda x: network(x.detach()), data)
    assert "has no gradient at 8 images" in notes[-1]
    x, y, _ = data.test_samples(0, 4)
    assert torch.equal(FGSM(defense.adaptive_view(), eps=0.1)(x, y), x)


def test_images_of_one_class_are_said():
    x, y = bars(count=80)
    _, notes = adapted(Bars().eval(), data_of(x[y == 2], y[y == 2]))
    said = "but 100% of them are of one class. Take images of more classes."
    assert notes == [f"the clean accuracy on 16 images is 100%, {said}"]


def test_large_images_are_not_all_looked_at_at_once():
    seen = []

    class Brightness(nn.Module):
        """Right for a third of the images, so that all normalizations are tried."""

        def forward(self, x):
            seen.append(len(x))
            return x.mean(dim=(2, 3))

    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (100, 3, 1, 1), dtype=torch.uint8, generator=generator)
    data = data_of(x.expand(-1, -1, 224, 224), torch.arange(100) % 3)
    (note,) = adapted(Brightness(), data, adaptive=nn.Sequential).notes
    assert note.startswith("near chance: the clean accuracy on 96 images")
    assert max(seen) == 16
    assert sum(seen) < 15 * 96  # 18 normalizations, with some of the images
