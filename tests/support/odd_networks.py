"""Networks for 1x4x4 images and three classes that do something that others do not."""

import torch
from torch import nn


class Plain(nn.Module):
    """Nothing odd; the others say where they differ."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Flatten(), nn.Linear(16, 8)), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.body(x))


class WithFeatures(Plain):
    def forward(self, x):
        features = self.body(x)
        return self.head(features), features


class Named(Plain):
    def forward(self, x):
        return {"logits": super().forward(x)}


class SecondHead(WithFeatures):
    """In training only."""

    def forward(self, x):
        return super().forward(x) if self.training else super().forward(x)[0]


class OneLogit(Plain):
    def forward(self, x):
        return super().forward(x)[:, 0]


class Maps(Plain):
    def forward(self, x):
        return super().forward(x)[:, :, None, None]


class FirstOnly(Plain):
    def forward(self, x):
        return super().forward(x)[:1]


class Classes(Plain):
    def forward(self, x):
        return super().forward(x).gt(0).byte()


class Logarithms(Plain):
    def forward(self, x):
        return (super().forward(x) - 100).log()


class Normalizes(Plain):
    """In place."""

    def forward(self, x):
        return super().forward(x.sub_(0.5).mul_(2))


class WantsColors(Plain):
    def forward(self, x):
        if x.shape[1] != 3:
            raise KeyError("red, green and blue")
        return super().forward(x)


class Asserts(Plain):
    def forward(self, x):
        assert x.shape[-1] == 224
        return super().forward(x)


class FailsInTraining(Plain):
    def forward(self, x):
        if self.training:
            raise NotImplementedError
        return super().forward(x)


class Frozen(Plain):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


class Detached(Plain):
    """Its scores have a gradient of the weights, none of the images."""

    def forward(self, x):
        return super().forward(x.detach())


class OfTheBatch(Plain):
    def forward(self, x):
        return super().forward(x - x.mean(dim=0))


class Normalized(nn.Module):
    """By its batch, with running statistics at test."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)
        )

    def forward(self, x):
        return self.layers(x)


class Lazy(Plain):
    """Learns its sizes from the first images."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.LazyLinear(8), nn.LazyBatchNorm1d())


class Volume(Plain):
    """Its weights have five dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, 1, 1)

    def forward(self, x):
        return super().forward(self.conv(x[:, None])[:, 0])


class DoublePrecision(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.double()

    def forward(self, x):
        return super().forward(x.double())


class Noisy(Plain):
    """RandomStreams at test, too."""

    def forward(self, x):
        return super().forward(x + torch.rand_like(x))


class Counts(Plain):
    """Other scores at every call, without any random number."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) * self.calls


class Rooted(nn.Module):
    """Finite scores, whose gradient is infinite, or zero times infinity, at black pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(16, 3, bias=False)
        weight = torch.linspace(-1, 1, 48).view(3, 16)
        weight[:, 5] = 0  # times infinity: NaN
        self.head.weight.data = weight

    def forward(self, x):
        return self.head(x.flatten(1).sqrt())


class Refuses(Plain):
    """Its constructor raises an error of the named kind."""

    def __init__(self, kind: str = "ValueError") -> None:
        super().__init__()
        kinds = {k.__name__: k for k in (ValueError, KeyError, RuntimeError, OSError, SystemExit)}
        raise kinds[kind]("no such size")
