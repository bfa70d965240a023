"""Objects are described as what builds them again."""

from functools import partial

import pytest
import torch
from torch import nn

from robust import attacks, defenses, networks, transforms
from robust.data import GaussianAugmentation, ImageDataModule, RandomCrops, TrainingSet
from robust.errors import ConfigError
from robust.loading.parsing.parser import Parser
from robust.networks.arguments import given_arguments
from robust.networks.descriptions import description


class Kept(nn.Module):
    """Keeps its arguments under their names."""

    def __init__(self, width: int = 3, layers: list[int] | None = None) -> None:
        super().__init__()
        self.width, self.layers = width, layers or [1]


class Lost(nn.Module):
    """Forgets its argument."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.head = nn.Linear(width, 2)


NETWORKS = [
    networks.MLP(5, in_features=4, activation=nn.Tanh),
    networks.MLP(activation=partial(networks.BReLU, t=0.5)),
    networks.ResNet(depth=8, normalize=networks.Normalize([0.5], [0.5]), in_channels=1),
    networks.DenseNet(depth=7, final_activation=None),
    networks.TunaMnistCNN(dropout=0.1),
    Kept(width=4, layers=[2, 3]),
]
SMALL = partial(networks.MLP, hidden=4)
DEFENSES = [
    defenses.Squeezed(networks.MLP(), transform=transforms.MedianSmoothing(2)),
    defenses.Standard(networks.MLP(), optimizer=partial(torch.optim.SGD, lr=0.1)),
    defenses.Standard(networks.MLP(), transform=transforms.TotalVariation(eot=3)),
    defenses.LabelSmoothing(networks.MLP(), 0.8),
    defenses.Distillation(networks.MLP(), teacher_epochs=3),
    defenses.AdversarialTraining(networks.MLP(), partial(attacks.PGD, eps=0.1)),
    defenses.Trades(networks.MLP(), eps=0.1),
    defenses.VirtualAdversarial(networks.MLP()),
    defenses.Codewords(SMALL, length=16),
    defenses.Recall(SMALL, representatives="first"),
    defenses.WNLL(SMALL, width=8, head="linear"),
]


def built(kind, described):
    parser = Parser(exit_on_error=False)
    parser.add_subclass_arguments(kind, "it")
    return parser.instantiate(parser.parse_object({"it": described})).it


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: type(network).__name__)
def test_a_network_is_built_again(network):
    again = built(nn.Module, description(network))
    assert str(again) == str(network)
    assert shapes(again) == shapes(network)


@pytest.mark.parametrize("defense", DEFENSES, ids=lambda defense: type(defense).__name__)
def test_a_defense_is_built_again(defense):
    again = built(defenses.Defense, description(defense))
    assert type(again) is type(defense)
    assert shapes(again) == shapes(defense)
    given = description(defense)["init_args"]
    assert given.keys() == given_arguments(defense).keys() - {"optimizer", "scheduler"}
    for key, value in given.items():
        if not isinstance(value, dict):
            assert description(again)["init_args"][key] == value


def test_data_are_built_again():
    data = ImageDataModule(
        "digits",
        batch_size=7,
        augmentation=GaussianAugmentation(sigma=0.2),
        crops=RandomCrops(padding=2),
        training_set=TrainingSet(transforms.Binarize(0.4)),
    )
    again = built(ImageDataModule, description(data))
    assert (again.batch_size, again.augmentation.sigma, again.crops.padding) == (7, 0.2, 2)
    assert again.training_set.transform.threshold == 0.4


def shapes(module):
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Kept(width=torch.tensor(3)), "plain numbers as `width`"),
        (lambda: Lost(), "keeps no `width`"),
        (lambda: nn.Sequential(nn.Flatten()), "got a Sequential, .* class of your own"),
        (lambda: networks.MLP(activation=lambda: nn.ReLU()), "class or functools.partial"),
        (lambda: type("Here", (Kept,), {"__module__": "__main__"})(), "Put it into a module"),
    ],
)
def test_what_cannot_be_described_is_refused(made, message):
    with pytest.raises(ConfigError, match=message):
        description(made())
