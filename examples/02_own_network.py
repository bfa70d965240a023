"""Train a network of your own, plain and adversarially, and attack both at three eps."""

from functools import partial

from torch import nn

import robust


class Small(nn.Module):
    """One convolution for digits of 28 x 28 pixels."""

    def __init__(self, channels: int = 16, num_classes: int = 10) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            robust.Normalize([0.3], [0.4]),  # a layer of the network, so that eps is in pixels
            nn.Conv2d(1, channels, 6, stride=2),  # 12 x 12
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(channels * 144, num_classes),
        )

    def forward(self, x):
        """Return scores of shape (N, 10) for images of shape (N, 1, 28, 28) in [0, 1]."""
        return self.layers(x)


data = robust.ImageDataModule("digits")
x, y, _ = data.test_samples(0, 100)
pgd = partial(robust.attacks.PGD, eps=0.1, steps=10)
plain, trained = robust.Standard(Small()), robust.AdversarialTraining(Small(), attack=pgd)
for name, defense in {"plain": plain, "adversarially trained": trained}.items():
    network = robust.fit(defense, data, max_epochs=10)
    for eps in (0.05, 0.1, 0.2):
        x_adv = robust.attack("pgd", network, x, y, eps=eps, steps=20)
        right = (network(x_adv).argmax(dim=1) == y).float().mean()
        print(f"{name}: {right:.0%} of 100 images stay right within Linf {eps}")
