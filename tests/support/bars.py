"""Images of classes that a bright bar tells apart, and networks that classify them exactly."""

import torch
from torch import nn


def bars(count=40, classes=4, channels=1, size=8):
    """Images in [0, 1], multiples of 1/255: row `2 * label` is bright in the last channel alone."""
    random = torch.Generator().manual_seed(0)
    y = torch.arange(count) % classes
    x = torch.randint(0, 60, (count, channels, size, size), generator=random).float()
    x[torch.arange(count), -1, 2 * y] += 150
    return x / 255, y


class Bars(nn.Module):
    """Its logits are the brightness of each class's row, in the units of its normalization."""

    def __init__(self, classes=4, channels=1, size=8, mean=0.0, std=1.0, scale=1.0):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, classes))
        weight = torch.zeros(classes, channels, size, size)
        for label in range(classes):
            weight[label, -1, 2 * label] = 1
        with torch.no_grad():
            self.layers[1].weight.copy_(scale * weight.flatten(1))
            self.layers[1].bias.zero_()

    def forward(self, x):
        return self.layers(x)


class Normalized(nn.Module):
    """Right only for images that are normalized: the nearest mean image of a class wins."""

    def __init__(self, mean, std):
        super().__init__()
        x, y = bars(classes=4)
        centers = torch.stack([x[y == label].mean(dim=0) for label in range(4)])
        self.register_buffer("centers", (centers - mean) / std)
        self.bias = nn.Parameter(torch.zeros(4))

    def forward(self, x):
        return self.bias - (x[:, None] - self.centers).square().flatten(2).sum(dim=2)
