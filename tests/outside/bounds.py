"""Bounds that no attack can pass: the convex relaxation of Wong and Kolter 2018."""

import torch
import torch.nn.functional as F
from torch import nn

SLACK = 1e-3
"""By which a margin has to exceed zero: more than float32 rounds away."""


@torch.no_grad()
def certified(network, x, y, eps):
    """Return which images no perturbation of ``eps`` in Linf, within [0, 1], can change.

    Wong and Kolter 2018, https://arxiv.org/abs/1711.00851, Theorem 1 and Algorithm 1. Above and
    below, a ReLU of a unit between l < 0 < u is bounded with the slope u / (u - l). The bounds of
    each unit are found in the same way, from the layers before it.

    Args:
        network: Linear layers, convolutions, ReLU and Flatten, one after the other.
        x: Images.
        y: Their labels.
        eps: The radius.
    """
    layers, shapes, out = list(network), [], x[:1]
    for layer in layers:
        shapes.append(out.shape[1:])
        out = layer(out)
    shapes.append(out.shape[1:])
    stops = [i for i, layer in enumerate(layers) if isinstance(layer, nn.ReLU)]
    # What does not depend on the image, once: each unit in terms of the ReLU before it.
    before = {}
    for i in [*stops, len(layers)]:
        units = torch.eye(shapes[i].numel()).reshape(-1, *shapes[i])
        before[i] = _linear(layers, shapes, i, units)
    boxes = zip((x - eps).clamp(0, 1), (x + eps).clamp(0, 1), strict=True)
    return torch.tensor(
        [_is_certified(layers, shapes, stops, before, *box, y[i]) for i, box in enumerate(boxes)]
    )


def _is_certified(layers, shapes, stops, before, low, high, label):
    relaxed = {}  # by ReLU: slope and lower bound of its units
    for i in stops:
        least, most = (
            part.reshape(shapes[i])
            for part in _bounds(layers, shapes, relaxed, before[i], low, high)
        )
        crosses = (least < 0) & (most > 0)
        slope = torch.where(crosses, most / (most - least).clamp(min=1e-12), (most > 0).float())
        relaxed[i] = slope, torch.where(crosses, least, 0.0)
    i, rows, constant = before[len(layers)]
    others = torch.arange(len(constant)) != label
    margins = i, rows[label] - rows[others], constant[label] - constant[others]
    return bool((_bounds(layers, shapes, relaxed, margins, low, high)[0] > SLACK).all())


def _linear(layers, shapes, stop, rows):
    """Linear functions of what enters a layer, in terms of the output of the ReLU before it."""
    constant = torch.zeros(len(rows))
    for i in reversed(range(stop)):
        layer = layers[i]
        if isinstance(layer, nn.ReLU):
            return i, rows, constant
        if isinstance(layer, nn.Linear):
            constant, rows = constant + rows @ layer.bias, rows @ layer.weight
        elif isinstance(layer, nn.Conv2d):
            constant = constant + rows.sum(dim=(2, 3)) @ layer.bias
            rows = F.conv_transpose2d(rows, layer.weight, None, layer.stride, layer.padding)
        else:  # Flatten
            rows = rows.reshape(-1, *shapes[i])
    return None, rows, constant


def _bounds(layers, shapes, relaxed, functions, low, high):
    """Bounds below and above of linear functions of a ReLU's output, one a row."""
    i, rows, constant = functions
    below = above = constant
    while i is not None:
        slope, least = relaxed[i]
        moved = (-slope * least).flatten()
        below = below + rows.flatten(1).clamp(max=0) @ moved
        above = above + rows.flatten(1).clamp(min=0) @ moved
        i, rows, constant = _linear(layers, shapes, i, rows * slope)
        below, above = below + constant, above + constant
    rows, middle, radius = rows.flatten(1), (low + high).flatten() / 2, (high - low).flatten() / 2
    center, spread = rows @ middle, rows.abs() @ radius
    return below + center - spread, above + center + spread
