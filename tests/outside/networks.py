"""Architectures of public networks whose weights are tried, as their authors describe them."""

import torch.nn.functional as F
from torch import nn

from robust.attacks import BPDA


class WongCNN(nn.Sequential):
    """The small network of Wong and Kolter 2018, https://arxiv.org/abs/1711.00851."""

    def __init__(self):
        super().__init__(
            *(nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(32 * 7 * 7, 100), nn.ReLU(), nn.Linear(100, 10)),
        )


class Block(nn.Module):
    """Two convolutions; a shortcut without weights takes every second pixel and pads channels."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.stride, self.padding = outputs // inputs, (outputs - inputs) // 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        short = x[:, :, :: self.stride, :: self.stride]
        return F.relu(out + F.pad(short, (0, 0, 0, 0, self.padding, self.padding)))


class ResNet(nn.Module):
    """He et al. 2016's for CIFAR-10, https://arxiv.org/abs/1512.03385, section 4.2, option A."""

    def __init__(self, depth=56):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        blocks = (depth - 2) // 6
        for stage, (inputs, outputs) in enumerate([(16, 16), (16, 32), (32, 64)], start=1):
            others = [Block(outputs, outputs) for _ in range(blocks - 1)]
            self.add_module(f"layer{stage}", nn.Sequential(Block(inputs, outputs), *others))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean(dim=(2, 3)))


class Above(nn.Module):
    """Zero or one, with a threshold that attacks know of."""

    level_thresholds = (0.5,)

    def forward(self, x):
        return (x > 0.5).float()


class SchottCNN(nn.Module):
    """The Binary CNN of Schott et al. 2019, https://arxiv.org/abs/1805.09190.

    Its gradient is zero, since its input is binarized.
    """

    def __init__(self):
        super().__init__()
        sizes = [(1, 20, 5, 1), (20, 70, 4, 2), (70, 256, 3, 2), (256, 10, 5, 1)]
        for i, (inputs, outputs, kernel, stride) in enumerate(sizes):
            self.add_module(f"conv_{i}", nn.Conv2d(inputs, outputs, kernel, stride))
            if i < 3:
                self.add_module(f"bn_{i}", nn.BatchNorm2d(outputs))

    def forward(self, x):
        return self.behind((x > 0.5).float())

    def behind(self, x):
        """Scores of a binarized image."""
        for i in range(3):
            x = F.elu(getattr(self, f"bn_{i}")(getattr(self, f"conv_{i}")(x)))
        return self.conv_3(x)[:, :, 0, 0]


class StraightThrough(nn.Module):
    """The adaptive view of `SchottCNN`: the gradient passes its threshold.

    Args:
        network: A network of ours around one of these.
    """

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.binarized = BPDA(Above())

    def forward(self, x):
        return self.network.network.behind(self.binarized(x))
