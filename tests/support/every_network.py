"""Every network that the package exports, so that a new one cannot be forgotten; and a probe."""

import inspect

import torch

import robust.networks

LAYERS = {"BReLU", "Normalize"}
NETWORKS = [
    getattr(robust.networks, name) for name in robust.networks.__all__ if name not in LAYERS
]
SMALL = {"DenseNet": {"depth": 7}, "ResNet": {"depth": 8}}
"""Arguments that save time; any other network is taken as it comes."""
MNIST, CIFAR = (1, 28, 28), (3, 32, 32)


def small(network, **arguments):
    return network(**SMALL.get(network.__name__, {}) | arguments)


def images(network, count=8):
    """Random images of the channels that the network takes by default."""
    default = inspect.signature(network).parameters.get("in_channels")
    channels = default.default if default else 3 if "Cifar" in network.__name__ else 1
    shape = MNIST if channels == 1 else CIFAR
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(0))


def shapes(network, kind, shape):
    """Shapes (C, H, W) or (F,) of what each module of that kind puts out, in order."""
    seen = []
    for module in network.modules():
        if isinstance(module, kind):
            module.register_forward_hook(lambda *hook: seen.append(tuple(hook[2].shape[1:])))
    network.eval()(torch.rand(2, *shape))
    return seen


def weights(network):
    return sum(p.numel() for p in network.parameters())
